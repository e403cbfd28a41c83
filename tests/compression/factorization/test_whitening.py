"""How far a covariance is shrunk, against scikit-learn's estimator of the same paper."""

import pytest
import torch

from compression.factorization.whitening import LEAST_RIDGE, Whitening
from compression.layer_moments import LayerMoments


def moments_of(rows):
    """Of windows rows x d, one group."""
    centered = rows - rows.mean(0)
    covariance = (centered.T @ centered / len(rows))[None].float()
    return LayerMoments(mean=rows.mean(0)[None], covariance=covariance, positions=len(rows))


@pytest.mark.parametrize("count", [3, 20, 5000])
def test_it_is_the_oracle_approximating_shrinkage(count):
    sklearn = pytest.importorskip("sklearn.covariance")
    generator = torch.Generator().manual_seed(count)
    rows = torch.randn(count, 12, generator=generator).double() * torch.logspace(0, -2, 12)
    whitening = Whitening(moments_of(rows), centered=True)
    expected = sklearn.OAS().fit(rows.numpy())
    assert whitening.plan()["ridge"] == pytest.approx(expected.shrinkage_, rel=1e-4)
    torch.testing.assert_close(
        whitening.covariance[0], torch.from_numpy(expected.covariance_), rtol=1e-4, atol=1e-6
    )


def test_the_mean_is_a_direction_where_nothing_takes_it_up():
    rows = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)).double() + 2
    centered, not_centered = (Whitening(moments_of(rows), centered=c) for c in (True, False))
    second = rows.T @ rows / len(rows)
    torch.testing.assert_close(not_centered.covariance[0], second, rtol=1e-2, atol=1e-2)
    assert centered.covariance.diagonal(dim1=1, dim2=2).max() < 1.2


def test_nothing_is_so_sure_that_rounding_counts():
    moments = moments_of(torch.ones(4, 3).double())
    assert Whitening(moments, centered=True).plan()["ridge"] == 1
    torch.testing.assert_close(
        Whitening(moments, centered=True).covariance[0], torch.eye(3).double()
    )
    sure = LayerMoments(
        mean=torch.zeros(1, 2), covariance=torch.diag(torch.tensor([1.0, 0]))[None], positions=10**9
    )
    assert Whitening(sure, centered=True).plan()["ridge"] == LEAST_RIDGE
