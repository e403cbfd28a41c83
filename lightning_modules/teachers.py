"""Teachers: frozen networks that give a student its soft targets."""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from datamodules.image_data import ImageData
from lightning_modules import run_directory, teacher_runs
from lightning_modules.atomic_files import read_json, write_json
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network, build_network, load_network

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Teacher:
    """One teacher.

    Attributes:
        name: as in the configuration.
        network: frozen, in eval mode; uint8 N x 3 x H x W -> logits N x classes.
        weight: its share in a mean of several.
        temperature: its own temperature, or None for the distillation's.
    """

    name: str
    network: nn.Module
    weight: float = 1.0
    temperature: float | None = None

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits N x classes for images N x 3 x H x W."""
        return self.network(images)


def teacher_from(
    name: str,
    node: DictConfig,
    *,
    run: Path | None,
    class_names: tuple[str, ...],
    image_size: tuple[int, int],
) -> Teacher:
    """The teacher that a configuration node describes.

    Args:
        run: the directory that holds it; None means that the node names a weights file.
        class_names: classes of the student's data, in order.
        image_size: (H, W) in pixels of the student's images; a teacher that was trained at
            another size (or is given one) resizes them itself.

    Raises:
        ConfigError: the weights do not hold the whole teacher, its head included.
    """
    if run is not None:
        network = load_network(run)
    else:
        model = {**node.model, "weights": node.weights, "pretrained": False}
        network = build_network(model, num_classes=len(class_names), image_size=image_size)
        if network.new_tensors:
            raise ConfigError(
                f"teacher.{name}: {node.weights} lacks {', '.join(network.new_tensors)}; a teacher "
                f"needs a head for these {len(class_names)} classes."
            )
    wanted = node.get("image_size") or network.image_size
    size = (wanted, wanted) if isinstance(wanted, int) else tuple(wanted)
    if size != tuple(image_size):
        network.pixels.resize_to = size
    return freeze(name, network, node)


def freeze(name: str, network: nn.Module, node: DictConfig) -> Teacher:
    """A teacher around a network that from now on never changes."""
    return Teacher(
        name=name,
        network=network.eval().requires_grad_(False),
        weight=node.get("weight", 1.0),
        temperature=node.get("temperature"),
    )


def gather_teachers(
    cfg: DictConfig, data: ImageData, folder: Path, *, train: Callable[[DictConfig, Path], Any]
) -> list[Teacher]:
    """All teachers but `original`; which runs they are is noted in the folder, for a resume.

    Args:
        cfg: the composed configuration.
        data: of the student; a teacher must know the same classes.
        folder: the run directory.
        train: conducts the run (configuration, folder) of a teacher that has none yet.
    """
    note = folder / "teachers.json"
    known = read_json(note) if note.is_file() else {}
    teachers = []
    for name, node in cfg.teacher.items():
        if name == teacher_runs.ORIGINAL:
            continue
        if name not in known:
            run = teacher_runs.find_run(name, node, cfg.data)
            run = run or _train_teacher(name, node, cfg, train)
            known[name] = None if run is None else str(run)
        run = known[name]
        log.info(f"teacher {name}: {run or node.weights}")
        teachers.append(
            teacher_from(
                name,
                node,
                run=run and Path(run),
                class_names=data.class_names,
                image_size=data.image_size,
            )
        )
    if teachers:
        write_json(note, known)
    return teachers


def _train_teacher(
    name: str, node: DictConfig, cfg: DictConfig, train: Callable[[DictConfig, Path], Any]
) -> Path | None:
    """Trains a teacher that has no finished run yet, with this command's settings.

    Whether that is allowed was checked before the run started.
    """
    if node.get("weights") is not None:
        return None
    folder = run_directory.make_folder(
        run_directory.outputs_root() / "teachers",
        f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{name}_{cfg.data.name}",
    )
    log.info(f"teacher {name}: no finished run on this data yet; training it in {folder}")
    own = OmegaConf.merge(cfg, {"from_run": None, "resume": None})
    OmegaConf.set_struct(own, False)
    own.model, own.teacher, own.compression = node.model, {}, {}
    if "cosine_scale" in cfg.model:  # the head that the loss needs
        own.model.cosine_scale = cfg.model.cosine_scale
    (folder / ".hydra").mkdir()
    OmegaConf.save(own, folder / ".hydra" / "config.yaml")
    train(own, folder)
    return folder.absolute()


def with_original(teachers: list[Teacher], network: Network, cfg: DictConfig) -> list[Teacher]:
    """`teachers` and the network as it entered the first compression step."""
    if any(teacher.name == teacher_runs.ORIGINAL for teacher in teachers):
        return teachers
    node = cfg.teacher[teacher_runs.ORIGINAL]
    return [*teachers, freeze(teacher_runs.ORIGINAL, copy.deepcopy(network), node)]
