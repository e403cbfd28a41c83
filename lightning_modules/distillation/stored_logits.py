"""`StoredLogits`: a teacher's logits of each augmentation of each image, computed once.

Below `cache_dir/teacher_logits/<teacher>/<images>/` lies one folder a repeat with `logits` (float32
N x C, raw). Both names are digests, of all that the logits follow from, so every epoch, run and
trial of a sweep that means the same logits finds them; a repeat is whole or absent, so a killed run
loses at most the repeat it was at.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compression.sensitivity import digest_weights
from datamodules.errors import DataError
from datamodules.files import build_once
from datamodules.loading import ImageData
from datamodules.workers import report_progress
from lightning_modules.distillation.teachers import Teacher
from lightning_modules.runs import WEIGHT_SOURCES
from lightning_modules.training import device_name

log = logging.getLogger(__name__)

FORMAT_VERSION = 1


def store_logits(
    teachers: Sequence[Teacher],
    data: ImageData,
    augmentation: Mapping[str, Any],
    *,
    repeats: int,
    cache_dir: Path,
    device: torch.device,
) -> list["StoredLogits"]:
    """Each teacher's logits for the first `repeats` augmentations of the training images.

    Computed where they are not there yet, by one process while others wait, in batches of the
    training's size: so they are bit for bit those of live teachers.

    Args:
        teachers: are on the CPU, before and after.
        data: prepared; the student's.
        augmentation: what it was built from; all its numbers, its seed too.
        repeats: number of augmentations of each image.
        cache_dir: keeps them, shared by all runs.
        device: where the teachers run.

    Raises:
        DataError: they cannot be written, or are damaged.
    """
    found = []
    for teacher in teachers:
        whose = cache_dir / "teacher_logits" / teacher_key(teacher, device)
        folder = whose / images_key(data, augmentation)
        if whose.is_dir() and not folder.is_dir():
            log.info(
                f"teacher {teacher.name}: its cached logits are of other images, augmentation or "
                "batch size, so new ones are computed"
            )
        stored = StoredLogits(
            folder, images=sum(data.class_counts["train"]), classes=data.num_classes
        )
        for repeat in range(repeats):
            build = partial(stored.compute, repeat, repeats, teacher, data, device)
            build_once(stored.folder_of(repeat), build)
        found.append(stored)
    return found


class StoredLogits:
    """Memory-mapped logits of one teacher.

    Args:
        folder: holds one folder a repeat.
        images: N, of the training split.
        classes: C.
    """

    def __init__(self, folder: Path, *, images: int, classes: int) -> None:
        self.folder = folder
        self.shape = (images, classes)
        self._repeats: dict[int, np.ndarray] = {}

    def folder_of(self, repeat: int) -> Path:
        """Where the logits of one repeat lie."""
        return self.folder / f"view_{repeat:04d}"  # as it was always called: the cache is shared

    def read(self, keys: np.ndarray) -> Tensor:
        """Logits float32 n x C for (repeat, index) keys int64 n x 2."""
        logits = np.empty((len(keys), self.shape[1]), np.float32)
        for repeat in np.unique(keys[:, 0]).tolist():
            if repeat not in self._repeats:
                self._repeats[repeat] = self._open(repeat)
            rows = keys[:, 0] == repeat
            logits[rows] = self._repeats[repeat][keys[rows, 1]]
        return torch.from_numpy(logits)

    def compute(
        self,
        repeat: int,
        repeats: int,
        teacher: Teacher,
        data: ImageData,
        device: torch.device,
        folder: Path,
    ) -> None:
        """Writes one repeat's logits into `folder`, which is not yet where they will lie."""
        batches = data.repeat_batches(repeat)
        job = (
            f"Teacher {teacher.name} looks at augmentation {repeat + 1} of {repeats} of "
            f"{self.shape[0]} images"
        )
        teacher.network.to(device)
        left = self.shape[0]
        with (folder / "logits").open("wb") as file:
            for images, *_ in report_progress(batches, total=len(batches), job=job):
                logits = teacher(images.to(device)).cpu().numpy()[:left]
                file.write(np.ascontiguousarray(logits, np.float32).tobytes())
                left -= len(logits)
        teacher.network.cpu()

    def _open(self, repeat: int) -> np.ndarray:
        path = self.folder_of(repeat) / "logits"
        if path.stat().st_size != 4 * self.shape[0] * self.shape[1]:
            raise DataError(f"The teacher's logits in {path.parent} are damaged: delete it.")
        return np.memmap(path, np.float32, mode="r", shape=self.shape)


def teacher_key(teacher: Teacher, device: torch.device) -> str:
    """A digest of all that shapes a teacher's logits, its images aside."""
    network = teacher.network
    model = getattr(network, "model_cfg", {})
    recipe = getattr(network, "recipe", None)
    parts = {
        "format": FORMAT_VERSION,
        "torch": torch.__version__,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "modules": str(network),
        "model": {key: value for key, value in model.items() if key not in WEIGHT_SOURCES},
        "recipe": recipe and recipe.to_json(),
        "resize_to": getattr(getattr(network, "pixels", None), "resize_to", None),
        "channels_last": teacher.channels_last,
    }
    digest = hashlib.sha256(_json(parts))
    digest_weights(digest, network)
    return digest.hexdigest()[:24]


def images_key(data: ImageData, augmentation: Mapping[str, Any]) -> str:
    """A digest of all that shapes the augmentations of the training images."""
    parts = {
        "images": data.key("train"),
        "size": data.image_size,
        "augmentation": dict(augmentation),
        "batch": data.batch_size,  # kernels are chosen by it, and round differently
        "libraries": {name: version(name) for name in ("albumentations", "torchvision")},
    }
    return hashlib.sha256(_json(parts)).hexdigest()[:24]


def _json(parts: Mapping[str, Any]) -> bytes:
    return json.dumps(parts, sort_keys=True, default=str).encode()
