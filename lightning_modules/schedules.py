"""Learning-rate schedules, one value a weight update."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR


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


def cosine(optimizer: Optimizer, *, total_steps: int, final_fraction: float) -> LRScheduler:
    """From the optimizer's rate down along half a cosine (Loshchilov and Hutter 2017)."""
    lowest = final_fraction * max(group["lr"] for group in optimizer.param_groups)
    return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=lowest)
