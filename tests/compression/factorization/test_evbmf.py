import numpy as np
import pytest

from compression.factorization.evbmf import _threshold, evbmf_rank


def planted(rows, columns, rank, noise, seed=0):
    """Singular values of a matrix with `rank` values of size 1 or more, and noise on top."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(n, rank)))[0] for n in (rows, columns))
    values = np.linspace(1, 2, rank) * np.sqrt(columns)
    matrix = (left * values) @ right.T
    matrix += noise * rng.normal(size=(rows, columns))
    return np.linalg.svd(matrix, compute_uv=False)


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1, 0.2, 0.3])
@pytest.mark.parametrize(
    ("rows", "columns", "rank"),
    [(32, 32, 3), (64, 64, 20), (48, 432, 5), (128, 300, 30), (200, 1000, 1), (96, 100, 10)],
)
def test_finds_planted_ranks(rows, columns, rank, noise):
    assert evbmf_rank(planted(rows, columns, rank, noise), rows, columns) == rank


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_does_not_depend_on_the_scale(scale):
    assert evbmf_rank(scale * planted(40, 90, 7, 0.1), 40, 90) == 7


@pytest.mark.parametrize("shape", [(32, 32), (32, 300), (100, 120), (3, 64)])
def test_noise_alone_has_rank_0(shape):
    for seed in range(5):
        matrix = np.random.default_rng(seed).normal(size=shape)
        assert evbmf_rank(np.linalg.svd(matrix, compute_uv=False), *shape) == 0


def test_without_noise():
    assert evbmf_rank(planted(30, 50, 4, 0.0), 30, 50) == 4
    assert evbmf_rank(np.zeros(5), 5, 9) == 0
    assert evbmf_rank(np.array([2.0]), 1, 1) in (0, 1)


def test_the_threshold_is_the_papers():
    """Equation 28 gives the root for a square matrix as about 2.5129."""
    assert _threshold(1.0) == pytest.approx((1 + 2.5129) * (1 + 1 / 2.5129), rel=1e-4)
    assert _threshold(0.25) == pytest.approx((1 + 1.2565) * (1 + 0.25 / 1.2565), rel=0.02)
