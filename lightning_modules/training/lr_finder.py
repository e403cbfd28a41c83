"""The learning-rate range test (Smith 2017, section 3.3): with which rate to train."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.training.optimization import make_optimizer

LOWEST, HIGHEST = 1e-6, 1.0
STEPS = 100  # weight updates from the lowest rate to the highest
SMOOTHING = 0.9  # share of the running mean of the loss that an update keeps
DIVERGED = 4.0  # the test ends where the smoothed loss is so many times its best
MARGIN = 10  # first updates, whose mean is still rough
REACH = 4  # updates to each side over which a slope is taken

Batches = Iterator[tuple[Tensor, Tensor]]


@dataclass
class RangeTest:
    """What was seen, one entry an update: the rate and the smoothed loss."""

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @property
    def suggestion(self) -> float:
        """The rate at which the loss falls most steeply, over the rate's logarithm.

        Raises:
            ConfigError: the loss falls nowhere.
        """
        lowest = min(range(len(self.losses)), key=self.losses.__getitem__, default=0)
        slopes = {  # beyond the lowest loss, a fall is a recovery
            self.rates[i]: self.losses[i + REACH] - self.losses[i - REACH]
            for i in range(MARGIN + REACH, min(lowest + 1, len(self.losses) - REACH))
        }
        steepest = min(slopes, key=slopes.__getitem__, default=None)
        if steepest is None or slopes[steepest] >= 0:
            raise ConfigError(
                f"lr_find=true saw the loss fall at no rate from {LOWEST:g} to {HIGHEST:g}; leave "
                "lr_find out and give optimizer.lr."
            )
        return float(f"{steepest:.2g}")


def range_test(
    network: nn.Module,
    batches: Batches,
    *,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: DictConfig,
    seed: int,
    device: torch.device,
    batches_per_step: int = 1,
) -> RangeTest:
    """Trains a copy of `network` for a while, each update at a larger rate than the last.

    Neither the network nor the state of torch's random generators changes.

    Args:
        network: uint8 N x 3 x H x W -> logits N x classes.
        batches: endless (images, labels).
        loss: (logits, labels) -> scalar.
        optimizer: configuration node; layers keep their multiples of the rate.
        seed: of what the network draws, such as dropout.
        device: where the copy trains.
        batches_per_step: batches whose mean gradient makes an update.

    Returns:
        Rates and smoothed losses up to where the loss diverged.
    """
    trained = copy.deepcopy(network).to(device).train()
    updater = make_optimizer(nn.ModuleDict({"network": trained}), optimizer, lr=1.0)
    factors = [group["lr"] for group in updater.param_groups]
    result, best = RangeTest(), math.inf
    smooth = _smoother()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for number in range(STEPS):
            rate = LOWEST * (HIGHEST / LOWEST) ** (number / (STEPS - 1))
            for group, factor in zip(updater.param_groups, factors, strict=True):
                group["lr"] = rate * factor
            some = itertools.islice(batches, batches_per_step)
            smoothed = smooth(_accumulate(trained, some, loss, device, batches_per_step))
            updater.step()
            updater.zero_grad()
            best = min(best, smoothed)
            if not smoothed <= DIVERGED * best:  # a NaN too
                break
            result.rates.append(rate)
            result.losses.append(smoothed)
    return result


def _accumulate(
    network: nn.Module,
    batches: Batches,
    loss: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
    count: int,
) -> float:
    """Adds the mean gradient of `count` batches; returns their mean loss."""
    total = 0.0
    for images, labels in batches:
        part = loss(network(images.to(device)), labels.to(device)) / count
        part.backward()
        total += part.item()
    return total


def _smoother() -> Callable[[float], float]:
    """A running mean, corrected for its start at zero (Kingma and Ba 2015, section 3)."""
    mean, weight = 0.0, 0.0

    def smooth(value: float) -> float:
        nonlocal mean, weight
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        return mean / weight

    return smooth
