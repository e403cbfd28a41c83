"""`Distiller`: a Classifier that also learns from frozen teachers."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lightning_modules.classifier import Classifier
from lightning_modules.distillation import SoftTargets, mean_probabilities
from lightning_modules.teachers import Teacher


class Distiller(Classifier):
    """Fits the student to labels and to the mean of its teachers' softened probabilities.

    The teachers are no submodules: they stay out of the checkpoint and of the optimizer.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        teachers: Sequence[Teacher],
        distillation: SoftTargets,
        **classifier: Any,
    ) -> None:
        super().__init__(network, **classifier)
        self._teachers = tuple(teachers)  # a tuple, so that Lightning registers no module
        self._distillation = distillation

    def on_fit_start(self) -> None:
        for teacher in self._teachers:
            teacher.network.to(self.device)

    def on_fit_end(self) -> None:
        for teacher in self._teachers:
            teacher.network.cpu()

    def targets(self, images: Tensor) -> Tensor:
        """The teachers' mean probabilities N x classes for images uint8 N x 3 x H x W."""
        own = self._distillation.temperature
        return mean_probabilities(
            [teacher(images) for teacher in self._teachers],
            [teacher.weight for teacher in self._teachers],
            [teacher.temperature or own for teacher in self._teachers],
        )

    def objective(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self(images)
        return self._distillation(logits, self.loss(logits, labels), self.targets(images))
