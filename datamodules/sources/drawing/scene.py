"""One drawn scene: waste of six classes on a cluttered floor."""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np

from datamodules.sources.drawing import textures
from datamodules.sources.drawing.looks import CLASS_NAMES, Look, choose_look

Box = tuple[int, int, int, int]  # x, y, width, height in pixels
Option = TypeVar("Option")


def draw_scene(
    rng: np.random.Generator, size: tuple[int, int], ambiguity: float
) -> tuple[np.ndarray, list[tuple[int, Box]]]:
    """A scene and what lies in it.

    Args:
        rng: the only source of chance.
        size: height and width in pixels.
        ambiguity: probability that an object borrows a trait from another class, for each trait.

    Returns:
        RGB uint8 H x W x 3, and (label, (x, y, w, h) in pixels) of each of 2 or 3 objects.
    """
    image = _floor(rng, size)
    objects = []
    for column in rng.permutation(3)[: rng.integers(2, 4)]:
        label = int(rng.integers(len(CLASS_NAMES)))
        center = size[1] * (column + 0.5) / 3, size[0] * rng.uniform(0.3, 0.7)
        objects.append((label, _draw(rng, image, choose_look(rng, label, ambiguity), center)))
    _litter(rng, image, int(rng.integers(2, 6)))
    return _photograph(rng, image), objects


def _floor(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Uneven ground with twigs and leaves, float H x W x 3."""
    image = np.empty((*size, 3), np.float32)
    image[:] = rng.uniform(80, 150) + rng.uniform(-10, 10, 3)
    for grain, strength in ((60, 15), (12, 8), (3, 6)):
        image += strength * textures.noise(rng, size, grain)[..., None]
    _litter(rng, image, int(rng.integers(10, 25)))
    return image


def _litter(rng: np.random.Generator, image: np.ndarray, count: int) -> None:
    """Draw short strokes, in place: clutter below the objects, occlusion above them."""
    height, width = image.shape[:2]
    for _ in range(count):
        start = rng.uniform(0, (width, height))
        (x0, y0), (x1, y1) = np.stack([start, start + rng.normal(0, 25, 2)]).astype(int).tolist()
        color = tuple((rng.uniform(40, 190) * rng.uniform(0.8, 1.2, 3)).tolist())
        cv2.line(image, (x0, y0), (x1, y1), color, int(rng.integers(1, 6)))


def _draw(
    rng: np.random.Generator, image: np.ndarray, look: Look, center: tuple[float, float]
) -> Box:
    """Draw one object, in place; its box (x, y, w, h)."""
    radius, angle = rng.uniform(0.13, 0.2) * image.shape[0], rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    outline = (_pick(rng, look.outlines)(rng) * radius @ turn + center).astype(np.int32)
    x, y, w, h = _visible(cv2.boundingRect(outline), image.shape)
    mask = np.zeros((h, w), np.float32)
    cv2.fillPoly(mask, [outline - (x, y)], 1.0)
    # The object's own coordinates at each pixel: across it and along it.
    pixels = np.stack(np.meshgrid(np.arange(x, x + w), np.arange(y, y + h)), axis=-1)
    u, v = np.moveaxis((pixels - center) @ turn.T / radius, -1, 0)
    alpha = (mask * rng.uniform(*look.opacity))[..., None]
    _shadow(image, mask, (x, y))
    region = image[y : y + h, x : x + w]
    region += alpha * (_surface(rng, look, u, v) - region)
    return x, y, w, h


def _surface(rng: np.random.Generator, look: Look, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """What the object's material shows, float H x W x 3 in 0..255."""
    color = np.array(_pick(rng, look.colors)) * rng.uniform(0.8, 1.1) + rng.normal(0, 8, 3)
    pattern = 1 + rng.uniform(0.6, 1.0) * (_pick(rng, look.surfaces)(rng, u, v) - 1)
    return np.clip(color * pattern[..., None], 0, 255)


def _visible(box: Sequence[int], shape: tuple[int, ...]) -> Box:
    x0, y0 = max(box[0], 0), max(box[1], 0)
    x1, y1 = min(box[0] + box[2], shape[1]), min(box[1] + box[3], shape[0])
    return x0, y0, x1 - x0, y1 - y0


def _shadow(image: np.ndarray, mask: np.ndarray, corner: tuple[int, int]) -> None:
    """Darken what lies just below the object, in place."""
    x, y = corner[0] + 3, corner[1] + 4
    region = image[y : y + mask.shape[0], x : x + mask.shape[1]]
    soft = cv2.blur(mask, (7, 7))[: region.shape[0], : region.shape[1]]
    region *= 1 - 0.4 * soft[..., None]


def _photograph(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Uneven light, a colour cast, blur and sensor noise; uint8 H x W x 3."""
    down, across = (np.linspace(-1, 1, n) * rng.uniform(-0.2, 0.2) for n in image.shape[:2])
    light = rng.uniform(0.75, 1.15) + np.add.outer(down, across)
    lit = image * light[..., None] * rng.uniform(0.95, 1.05, 3)
    blurred = cv2.GaussianBlur(lit.astype(np.float32), (0, 0), rng.uniform(0.4, 1.6))
    noise = rng.standard_normal(image.shape, np.float32) * rng.uniform(3, 14)
    return np.clip(blurred + noise, 0, 255).astype(np.uint8)


def _pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    return options[int(rng.integers(len(options)))]
