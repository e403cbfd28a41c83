"""Mixing two images of a training batch and their labels: CutMix and MixUp."""

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torchvision.transforms import v2

from lightning_modules.registry import build_part
from lightning_modules.training.mixing_schema import EitherMixingSettings, MixingSettings


class Mixing:
    """Mixes some training batches; the others get targets of the same kind.

    Draws come from torch's global generator, which `Seeding` seeds for each step.

    Args:
        transform: mixes images N x 3 x H x W and labels N.
        probability: share of the batches that it mixes.
        num_classes: number of classes.

    """

    def __init__(self, transform: nn.Module, *, probability: float, num_classes: int) -> None:
        self.transform = transform
        self.probability = probability
        self.num_classes = num_classes

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images float N x 3 x H x W in 0..255, targets float N x classes that sum to 1.

        Args:
            images: uint8 N x 3 x H x W.
            labels: class indices N.
        """
        images = images.float()
        if torch.rand(()) < self.probability:
            return self.transform(images, labels)
        return images, nn.functional.one_hot(labels, self.num_classes).float()


def configured_mixing(cfg: DictConfig, num_classes: int) -> Mixing | None:
    """What `cfg.mixing` describes; None where batches stay as they are."""
    if cfg.mixing._target_ is None:
        return None
    return build_part(cfg.mixing, "mixing", "mixing", num_classes=num_classes)


def cut_mix(*, alpha: float, probability: float, num_classes: int) -> Mixing:
    """CutMix (Yun et al. 2019): a box of another image, targets by the areas.

    Args:
        alpha: of Beta(alpha, alpha), which the area outside the box is drawn from.
        probability: share of the batches.
        num_classes: number of classes.
    """
    MixingSettings(alpha=alpha, probability=probability)
    transform = v2.CutMix(alpha=alpha, num_classes=num_classes)
    return Mixing(transform, probability=probability, num_classes=num_classes)


def mix_up(*, alpha: float, probability: float, num_classes: int) -> Mixing:
    """MixUp (Zhang et al. 2018): a weighted mean with another image, targets by the weights.

    Args:
        alpha: of Beta(alpha, alpha), which the weight is drawn from.
        probability: share of the batches.
        num_classes: number of classes.
    """
    MixingSettings(alpha=alpha, probability=probability)
    transform = v2.MixUp(alpha=alpha, num_classes=num_classes)
    return Mixing(transform, probability=probability, num_classes=num_classes)


def cut_mix_or_mix_up(
    *, alpha: float, mixup_alpha: float, probability: float, num_classes: int
) -> Mixing:
    """One of the two for each mixed batch, each as likely.

    Args:
        alpha: CutMix's.
        mixup_alpha: MixUp's.
        probability: share of the batches.
        num_classes: number of classes.
    """
    EitherMixingSettings(alpha=alpha, mixup_alpha=mixup_alpha, probability=probability)
    cut = v2.CutMix(alpha=alpha, num_classes=num_classes)
    mean = v2.MixUp(alpha=mixup_alpha, num_classes=num_classes)
    transform = v2.RandomChoice([cut, mean])
    return Mixing(transform, probability=probability, num_classes=num_classes)
