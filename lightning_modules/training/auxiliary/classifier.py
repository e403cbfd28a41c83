"""An auxiliary classifier: what a feature map already knows of the classes."""

from collections.abc import Sequence

from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.training.auxiliary.feature_map import check_map, in_words


class AuxiliaryClassifier(nn.Module):
    """Global average pooling, a Linear and a loss of its own, on one module's output.

    Its gradient reaches the early layers directly (Szegedy et al. 2015, "Going Deeper with
    Convolutions", section 5; Lee et al. 2015, "Deeply-Supervised Nets").

    Args:
        shape: of the output for one image: 1 x C x H x W, 1 x tokens x C, or 1 x C.
        num_classes: number of classes.
        image_size: (height, width) in pixels.
        loss: (logits N x classes, targets) -> scalar.

    Raises:
        ConfigError: an output of another shape.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_classes: int,
        image_size: tuple[int, int],
        loss: nn.Module,
    ) -> None:
        super().__init__()
        if len(shape) == 4:
            check_map(shape, image_size)
        elif len(shape) not in (2, 3):
            raise ConfigError(
                f"its output {in_words(shape)} is no N x C x H x W, N x tokens x C or N x C."
            )
        self.linear = nn.Linear(shape[2] if len(shape) == 3 else shape[1], num_classes)
        self.loss = loss

    def forward(self, feature: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        """The module's output, the batch and its targets -> scalar."""
        pooled = {2: (), 3: (1,), 4: (2, 3)}[feature.ndim]
        return self.loss(self.linear(feature.mean(pooled) if pooled else feature), targets)
