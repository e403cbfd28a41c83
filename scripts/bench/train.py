"""Training throughput of run.py against a hand-written loop.

`python scripts/bench/train.py data=image_folder data.root=photos data.image_size=80 --epochs 5`

Same network, data cache, augmentation library and optimizer; whole epochs, validation included
(ours also writes checkpoints and tables); both sides take turns; median of all epochs but the
first. Threads, batch size and device are printed.
"""

import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch
from omegaconf import DictConfig
from torch import nn

from datamodules.loading import ImageData
from lightning_modules.config import ScriptParser, run_script
from lightning_modules.experiment import initial_network
from lightning_modules.training.schedules import one_cycle
from scripts.bench.epochs import epoch_seconds, machine, open_data, timed_config


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints images per second of both sides and their ratio."""
    parser = ScriptParser(description=__doc__, usage="[key=value ...] [--flags]")
    parser.add_argument("--epochs", type=int, default=5, help="of each fit (default 5)")
    parser.add_argument("--repeats", type=int, default=2, help="fits of each side (default 2)")
    typed = parser.parse(arguments)
    cfg = timed_config(typed.overrides, epochs=typed.flags.epochs)
    data = open_data(cfg)
    ours, theirs = [], []
    for _ in range(typed.flags.repeats):
        ours += epoch_seconds(cfg, data)
        theirs += hand_written(cfg, data)
    report(cfg, data, statistics.median(ours), statistics.median(theirs))


def hand_written(cfg: DictConfig, data: ImageData) -> list[float]:
    """Seconds of each epoch but the first, by the shortest loop a practitioner would write."""
    import albumentations

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = initial_network(cfg, data).to(device)
    pixels = [image.copy() for image, _ in stored(data)]
    labels = torch.tensor([label for _, label in stored(data)])
    size = data.image_size
    augment = albumentations.Compose(
        [
            albumentations.RandomResizedCrop(size=size, scale=(0.35, 1.0)),
            albumentations.HorizontalFlip(),
            albumentations.ColorJitter(0.2, 0.2, 0.2, 0.02),
        ]
    )
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=cfg.optimizer.lr)
    batch, epochs = cfg.data.batch_size, cfg.trainer.max_epochs
    steps = len(labels) // batch
    settings = {"pct_start": 0.2, "div_factor": 10.0, "final_div_factor": 1e3}
    schedule = one_cycle(optimizer, total_steps=steps * epochs, **settings)
    starts = []
    for _ in range(epochs):
        starts.append(time.perf_counter())
        network.train()
        order = np.random.permutation(len(labels))  # noqa: NPY002
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            images = np.stack([augment(image=pixels[i])["image"] for i in chosen])
            inputs = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)
            value = loss(network(inputs), labels[chosen].to(device))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            for images, truth in data.val_dataloader():
                (network(images.to(device)).argmax(1).cpu() == truth).float().mean()
    starts.append(time.perf_counter())
    return np.diff(starts).tolist()[1:]


def stored(data: ImageData) -> list[tuple[np.ndarray, int]]:
    """The cached training images, uint8 h x w x 3, with their labels."""
    dataset = data.train_dataloader().dataset
    return [(dataset.pixels[i], int(dataset.labels[i])) for i in range(len(dataset))]


def report(cfg: DictConfig, data: ImageData, ours: float, theirs: float) -> None:
    """Prints throughputs with what they were measured on."""
    images = data.class_counts["train"]
    for name, seconds in (("run.py", ours), ("hand-written", theirs)):
        print(f"{name:13} {sum(images) / seconds:8.0f} images/s  {seconds:6.2f} s an epoch")
    print(f"ratio {theirs / ours:.3f} (run.py / hand-written throughput)")
    print(f"{machine()}, batch {cfg.data.batch_size}")


if __name__ == "__main__":
    run_script(main)
