"""A network whose last layer is the softmax: what an exported file holds."""

from torch import Tensor, nn


class Probabilities(nn.Module):
    """uint8 N x 3 x H x W -> probabilities N x classes.

    Args:
        network: gives logits N x classes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).float().softmax(dim=1)
