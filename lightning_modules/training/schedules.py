"""Learning-rate schedules with one value a weight update, made of torch's own."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)

WARMUP_START = 0.01  # first rate of a warm-up, as a share of the peak


def one_cycle(
    optimizer: Optimizer,
    *,
    total_steps: int,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
) -> LRScheduler:
    """Up to the optimizer's rate, then down to almost nothing (Smith and Topin 2018)."""
    total_steps = max(total_steps, 10)  # OneCycleLR divides by zero when its rise is one step
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        pct_start=max(pct_start, 2 / total_steps),
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        cycle_momentum=False,
    )


def cosine(
    optimizer: Optimizer,
    *,
    total_steps: int,
    steps_per_epoch: int = 1,
    final_fraction: float,
    warmup_epochs: float = 0.0,
) -> LRScheduler:
    """From the optimizer's rate down along half a cosine (Loshchilov and Hutter 2017)."""
    rise = _warmup_steps(warmup_epochs, steps_per_epoch, total_steps)
    fall = max(1, total_steps - rise)

    def factor(step: int) -> float:
        angle = math.pi * min(step / fall, 1.0)
        return final_fraction + (1 - final_fraction) * (1 + math.cos(angle)) / 2

    # Not CosineAnnealingLR: its one lowest rate would lift the layers that have small rates.
    return _after_warmup(optimizer, LambdaLR(optimizer, factor), rise)


def cosine_restarts(
    optimizer: Optimizer,
    *,
    total_steps: int,
    steps_per_epoch: int,
    cycle_epochs: float,
    cycle_factor: int,
    warmup_epochs: float,
) -> LRScheduler:
    """Half cosines down to zero, each from the full rate again (SGDR, Loshchilov and Hutter 2017).

    Args:
        optimizer: its rates are the peaks.
        total_steps: weight updates of the whole fit.
        steps_per_epoch: weight updates an epoch.
        cycle_epochs: epochs of the first cosine.
        cycle_factor: each next cosine is this many times as long.
        warmup_epochs: epochs of the linear rise before the first cosine.
    """
    cycle = max(1, round(cycle_epochs * steps_per_epoch))
    cosines = CosineAnnealingWarmRestarts(optimizer, T_0=cycle, T_mult=cycle_factor)
    rise = _warmup_steps(warmup_epochs, steps_per_epoch, total_steps)
    return _after_warmup(optimizer, cosines, rise)


def _warmup_steps(epochs: float, steps_per_epoch: int, total_steps: int) -> int:
    """At most half of a fit, however short it is."""
    return min(round(epochs * steps_per_epoch), total_steps // 2)


def _after_warmup(optimizer: Optimizer, schedule: LRScheduler, steps: int) -> LRScheduler:
    """A linear rise of so many steps, then `schedule` (Goyal et al. 2017, section 2.2)."""
    if steps == 0:
        return schedule
    rise = LinearLR(optimizer, start_factor=WARMUP_START, total_iters=steps)
    return SequentialLR(optimizer, [rise, schedule], milestones=[steps])
