"""What distillation costs: an epoch without teachers, with live ones, and from stored logits.

`python scripts/bench/distil.py data=image_folder data.root=photos data.image_size=80`

Whole epochs by the code that run.py calls, validation included; the kinds take turns; median of all
epochs but each fit's first. Weights do not change the cost, so the teachers are untrained ones, of
torchvision. On a machine with other work, `--cpu-time` measures this process only.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from datamodules.loading.image_data import ImageData
from lightning_modules.config.options import CONF
from lightning_modules.distillation.teachers import Teacher, freeze
from lightning_modules.experiment.experiment import initial_network
from lightning_modules.experiment.fit import fit
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stages import stages_of
from lightning_modules.networks import build_network
from lightning_modules.runs import run_directory
from lightning_modules.runs.data import make_data

TEACHERS = {"resnet18": "resnet", "mobilenet_v3_large": "mobilenet_v3", "mnasnet1_0": "mnasnet"}
STARTS: list[float] = []
CLOCK: list[Callable[[], float]] = [time.perf_counter]


class Clock(pl.Callback):
    """Notes when each epoch starts, and when the fit ends."""

    def on_train_epoch_start(self, *_: object) -> None:
        STARTS.append(CLOCK[0]())

    def on_fit_end(self, *_: object) -> None:
        STARTS.append(CLOCK[0]())


def main() -> None:
    """Prints the seconds of each kind of epoch and what they should be compared with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true")
    arguments = parser.parse_args()
    CLOCK[0] = time.process_time if arguments.cpu_time else time.perf_counter
    cfg = composed(*arguments.overrides, f"trainer.max_epochs={arguments.epochs}")
    data = make_data(cfg)
    data.prepare_data()
    data.setup()
    teachers = [untrained(name, data) for name in TEACHERS]
    kinds = {"no teachers": {}, "live": {"augmentation_repeats": 2}, "stored": {"cache": 2}}
    seconds: dict[str, list[float]] = {kind: [] for kind in [*kinds, "teachers alone"]}
    for _ in range(arguments.repeats):
        for kind, settings in kinds.items():
            chosen = teachers if settings else []
            seconds[kind] += epochs(cfg, data, chosen, **settings)
        seconds["teachers alone"].append(alone(data, teachers))
    report({kind: statistics.median(found) for kind, found in seconds.items()})


def composed(*overrides: str) -> DictConfig:
    """The configuration, without logger and progress."""
    run_directory.register_resolvers()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=[*overrides, "logger=none"])
    cfg.callbacks = {"clock": {"_target_": f"{__name__}.Clock"}}
    return cfg


def untrained(variant: str, data: ImageData) -> Teacher:
    """A teacher of that network, with random weights."""
    model = composed(f"model={TEACHERS[variant]}", f"model.variant={variant}").model
    network = build_network(model, num_classes=data.num_classes, image_size=data.image_size)
    return freeze(variant, network, OmegaConf.create({}))


def epochs(
    cfg: DictConfig, data: ImageData, teachers: list[Teacher], **distillation: int
) -> list[float]:
    """Seconds of each epoch but the first; logits are stored before the first one."""
    STARTS.clear()
    own = OmegaConf.merge(cfg, {"distillation": distillation})
    with tempfile.TemporaryDirectory() as folder:
        own.cache_dir = str(cfg.cache_dir)
        (stage,) = stages_of(own)
        fit(
            initial_network(own, data),
            RunContext(own, data, Path(folder)),
            stage,
            teachers=teachers,
        )
    return list(np.diff(STARTS))[1:]


def alone(data: ImageData, teachers: list[Teacher]) -> float:
    """Seconds that the teachers take for all batches of an epoch, and nothing else."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batches = [batch[0].to(device) for batch in data.train_dataloader()]
    for teacher in teachers:
        teacher.network.to(device)
    start = CLOCK[0]()
    for images in batches:
        for teacher in teachers:
            teacher(images)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = CLOCK[0]() - start
    for teacher in teachers:
        teacher.network.cpu()
    return seconds


def report(seconds: dict[str, float]) -> None:
    """Prints the figures with what they were measured on."""
    for kind, value in seconds.items():
        print(f"{kind:15} {value:7.3f} s an epoch")
    plain = seconds["no teachers"]
    print(f"stored / no teachers {seconds['stored'] / plain:.3f}")
    print(
        f"live / (no teachers + teachers alone) "
        f"{seconds['live'] / (plain + seconds['teachers alone']):.3f}"
    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    print(f"{device}, {torch.get_num_threads()} threads, teachers {', '.join(TEACHERS)}")


if __name__ == "__main__":
    main()
