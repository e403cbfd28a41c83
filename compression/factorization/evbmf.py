"""Empirical variational Bayesian matrix factorisation: the rank of a matrix under noise.

Nakajima, Sugiyama, Babacan, Tomioka 2013, "Global Analytic Solution of Fully-observed Variational
Bayesian Matrix Factorization", JMLR 14: theorem 2 (which singular values survive), theorem 3 and
corollary 2 (the noise variance by a search in one dimension). The matrix is rows x columns, rows
the smaller side; in the paper L x M.
"""

from functools import lru_cache
from math import ceil

import numpy as np
from scipy.optimize import brentq, minimize_scalar

GRID = 64  # places where the search for the noise begins; the objective has several valleys


def evbmf_rank(values: np.ndarray, rows: int, columns: int) -> int:
    """How many singular values rise above the noise, whose variance is estimated too.

    Args:
        values: all singular values of the matrix, largest first.
        rows: its smaller side.
        columns: its larger side.

    Returns:
        The rank, from 0 to `rows`.
    """
    squares = np.square(np.asarray(values, dtype=np.float64))
    if not squares.any():
        return 0
    squares = np.maximum(squares, squares[0] * 1e-14)  # exact zeros have no logarithm
    threshold = _threshold(rows / columns)
    variance = _noise_variance(squares, rows, columns, threshold)
    return int(np.count_nonzero(squares > columns * variance * threshold))


@lru_cache
def _threshold(ratio: float) -> float:
    """The least squared singular value that survives, in units of columns x variance.

    Args:
        ratio: rows / columns, in (0, 1].
    """

    def slope(tau: float) -> float:
        return _phi(tau) + _phi(tau / ratio)

    root = brentq(slope, 1e-3 * ratio, 1e3)  # about 2.5129 x the root of the ratio
    return (1 + root) * (1 + ratio / root)


def _phi(z: float) -> float:
    return np.log1p(z) / z - 0.5


def _noise_variance(squares: np.ndarray, rows: int, columns: int, threshold: float) -> float:
    """The variance that minimises the free energy, between the bounds of corollary 2."""
    ratio = rows / columns
    limit = min(ceil(rows / (1 + ratio)) - 1, rows - 1)  # no more values than this can survive
    tail = squares[limit:]
    low = max(tail[0] / (columns * threshold), tail.mean() / columns)
    high = squares.sum() / (rows * columns)
    if low >= high:
        return high

    def energy(log_variance: float) -> float:
        return _free_energy(squares / (columns * np.exp(log_variance)), ratio, threshold)

    grid = np.linspace(np.log(low), np.log(high), GRID)
    best = int(np.argmin([energy(place) for place in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
    return float(np.exp(minimize_scalar(energy, bounds=around, method="bounded").x))


def _free_energy(x: np.ndarray, ratio: float, threshold: float) -> float:
    """The free energy of theorem 3 by the scaled squares, but for what does not depend on them."""
    noise, signal = x[x <= threshold], x[x > threshold]
    inner = signal - (1 + ratio)
    tau = 0.5 * (inner + np.sqrt(inner**2 - 4 * ratio))
    of_signal = signal - tau + np.log((tau + 1) / signal) + ratio * np.log(tau / ratio + 1)
    return float(np.sum(noise - np.log(noise)) + np.sum(of_signal))
