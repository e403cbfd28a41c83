"""Moments of what layers are given, against all windows taken at once."""

import pytest
import torch
from torch import nn

from compression.errors import CompressionError
from compression.layer_moments import POINTS, WINDOWS, InputMoments

KINDS = {
    "3x3": nn.Conv2d(4, 6, 3, padding=1),
    "strided": nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "dilated": nn.Conv2d(4, 6, (3, 1), dilation=2, padding=(2, 0)),
    "reflected": nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    "same": nn.Conv2d(4, 6, (5, 3), padding="same"),
    "grouped": nn.Conv2d(4, 6, 3, padding=1, groups=2),
    "depthwise": nn.Conv2d(4, 4, 3, padding=1, groups=4),
    "1x1": nn.Conv2d(4, 6, 1),
    "product": nn.Sequential(
        nn.Conv2d(4, 2, (3, 1), padding=(1, 0), bias=False), nn.Conv2d(2, 6, 1)
    ),
}
IMAGES = torch.randn(10, 4, 4, 4, generator=torch.Generator().manual_seed(0)) + 2


def moments_of(layer, *batches):
    network = nn.Sequential(layer)
    return InputMoments(network, lambda: [(batch, None) for batch in batches]).of(["0"])["0"]


def outputs(layer, images):
    """N x outputs x places, without the bias."""
    bias = torch.zeros(())
    if isinstance(layer, nn.Sequential):
        bias = layer[-1].bias[:, None]
    elif layer.bias is not None:
        bias = layer.bias[:, None]
    return (layer(images).flatten(2) - bias).double()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_variance_and_mean_of_the_outputs_follow(kind):
    from compression.factorization.kernels import kernel_of

    layer = KINDS[kind]
    found = moments_of(layer, IMAGES[:3], IMAGES[3:7], IMAGES[7:])  # all places: 16 at most
    said = outputs(layer, IMAGES)
    kernel = kernel_of(layer)
    assert found.mean.shape == kernel.flatten(2).shape[::2]
    assert found.covariance.shape == (*found.mean.shape, found.mean.shape[1])
    assert found.positions == said.shape[0] * said.shape[2]
    variance = said.var((0, 2), correction=0).sum()
    assert found.output_energy(kernel) == pytest.approx(variance.item(), rel=1e-4)
    torch.testing.assert_close(found.output_mean(kernel), said.mean((0, 2)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_linear_layer_sees_tokens():
    layer, tokens = nn.Linear(5, 3), torch.randn(6, 7, 5)
    found = moments_of(layer, tokens[:2], tokens[2:])
    torch.testing.assert_close(found.covariance[0], tokens.reshape(-1, 5).T.cov(correction=0))
    assert found.positions == 42


def test_large_images_are_looked_at_in_some_places():
    images = torch.rand(2, 4, 30, 30)
    assert moments_of(KINDS["1x1"], images).positions == 2 * POINTS
    found = moments_of(KINDS["3x3"], images)
    assert found.positions == 2 * WINDOWS
    again = moments_of(KINDS["3x3"], images)
    assert torch.equal(found.covariance, again.covariance)


def test_every_layer_is_looked_at_once_whichever_others_are():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3))
    network.unused = nn.Identity()
    network.unused.layer = nn.Linear(2, 2)
    passes = []

    def batches():
        passes.append(1)
        yield (torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1)), None)

    apart, together = InputMoments(network, batches), InputMoments(network, batches)
    apart.of(["0"])
    names = ["2", "0", "unused.layer"]
    assert list(apart.of(names)) == ["2", "0"] == list(together.of(names))
    assert len(passes) == 3 and apart.of(["0", "2"]) and len(passes) == 3
    assert torch.equal(apart.of("0")["0"].covariance, together.of("0")["0"].covariance)
    assert torch.equal(apart.of("2")["2"].covariance, together.of("2")["2"].covariance)


def test_no_more_images_than_asked_for():
    network = nn.Sequential(nn.Conv2d(4, 4, 1))
    moments = InputMoments(network, lambda: [(IMAGES[:4], None), (IMAGES[4:], None)], images=5)
    assert [len(images) for images in moments.images()] == [4, 1]
    images = IMAGES[:5].transpose(0, 1).flatten(1)
    torch.testing.assert_close(moments.of("0")["0"].covariance[0], images.cov(correction=0))


def test_what_cannot_be_used():
    network = nn.Sequential(nn.Conv2d(4, 4, 1))
    with pytest.raises(CompressionError, match="no batch of images"):
        InputMoments(network, list).of("0")
    bad = IMAGES.clone()
    bad[0, 0, 0, 0] = torch.nan
    with pytest.raises(CompressionError, match="inputs of 0 are not all finite"):
        InputMoments(network, lambda: [(bad, None)]).of("0")
    assert not network[0]._forward_pre_hooks


def test_a_layer_that_is_given_its_input_by_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 2)

        def forward(self, images):
            return self.layer(input=images)

    rows = torch.rand(6, 5)
    found = InputMoments(Named(), lambda: [(rows, None)]).of(["layer"])["layer"]
    torch.testing.assert_close(found.covariance[0], rows.T.cov(correction=0))
