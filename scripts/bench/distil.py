"""What distillation costs: an epoch without teachers, with live ones, and from stored logits.

`python scripts/bench/distil.py data=image_folder data.root=photos data.image_size=80`

Whole epochs by the code that run.py calls, validation included; the kinds take turns; median of all
epochs but each fit's first. Weights do not change the cost, so the teachers are untrained ones, of
torchvision. On a machine with other work, `--cpu-time` measures this process only.
"""

import statistics
from collections.abc import Sequence

import torch
from omegaconf import OmegaConf

from datamodules.loading import ImageData
from lightning_modules.config import ScriptParser, fresh_config, run_script
from lightning_modules.distillation import Teacher, freeze
from lightning_modules.networks import build_network
from scripts.bench.epochs import CLOCKS, epoch_seconds, machine, open_data, timed_config

TEACHERS = {"resnet18": "resnet", "mobilenet_v3_large": "mobilenet_v3", "mnasnet1_0": "mnasnet"}
SETTINGS = {"live": {"augmentation_repeats": 2}, "stored": {"cache": 2}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the seconds of each kind of epoch and what they should be compared with."""
    parser = ScriptParser(description=__doc__, usage="[key=value ...] [--flags]")
    parser.add_argument("--epochs", type=int, default=4, help="of each fit (default 4)")
    parser.add_argument("--repeats", type=int, default=3, help="fits of each kind (default 3)")
    parser.add_argument("--cpu-time", action="store_true", help="seconds of the processor")
    typed = parser.parse(arguments)
    clock = "processor" if typed.flags.cpu_time else "wall"
    cfg = timed_config(typed.overrides, epochs=typed.flags.epochs, clock=clock)
    data = open_data(cfg)
    teachers = [untrained(name, data) for name in TEACHERS]
    seconds: dict[str, list[float]] = {
        kind: [] for kind in ("no teachers", *SETTINGS, "teachers alone")
    }
    for _ in range(typed.flags.repeats):
        seconds["no teachers"] += epoch_seconds(cfg, data)
        for kind, settings in SETTINGS.items():
            taught = OmegaConf.merge(cfg, {"distillation": settings})
            seconds[kind] += epoch_seconds(taught, data, teachers=teachers)
        seconds["teachers alone"].append(alone(data, teachers, clock))
    report({kind: statistics.median(found) for kind, found in seconds.items()})


def untrained(variant: str, data: ImageData) -> Teacher:
    """A teacher of that network, with random weights."""
    model = fresh_config([f"model={TEACHERS[variant]}", f"model.variant={variant}"]).model
    network = build_network(model, num_classes=data.num_classes, image_size=data.image_size)
    return freeze(variant, network, OmegaConf.create({}))


def alone(data: ImageData, teachers: list[Teacher], clock: str) -> float:
    """Seconds that the teachers take for all batches of an epoch, and nothing else."""
    now, device = CLOCKS[clock], torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batches = [batch[0].to(device) for batch in data.train_dataloader()]
    for teacher in teachers:
        teacher.network.to(device)
    start = now()
    for images in batches:
        for teacher in teachers:
            teacher(images)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = now() - start
    for teacher in teachers:
        teacher.network.cpu()
    return seconds


def report(seconds: dict[str, float]) -> None:
    """Prints seconds and ratios with what they were measured on."""
    for kind, value in seconds.items():
        print(f"{kind:15} {value:7.3f} s an epoch")
    plain = seconds["no teachers"]
    print(f"stored / no teachers {seconds['stored'] / plain:.3f}")
    print(
        f"live / (no teachers + teachers alone) "
        f"{seconds['live'] / (plain + seconds['teachers alone']):.3f}"
    )
    print(f"{machine()}, teachers {', '.join(TEACHERS)}")


if __name__ == "__main__":
    run_script(main)
