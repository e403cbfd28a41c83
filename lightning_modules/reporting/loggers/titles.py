"""What a person calls a run, and the group that it belongs to."""

from pathlib import Path

from hydra.types import RunMode
from omegaconf import DictConfig

from lightning_modules.runs import joined


def run_title(cfg: DictConfig, hydra: DictConfig) -> tuple[str, str]:
    """What a person calls the run that Hydra started, and the group that it belongs to.

    `<model>_<data>[_<steps>]_seed<seed>[_fold<fold>][_trial<number>]`; the group is the study's
    name, else `<model>_<data>`.
    """
    choices = hydra.runtime.choices
    group = [choices.model, choices.data]
    words = [*group, *cfg.compression, f"seed{cfg.seed}"]
    if cfg.data.get("fold") is not None:
        words.append(f"fold{cfg.data.fold}")
    if hydra.mode == RunMode.MULTIRUN:
        return joined([*words, f"trial{trial_number(cfg, hydra)}"]), Path(hydra.sweep.dir).name
    return joined(words), joined(group)


def trial_number(cfg: DictConfig, hydra: DictConfig) -> int:
    """A search tells it; in another multirun it is the job's number."""
    number = cfg.get("trial")
    return hydra.job.num if number is None else number
