"""Silhouettes of waste: closed outlines, N x 2 float (x, y) within about -1..1."""

from collections.abc import Callable

import numpy as np

Outline = Callable[[np.random.Generator], np.ndarray]


def can(rng: np.random.Generator) -> np.ndarray:
    """A cylinder seen from the side: a rectangle with rounded corners."""
    return _superellipse(rng.uniform(0.45, 0.7), exponent=5)


def tray(rng: np.random.Generator) -> np.ndarray:
    """A shallow dish seen from above."""
    return _superellipse(rng.uniform(0.65, 1.0), exponent=3.5)


def bottle(rng: np.random.Generator) -> np.ndarray:
    """Body, shoulder and neck, standing upright."""
    body, neck = rng.uniform(0.3, 0.5), rng.uniform(0.12, 0.22)
    shoulder = rng.uniform(-0.5, -0.1)
    half = [(neck, -1), (neck, shoulder - 0.3), (body, shoulder), (body, 0.9), (body * 0.8, 1)]
    return _mirrored(half)


def cup(rng: np.random.Generator) -> np.ndarray:
    """A beaker, wider at the top."""
    return _mirrored([(rng.uniform(0.6, 0.8), -0.9), (rng.uniform(0.4, 0.55), 0.9)])


def carton(rng: np.random.Generator) -> np.ndarray:
    """A drink carton with its gable."""
    width, gable = rng.uniform(0.4, 0.6), rng.uniform(0.0, 0.35)
    return _mirrored([(width * 0.8, -1), (width, gable - 0.8), (width, 1)])


def sheet(rng: np.random.Generator) -> np.ndarray:
    """A flat piece with four uneven corners."""
    corners = np.array([(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)])
    return corners * [rng.uniform(0.6, 1), 1] + rng.uniform(-0.2, 0.2, (4, 2))


def crumpled(rng: np.random.Generator) -> np.ndarray:
    """A ball with corners, as of foil or paper."""
    return _around(rng.uniform(0.65, 1.0, 14))


def bag(rng: np.random.Generator) -> np.ndarray:
    """A smooth uneven blob."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    waves = [rng.uniform(-1, 1) / k * np.cos(k * angles + rng.uniform(0, 6)) for k in range(2, 6)]
    return _around(0.75 + 0.22 * np.sum(waves, axis=0))


def _superellipse(aspect: float, exponent: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = np.cos(angles), np.sin(angles)
    points = np.stack([aspect * np.sign(x) * np.abs(x) ** (2 / exponent),
                       np.sign(y) * np.abs(y) ** (2 / exponent)], axis=1)  # fmt: skip
    return points * 0.95


def _mirrored(half: list[tuple[float, float]]) -> np.ndarray:
    right = np.array(half)
    return np.concatenate([right, right[::-1] * [-1, 1]])


def _around(radii: np.ndarray) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
