"""The winner of a study as an experiment of its own: `python run.py experiment=found_<study>`."""

import os
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from optuna import Study
from optuna.trial import FrozenTrial

from lightning_modules.config import CONF, fresh_config
from lightning_modules.files import write_text
from lightning_modules.registry import plain
from lightning_modules.runs import NEUTRAL, current_option, joined, leaves, read_config, removed
from lightning_modules.search.trials import METRICS, best_trials, result

# Groups whose option no metric depends on, or which an experiment may not choose.
LEFT_OUT = ("logger", "sweep", "experiment", "debug")
ADDED = ("compression", "teacher")  # groups that are not in the defaults list


def found_root() -> Path:
    """The configuration folder that winners are written to: $MODEL_DIET_FOUND, else `conf`."""
    return Path(os.environ.get("MODEL_DIET_FOUND", CONF))


def winners(study: Study) -> list[FrozenTrial]:
    """The best trials, best first; of several objectives the front by rising `score/macs`."""
    best = best_trials(study)
    if len(study.directions) == 1:
        return best
    return sorted(best, key=lambda trial: trial.user_attrs.get(METRICS, {}).get("score/macs", 0.0))


def write_winner(study: Study, trial: FrozenTrial, run: Path, place: int = 1) -> Path:
    """Writes the experiment, and for an architecture its blocks; returns the experiment's path.

    Args:
        study: has the name.
        trial: the winner.
        run: its run directory, whose saved configuration is what counts.
        place: among the winners; from the second on it is part of the name.
    """
    name = joined([f"found_{study.study_name}", *([str(place)] if place > 1 else [])])
    cfg = read_config(run / ".hydra" / "config.yaml")
    stored = OmegaConf.load(run / ".hydra" / "hydra.yaml").hydra.runtime.choices
    options = _options({str(k): current_option(str(k), str(v)) for k, v in stored.items()}, cfg)
    base = _composed(options)
    found_keys = {key.lstrip("+") for key in trial.params}
    skip: tuple[str, ...] = NEUTRAL
    if "stages" in cfg.model:
        _write_blocks(cfg, name)
        options["model"], skip = f"blocks/{name}", (*NEUTRAL, "model")
    without, ours = plain(base, resolve=False), plain(cfg, resolve=False)
    usual = {_dotted(key): value for key, value in leaves(without)}
    tree: dict[str, Any] = {}
    for key, value in leaves(ours):
        known = _dotted(key) in usual and usual[_dotted(key)] == value
        if not known and not _is_within(key, skip):
            _set(tree, key, value)
    gone = [f"'~{_dotted(key)}'" for key in removed(without, ours) if not _is_within(key, skip)]
    values = result(trial, study.user_attrs["objectives"]).replace("  ", ", ")
    lines = [
        "# @package _global_",
        " ".join([f"# python run.py experiment={name}", *gone]),
        f"# Trial {trial.number} of the study {study.study_name}: {values}",
        "defaults:",  # added groups come first: after an override Hydra would not take them
        *(f"  - /{group}: {options[group]}" for group in ADDED if group in options),
        *(f"  - override /{g}: {o}" for g, o in options.items() if g not in ADDED),
        *_written(tree, found_keys),
    ]
    path = found_root() / "experiment" / f"{name}.yaml"
    write_text(path, "\n".join(lines) + "\n")
    return path


def _options(choices: dict[str, str], cfg: DictConfig) -> dict[str, str]:
    """The option of each group that a metric depends on; lists as `[a,b]`.

    Steps or teachers without a file are written out whole.
    """
    kept = {k: v for k, v in choices.items() if k in cfg and k not in (*LEFT_OUT, *ADDED)}
    for group in ADDED:
        known = [name for name in cfg[group] if (CONF / group / f"{name}.yaml").is_file()]
        kept |= {group: f"[{','.join(known)}]"} if known else {}
    return {group: option.replace(" ", "") for group, option in kept.items()}


def _composed(options: dict[str, str]) -> DictConfig:
    """What the options alone give."""
    words = [f"{'+' if group in ADDED else ''}{group}={o}" for group, o in options.items()]
    return fresh_config(words)


def _is_within(key: tuple[Any, ...], nodes: tuple[str, ...]) -> bool:
    return any(f"{_dotted(key)}.".startswith(f"{node}.") for node in nodes)


def _dotted(key: tuple[Any, ...]) -> str:
    return ".".join(map(str, key))


def _set(tree: dict[str, Any], key: tuple[Any, ...], value: Any) -> None:
    for part in key[:-1]:
        tree = tree.setdefault(str(part), {})
    tree[str(key[-1])] = value


def _written(tree: dict[str, Any], found_keys: set[str], above: tuple[str, ...] = ()) -> list[str]:
    """YAML lines, each value with where it comes from."""
    lines = []
    for key, value in tree.items():
        place, nested = (*above, key), isinstance(value, dict) and value
        source = "found" if _dotted(place) in found_keys else "as in the study"
        end = "" if nested else f" {_scalar(value)}  # {source}"
        lines += [*([] if above else [""]), f"{'  ' * len(above)}{_scalar(key)}:{end}"]
        lines += _written(value, found_keys, place) if nested else []
    return lines


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()


def _write_blocks(cfg: DictConfig, name: str) -> None:
    """Writes `model/blocks/<name>.yaml`: the network of `model=staged` row by row."""
    from lightning_modules.networks import meta_network
    from lightning_modules.networks.blocks.network import RowBlocks

    network = meta_network(cfg.model, num_classes=2, image_size=cfg.data.image_size)
    rows = [module.row for module in network.body.modules() if isinstance(module, RowBlocks)]
    blocks = {r.name: {"repeat": r.repeat, **r.block_type.node(), **r.arguments} for r in rows}
    keys = ("pretrained", "weights", "mean", "std", "input_size")
    rest = plain(OmegaConf.create({key: cfg.model[key] for key in keys}))
    target = "lightning_modules.networks.blocks.network.BlockNetwork"
    node = {"name": name, "_target_": target, "depth_multiple": 1.0, "width_multiple": 1.0}
    lines = [
        f"# python run.py model=blocks/{name}",
        "# Found by a search; one row a block, in this order",
        *(f"{key}: {_scalar(value)}  # as built" for key, value in node.items()),
        "blocks:",
        *(f"  {key}: {_scalar(row)}  # found" for key, row in blocks.items()),
        *(f"{key}: {_scalar(value)}  # as in model=staged" for key, value in rest.items()),
    ]
    write_text(found_root() / "model" / "blocks" / f"{name}.yaml", "\n".join(lines) + "\n")
