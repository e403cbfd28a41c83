"""Surfaces of waste: brightness patterns over an object's own coordinates.

Each takes u and v (H x W, within about -1..1 across and along the object) and returns H x W
factors around 1 by which the object's colour is multiplied.
"""

from collections.abc import Callable

import numpy as np

Texture = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def shiny(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Metal: narrow bright and dark bands along the object."""
    bands = np.cos(rng.uniform(5, 9) * u + rng.uniform(0, 6)) + 0.4 * np.cos(14 * u)
    return 1 + 0.4 * bands


def printed(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Paper: dark lines broken into words."""
    lines = np.cos(rng.uniform(18, 26) * v) > 0.2
    words = np.cos(rng.uniform(8, 14) * u + 40 * np.round(v * 3)) > -0.5
    return 1 - 0.45 * (lines & words & (np.abs(u) < 0.7))


def panels(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Carton: two faces of different shade and a printed stripe."""
    faces = np.where(u > rng.uniform(-0.3, 0.3), 0.7, 1.1)
    stripe = np.abs(v - rng.uniform(-0.5, 0.5)) < rng.uniform(0.1, 0.25)
    return faces * np.where(stripe, rng.uniform(0.4, 0.7), 1)


def glossy(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Plastic: one soft highlight and darker rims."""
    highlight = np.exp(-(((u - rng.uniform(-0.4, 0.4)) / 0.12) ** 2))
    return 1.05 + 0.5 * highlight - 0.35 * u**2 + 0.06 * np.cos(20 * v)


def creased(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Film: irregular bright folds."""
    folds = np.abs(noise(rng, u.shape, 8))
    return 1.25 - 0.5 * np.minimum(folds, 1.2)


def beaded(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Foam: fine grains."""
    return 1 + 0.13 * noise(rng, u.shape, 2)


def plain(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Nothing but a soft shade."""
    return 1 + 0.15 * u * rng.uniform(-1, 1)


def noise(rng: np.random.Generator, shape: tuple[int, int], grain: int) -> np.ndarray:
    """Smooth noise of about unit deviation, H x W, with blobs of `grain` pixels."""
    # Not above: checking a source reads the class names, which sit next to these textures.
    import cv2

    height, width = shape
    coarse = rng.standard_normal((height // grain + 2, width // grain + 2)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
