"""Cutting boxes out of an image: fitted to an aspect ratio, resized, padded outside."""

from typing import Literal, get_args

import numpy as np
from PIL import Image

from datamodules.schema import Size
from datamodules.sources import Box

ResizeMode = Literal["stretch", "pad", "crop"]
RESIZE_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)

# What a crop shows beyond the image: no edge that looks like an object.
PADDING_COLOR = (128, 128, 128)


def match_aspect_ratio(box: Box, size: Size, resize_mode: ResizeMode) -> Box:
    """The box with the aspect ratio of `size`, unless it may be stretched."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    if resize_mode == "stretch" or width * size[0] == height * size[1]:
        return box
    ratio = size[1] / size[0]
    choose = {"pad": max, "crop": min}[resize_mode]
    new_width = max(1, round(choose(width, height * ratio)))
    new_height = max(1, round(choose(height, width / ratio)))
    left, top = x0 + (width - new_width) // 2, y0 + (height - new_height) // 2
    return left, top, left + new_width, top + new_height


def crop_and_resize(image: Image.Image, box: Box, size: Size, scale: int = 1) -> np.ndarray:
    """One crop: the part of the box inside the image, resized into place; the rest is grey.

    Args:
        image: an RGB image.
        box: in pixels of the image's file.
        size: height and width of the crop.
        scale: how many pixels of the file, in each direction, a pixel of `image` stands for.

    Returns:
        uint8 H x W x 3.
    """
    x0, y0, x1, y1 = box
    width, height = image.width * scale, image.height * scale
    inside = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    crop = np.full((*size, 3), PADDING_COLOR, np.uint8)
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return crop
    left, right = _span(inside[0] - x0, inside[2] - x0, size[1] / (x1 - x0), size[1])
    top, bottom = _span(inside[1] - y0, inside[3] - y0, size[0] / (y1 - y0), size[0])
    target = right - left, bottom - top
    part = inside[0] / scale, inside[1] / scale, inside[2] / scale, inside[3] / scale
    resized = image.resize(target, Image.Resampling.BILINEAR, box=part)
    crop[top:bottom, left:right] = np.asarray(resized)
    return crop


def _span(start: int, stop: int, scale: float, length: int) -> tuple[int, int]:
    """Where start..stop of the box falls in a crop of `length` pixels: one pixel at least."""
    first = min(round(start * scale), length - 1)
    return first, max(round(stop * scale), first + 1)
