"""Teachers: frozen networks that a student learns from."""

import copy
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from datamodules.loading import ImageData
from lightning_modules.distillation import teacher_runs
from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json, write_json, write_text
from lightning_modules.networks import Network, build_network, load_network, to_channels_last
from lightning_modules.runs import (
    METRICS_FILE,
    NOT_YET,
    missing_parts,
    run_directory,
    trusted_packages,
)

log = logging.getLogger(__name__)

CONFIG = Path(".hydra") / "config.yaml"  # of a run

HALVES = {"16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Teacher:
    """One teacher.

    Attributes:
        name: as in the configuration.
        network: frozen, in eval mode; uint8 N x 3 x H x W -> logits N x classes.
        weight: of its loss, or of its part in the joint target, among several.
        temperature: its own temperature, or None for the distillation's.
        features: which of its modules (values) the student's modules (keys) are compared with.
        channels_last: run in channels-last memory order.
    """

    name: str
    network: nn.Module
    weight: float = 1.0
    temperature: float | None = None
    features: Mapping[str, str] = field(default_factory=dict)
    channels_last: bool = False

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits float32 N x classes for images N x 3 x H x W, whatever precision training has."""
        order = torch.channels_last if self.channels_last else torch.contiguous_format
        filled = _fill(images).contiguous(memory_format=order)
        with torch.autocast(images.device.type, enabled=False):
            return self.network(filled)[: len(images)].float()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Teacher":
        """Itself, for it never changes: who averages weights copies whatever holds a teacher."""
        return self


def _fill(images: Tensor) -> Tensor:
    """The images, some twice, so that the threads of a CPU get equal shares of whole images.

    Else a thread begins in the middle of an image, which rounds differently there: an image's
    logits would depend on its place in the batch, and stored ones could not equal live ones.
    """
    lacking = -len(images) % torch.get_num_threads() if images.device.type == "cpu" else 0
    return images if lacking == 0 else torch.cat([images, images[:1].repeat(lacking, 1, 1, 1)])


def teacher_from(
    name: str,
    node: DictConfig,
    *,
    run: Path | None,
    class_names: tuple[str, ...],
    image_size: tuple[int, int],
    trust: Iterable[str] = (),
) -> Teacher:
    """The teacher that a configuration node describes.

    Args:
        run: the directory that holds it; None means that the node names a weights file.
        class_names: classes of the student's data, in order.
        image_size: (H, W) in pixels of the student's images; a teacher that was trained at
            another size (or is given one) resizes them itself.
        trust: packages outside this one whose networks and steps its run may name.

    Raises:
        ConfigError: the weights do not hold the whole teacher, its head included.
    """
    if run is not None:
        network = load_network(run, trust=trust, any_size=node.get("image_size") is not None)
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
    """A teacher around a network that from now on never changes.

    Args:
        name: as in the configuration.
        network: uint8 N x 3 x H x W -> logits N x classes; changed in place.
        node: the teacher's: `weight`, `temperature`, `features`, `precision`, `channels_last`.
    """
    network = network.eval().requires_grad_(False)
    channels_last = bool(node.get("channels_last"))
    if channels_last:
        to_channels_last(network)
    precision = str(node.get("precision") or 32)
    if precision in HALVES:
        _halve(cast(Network, network), HALVES[precision])
    return Teacher(
        name=name,
        network=network,
        weight=node.get("weight", 1.0),
        temperature=node.get("temperature"),
        features=dict(node.get("features") or {}),
        channels_last=channels_last,
    )


def _halve(network: Network, dtype: torch.dtype) -> None:
    """Half precision for all but the pixels, whose 0..255 are normalised (and resized) first."""
    network.body.to(dtype)
    network.body.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype),))


def gather_teachers(
    cfg: DictConfig, data: ImageData, folder: Path, *, train: Callable[[DictConfig, Path], Any]
) -> list[Teacher]:
    """All teachers but `original`; which runs they are is noted in the folder, for a resume.

    One that has to be trained is noted before, so that a resume goes on with its training.

    Args:
        cfg: the composed configuration.
        data: of the student; a teacher must know the same classes.
        folder: the run directory.
        train: carries out the run (configuration, folder) of a teacher that has none yet.
    """
    record = folder / "teachers.json"
    known = read_json(record) if record.is_file() else {}
    teachers = []
    for name, node in cfg.teacher.items():
        if name == teacher_runs.ORIGINAL:
            continue
        found = None if name in known else teacher_runs.find_run(name, node, cfg.data)
        if name not in known:
            run = found or _begin_teacher(name, node, cfg)
            known[name] = None if run is None else str(run)
            write_json(record, known)
        run = known[name]
        if run is not None and found is None and _is_begun(Path(run)):
            log.info(f"teacher {name}: no finished run on this data yet; training it in {run}")
            train(_own_config(Path(run)), Path(run))
        log.info(f"teacher {name}: {run or node.weights}")
        teachers.append(
            teacher_from(
                name,
                node,
                run=run and Path(run),
                class_names=data.class_names,
                image_size=data.image_size,
                trust=trusted_packages(cfg),
            )
        )
    return teachers


def _begin_teacher(name: str, node: DictConfig, cfg: DictConfig) -> Path | None:
    """The folder and configuration of a teacher's run, with this command's settings.

    Whether it may be trained was checked before the run started.
    """
    if node.get("weights") is not None:
        return None
    folder = run_directory.make_folder(
        run_directory.outputs_root() / "teachers",
        f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{name}_{cfg.data.name}",
    )
    own = cast(DictConfig, OmegaConf.merge(cfg, {"from_run": None, "resume": None}))
    OmegaConf.set_struct(own, False)
    own.model, own.teacher, own.compression = node.model, {}, {}
    if "cosine_scale" in cfg.model:  # the head that the loss needs
        own.model.cosine_scale = cfg.model.cosine_scale
    write_text(folder / CONFIG, OmegaConf.to_yaml(own))
    return folder.absolute()


def _is_begun(run: Path) -> bool:
    """Whether it is a teacher's of `_begin_teacher` whose training, or its end, is not over."""
    trained_here = run.parent == (run_directory.outputs_root() / "teachers").absolute()
    unfinished = not (run / METRICS_FILE).is_file() or NOT_YET in missing_parts(run).values()
    return trained_here and unfinished


def _own_config(run: Path) -> DictConfig:
    own = cast(DictConfig, OmegaConf.load(run / CONFIG))
    OmegaConf.set_struct(own, False)
    return own


def with_original(teachers: list[Teacher], network: Network, cfg: DictConfig) -> list[Teacher]:
    """`teachers` and, where the run wants it, the network as it enters the first compression."""
    node = cfg.teacher.get(teacher_runs.ORIGINAL)
    if node is None or any(teacher.name == teacher_runs.ORIGINAL for teacher in teachers):
        return teachers
    return [*teachers, freeze(teacher_runs.ORIGINAL, copy.deepcopy(network), node)]
