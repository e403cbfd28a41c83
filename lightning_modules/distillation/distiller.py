"""`Distiller`: a Classifier that also learns from frozen teachers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from datamodules.loading import ImageData
from lightning_modules.distillation.distillation import Distillation
from lightning_modules.distillation.feature_pairs import FeaturePairs
from lightning_modules.distillation.stored_logits import StoredLogits, store_logits
from lightning_modules.distillation.teachers import Teacher
from lightning_modules.networks import Features
from lightning_modules.registry import build, plain
from lightning_modules.training import Classifier


class Distiller(Classifier):
    """Fits the student to labels and to the outputs of its teachers.

    The teachers are no submodules: they stay out of the checkpoint and of the optimizer. The
    projections of feature losses are submodules, beside the network. Logits are compared in
    float32, also under half-precision autocast.

    Args:
        network: the student.
        teachers: in eval mode, frozen.
        distillation: the losses, and how they are put together.
        pairs: the modules that are compared.
        stored: the teachers' logits, where they were computed beforehand; else each runs live.
        classifier: what `Classifier` takes besides.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        teachers: Sequence[Teacher],
        distillation: Distillation,
        pairs: FeaturePairs,
        stored: Sequence[StoredLogits] = (),
        **classifier: Any,
    ) -> None:
        super().__init__(network, **classifier)
        self._teachers = tuple(teachers)  # a tuple, so that Lightning registers no module
        self._distillation = distillation
        self._stored = tuple(stored)
        self.pairs = pairs
        self.set_epoch(0, 1)

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Chooses alpha and temperature as their schedules say."""
        self._alpha = self._distillation.alpha.at(epoch, epochs)
        self._temperature = self._distillation.temperature.at(epoch, epochs)

    def on_train_epoch_start(self) -> None:
        """Moves on along the schedules."""
        self.set_epoch(self.current_epoch, self.trainer.max_epochs or 1)

    def on_fit_start(self) -> None:
        """Takes the teachers to the device, unless their logits are stored."""
        if not self._stored:
            for teacher in self._teachers:
                teacher.network.to(self.device)

    def on_fit_end(self) -> None:
        """Takes the teachers back to the CPU."""
        for teacher in self._teachers:
            teacher.network.cpu()

    def objective(self, images: Tensor, labels: Tensor, keys: np.ndarray | None = None) -> Tensor:
        """(1 - alpha) * label loss + alpha * the teachers' losses.

        Args:
            images: N x 3 x H x W.
            labels: class indices N, or probabilities N x C.
            keys: int64 N x 2, (repeat, index) of each image; needed for stored logits.
        """
        # The teachers go first: what they need on the way is free again before the student runs.
        teacher_logits, teacher_features = self._run_teachers(images, keys)
        with Features(self.network, self.pairs.student_paths) as features:
            logits = self(images)
            label_loss = self.loss(logits, labels)
            with torch.autocast(self.device.type, enabled=False):
                losses = {
                    **self._distillation.logit_losses(
                        logits.float(),
                        teacher_logits,
                        labels,
                        teachers=self._teachers,
                        temperature=self._temperature,
                    ),
                    **self.pairs(features.outputs, teacher_features),
                }
        return self._combine(label_loss, losses, size=len(images))

    def _run_teachers(
        self, images: Tensor, keys: np.ndarray | None
    ) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Each teacher's logits N x C, and the outputs of its compared modules."""
        if self._stored:
            assert keys is not None  # the data says them where augmentations are repeated
            return [stored.read(keys).to(self.device) for stored in self._stored], []
        logits, outputs = [], []
        for number, teacher in enumerate(self._teachers):
            with Features(teacher.network, self.pairs.teacher_paths(number)) as features:
                logits.append(teacher(images))
                found = features.outputs.items()
                outputs.append({path: output[: len(images)] for path, output in found})
        return logits, outputs

    def _combine(self, label_loss: Tensor, losses: dict[str, Tensor], *, size: int) -> Tensor:
        weights = self._distillation.term_weights
        taught = label_loss.new_zeros(())
        for name, loss in losses.items():
            taught = taught + weights[name] * loss
        for name, value in {"labels": label_loss, **losses}.items():
            self._log_training(name, value, size)
        return (1 - self._alpha) * label_loss + self._alpha * taught


def check_terms(cfg: DictConfig, num_classes: int) -> None:
    """Refuses losses that cannot be computed, before any teacher is trained.

    Args:
        cfg: the composed configuration.
        num_classes: of the student's data.

    Raises:
        ConfigError: as `Distillation`; or a term or the aggregation fails, or gives no loss.
    """
    if cfg.teacher:
        build(cfg.distillation).try_out(num_classes, mixed=cfg.mixing.get("_target_") is not None)


def check_pairs(
    cfg: DictConfig, network: nn.Module, teachers: Sequence[Teacher], image_size: tuple[int, int]
) -> None:
    """Refuses modules that cannot be compared, before any data is read.

    Args:
        cfg: the composed configuration.
        network: the student, or what it will be made from.
        teachers: all of the run.
        image_size: (H, W) in pixels of the student's images.

    Raises:
        ConfigError: as `FeaturePairs`.
    """
    if teachers:
        FeaturePairs(build(cfg.distillation), teachers, network, image_size=image_size, seed=(0,))


def make_distiller(
    network: nn.Module,
    cfg: DictConfig,
    data: ImageData,
    teachers: Sequence[Teacher],
    *,
    epochs: int,
    device: torch.device,
    seed: Sequence[int],
    **classifier: Any,
) -> Distiller:
    """The Distiller that `cfg.distillation` describes.

    The data is told how many augmentations of each image it is to repeat.

    Args:
        network: the student.
        cfg: the run's configuration.
        data: the student's; prepared.
        teachers: one at least.
        epochs: of the fit.
        device: where the teachers run.
        seed: of the projections' first weights, any numbers.
        classifier: what a Classifier gets.

    Raises:
        ConfigError: modules that are to be compared do not exist or do not go together.
        DataError: the teachers' logits cannot be stored.
    """
    distillation = build(cfg.distillation)
    pairs = FeaturePairs(distillation, teachers, network, image_size=data.image_size, seed=seed)
    data.augmentation_repeats, stored = distillation.augmentation_repeats, []
    if distillation.cached:
        # Where images are drawn by weight, a second time in an epoch shows another augmentation.
        repeats, once = distillation.augmentation_repeats, data.sampling == "natural"
        stored = store_logits(
            teachers,
            data,
            plain(cfg.augment),
            repeats=min(repeats, epochs) if once else repeats,
            cache_dir=Path(cfg.cache_dir),
            device=device,
        )
    parts = {"teachers": teachers, "distillation": distillation, "pairs": pairs, "stored": stored}
    return Distiller(network, **parts, **classifier)
