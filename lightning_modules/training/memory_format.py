"""Whether channels-last activations make a network train faster here: measured once, kept."""

import hashlib
import json
import logging
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
VECTOR = 16  # numbers of float32 that a processor computes at once, at most

log = logging.getLogger(__name__)


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
            structure, batch shape, number of threads, device and torch version. On a processor a
            network with a layer that torch cannot train so stays contiguous, which is said.
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
    if setting == "contiguous":
        return False
    fatal = fatal_in_channels_last(network) if device.type == "cpu" else []
    if fatal:
        log.log(
            logging.INFO if setting == "auto" else logging.WARNING,
            "trainer.memory_format=%s: this network trains in contiguous order, for torch would "
            "die in the backward pass of its layer %s in channels-last order.",
            setting,
            fatal[0],
        )
        return False
    if setting == "channels_last":
        return True
    path = cache_dir / "memory_format" / f"{_key(network, batch[0], device)}.json"
    if not path.is_file():
        speedup = _measure(network, batch, loss=loss, device=device)
        write_json(path, {"speedup": round(speedup, 3)})
    return read_json(path)["speedup"] >= WORTHWHILE


def fatal_in_channels_last(network: nn.Module) -> list[str]:
    """The layers in whose backward pass torch dies on a processor, in channels-last order.

    The gradient of the weights of a strided 1 x 1 convolution of fewer channels than a vector has
    numbers (16 of float32), without padding or groups, writes beyond a buffer of oneDNN where the
    last row or column is not read: memory is corrupted, sooner or later with a SIGSEGV. Seen with
    torch 2.15 (oneDNN 3.13.3), which has no other path for it. The size of the image is not looked
    at: the same network may be given others.
    """
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.groups == 1
        and module.in_channels < VECTOR
    ]


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
