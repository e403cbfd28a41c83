"""Weights by least squares, against what the windows say themselves."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.layer_moments import LayerMoments
from compression.pruning.least_squares import CutKernel


def moments_of(windows: torch.Tensor) -> LayerMoments:
    """Of windows G x R x d."""
    mean = windows.mean(1)
    rows = windows - mean[:, None]
    covariance = rows.mT @ rows / rows.shape[1]
    return LayerMoments(mean=mean, covariance=covariance, positions=rows.shape[1])


def output_error(cut: CutKernel, weights: torch.Tensor, windows: torch.Tensor) -> float:
    """Mean squared error by the outputs themselves, of which the mean goes where it is made up."""
    before = windows @ cut.kernel.flatten(2).mT  # G x R x O
    inputs = windows.unflatten(2, (cut.kernel.shape[2], -1))
    own = [group[:, kept] for group, kept in zip(inputs, cut.kept, strict=True)]
    error = before - torch.stack(own).flatten(2) @ weights.flatten(2).mT
    if cut.centered:
        error = error - error.mean(1, keepdim=True)
    return float(error.square().sum((0, 2)).mean())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_refit_never_raises_the_error_on_its_own_images(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    torch.manual_seed(draw(0, 10**6))
    groups, outputs, inputs, side = draw(1, 3), draw(1, 4), draw(2, 6), draw(1, 3)
    size = inputs * side * side
    windows = torch.randn(groups, draw(1, 80), size, dtype=torch.float64)
    windows = windows @ torch.randn(groups, size, size, dtype=torch.float64) + draw(-3, 3)
    if data.draw(st.booleans()):
        windows = windows.relu()
    kept = draw(1, inputs - 1)
    cut = CutKernel(
        kernel=torch.randn(groups, outputs, inputs, side, side, dtype=torch.float64),
        kept=torch.stack([torch.randperm(inputs)[:kept] for _ in range(groups)]),
        centered=data.draw(st.booleans()),
    )
    equations = cut.equations(moments_of(windows))
    change = equations.solution(data.draw(st.sampled_from([1e-6, 1e-3, 1e-1, 10.0])))
    blind = cut.cut()
    assert blind.shape == (groups, outputs, kept, side, side)
    weights = blind + change.view_as(blind)
    before, after = (output_error(cut, each, windows) for each in (blind, weights))
    assert after <= before * (1 + 1e-9) + 1e-12
    torch.testing.assert_close(
        torch.tensor([equations.error, equations.error_after(change)]),
        torch.tensor([before, after]),
        rtol=1e-4,
        atol=1e-6 * (before + 1e-6),
    )


def test_they_are_those_of_least_squares():
    torch.manual_seed(0)
    windows = torch.randn(1, 500, 12, dtype=torch.float64) @ torch.randn(12, 12).double() + 2
    kernel = torch.randn(1, 3, 4, 1, 3, dtype=torch.float64)
    kept = torch.tensor([[3, 0]])
    wanted = (windows @ kernel.flatten(2).mT)[0]
    own = windows[0].unflatten(1, (4, 3))[:, kept[0]].flatten(1)
    ones = torch.ones(500, 1, dtype=torch.float64)
    for centered, seen in [(True, torch.cat([own, ones], 1)), (False, own)]:
        expected = torch.linalg.lstsq(seen, wanted).solution[:6].T
        cut = CutKernel(kernel=kernel, kept=kept, centered=centered)
        change = cut.equations(moments_of(windows)).solution(1e-12)
        torch.testing.assert_close(cut.cut().flatten(2)[0] + change[0], expected)


def test_where_nothing_is_known_the_weights_stay():
    kernel = torch.randn(2, 3, 4, 1, 1, dtype=torch.float64)
    cut = CutKernel(kernel=kernel, kept=torch.tensor([[0, 3], [2, 1]]), centered=True)
    dead = moments_of(torch.zeros(2, 5, 4, dtype=torch.float64))
    assert not cut.equations(dead).solution(1e-3).any()
    assert torch.equal(cut.cut()[1], kernel[1][:, [2, 1]])
    difference = cut.difference(cut.cut())
    assert torch.equal(difference[0, :, 1:3], kernel[0, :, 1:3]) and not difference[0, :, 0].any()
