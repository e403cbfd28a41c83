"""A whole network: pixels in, logits out."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from compression.recipe import Recipe
from lightning_modules.networks.pixels import Pixels


class Network(nn.Module):
    """`pixels`, which normalises, then `body`, which classifies.

    Args:
        pixels: the input layer.
        body: normalised N x 3 x H x W -> logits N x `num_classes`.
        num_classes: number of logits.
        image_size: (height, width) in pixels of the images it is made for.
        class_names: in the order of the logits, once the data is known.
    """

    def __init__(
        self,
        *,
        pixels: Pixels,
        body: nn.Module,
        num_classes: int,
        image_size: tuple[int, int],
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.pixels = pixels
        self.body = body
        self.num_classes = num_classes
        self.image_size = image_size
        self.class_names = None if class_names is None else tuple(class_names)
        self.model_cfg: dict[str, Any] = {}  # the node that it was built from
        self.recipe = Recipe()  # what was done to it since
        self.new_tensors: list[str] = []  # of the body, that its weights file did not hold

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (or floating, 0..255) N x 3 x H x W -> logits N x classes."""
        return self.body(self.pixels(images))
