import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from compression.cost.activations import activation_bytes
from compression.cost.file_size import file_bytes
from compression.errors import CompressionError

FLOAT = 4


class Residual(nn.Module):
    """Adds its input to what a layer makes of it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layer(x)


def test_a_chain_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 1),
    )
    image, first, pooled = 3 * 10 * 12, 8 * 10 * 12, 8 * 5 * 6
    # The caller holds the image; pooling keeps the places of the maxima, eight bytes each.
    assert activation_bytes(network, [10, 12]) == FLOAT * (image + first + pooled) + 8 * pooled


def test_what_waits_for_an_addition_counts():
    one_map = FLOAT * 3 * 8 * 8
    first, *others = (nn.Conv2d(3, 3, 1) for _ in range(4))
    straight = nn.Sequential(first, *others)
    assert activation_bytes(straight, 8) == 3 * one_map  # the image, an input, an output
    around = nn.Sequential(first, Residual(nn.Sequential(*others)))
    assert activation_bytes(around, 8) == 4 * one_map


def test_grows_with_the_image_and_is_repeatable():
    network = models.shufflenet_v2_x0_5()
    small = activation_bytes(network, 32)
    assert small == activation_bytes(network, 32) < activation_bytes(network, 64) / 3
    with pytest.raises(CompressionError, match="8 x 0|positive int"):
        activation_bytes(network, 0)


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "swin_t"])
def test_the_file_has_the_size_that_was_said(name, tmp_path):
    network = models.get_model(name)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    assert file_bytes(network) == (tmp_path / "w.safetensors").stat().st_size
    assert file_bytes(network.half()) == (tmp_path / "w.safetensors").stat().st_size
