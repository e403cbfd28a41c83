"""Whether channels-last activations make a network train faster here: measured once, kept."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from compression.network_copy import copy_network
from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json, write_json
from lightning_modules.networks import to_channels_last
from lightning_modules.training.devices import device_name

WORTHWHILE = 1.1  # a smaller gain is within the noise, and contiguous is the plain choice
CHOICES = ("auto", "contiguous", "channels_last")


def choose_channels_last(
    setting: str,
    network: nn.Module,
    batch: tuple[Tensor, Tensor],
    *,
    loss: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
    cache_dir: Path,
) -> bool:
    """True where activations should be channels-last.

    Args:
        setting: `contiguous` or `channels_last` decide; `auto` measures, once for each network
            structure, batch shape, number of threads, device and torch version.
        network: is not changed.
        batch: images uint8 N x 3 x H x W and labels N to measure with.
        loss: (logits, labels) -> scalar.
        device: where the network will train.
        cache_dir: keeps the measurement.

    Raises:
        ConfigError: the setting is none of these.
    """
    if setting not in CHOICES:
        raise ConfigError(f"trainer.memory_format={setting}; choose one of {', '.join(CHOICES)}.")
    if setting != "auto":
        return setting == "channels_last"
    path = cache_dir / "memory_format" / f"{_key(network, batch[0], device)}.json"
    if not path.is_file():
        speedup = _measure(network, batch, loss=loss, device=device)
        write_json(path, {"speedup": round(speedup, 3)})
    return read_json(path)["speedup"] >= WORTHWHILE


def _key(network: nn.Module, images: Tensor, device: torch.device) -> str:
    shapes, threads = str(tuple(images.shape)), torch.get_num_threads()
    parts = [str(network), shapes, threads, device_name(device), torch.__version__]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _measure(
    network: nn.Module,
    batch: tuple[Tensor, Tensor],
    *,
    loss: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
) -> float:
    """Seconds of a contiguous training step over those of a channels-last one (medians)."""
    images, labels = (tensor.to(device) for tensor in batch)
    formats = (torch.contiguous_format, torch.channels_last)
    copies = [copy_network(network).to(device).train() for _ in formats]
    to_channels_last(copies[1])
    seconds: list[list[float]] = [[], []]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for repeat in range(6):
            for side, (candidate, memory_format) in enumerate(zip(copies, formats, strict=True)):
                start = time.perf_counter()
                loss(candidate(images.contiguous(memory_format=memory_format)), labels).backward()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                if repeat:  # the first step also chooses kernels
                    seconds[side].append(time.perf_counter() - start)
    plain, last = (sorted(times)[len(times) // 2] for times in seconds)
    return plain / last
