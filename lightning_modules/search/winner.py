"""The winner of a study as an experiment of its own: `python run.py experiment=found_<study>`."""

import os
from pathlib import Path
from typing import Any

import optuna
import yaml
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial

from lightning_modules.config import CONF, fresh_config
from lightning_modules.files import write_text
from lightning_modules.registry import plain
from lightning_modules.runs import NEUTRAL, current_option, joined, leaves, read_config, removed
from lightning_modules.search.trials import METRICS, best_trials

# Groups whose option no metric depends on, or which an experiment may not choose.
LEFT_OUT = ("logger", "sweep", "experiment", "debug")
ADDED = ("compression", "teacher")  # groups that are not in the defaults list
Leaves = dict[tuple[str, ...], Any]


def found_root() -> Path:
    """The configuration folder that winners are written to: $MODEL_DIET_FOUND, else `conf`."""
    return Path(os.environ.get("MODEL_DIET_FOUND", CONF))


def winners(study: optuna.Study) -> list[FrozenTrial]:
    """The best trials, best first; of several objectives the front by rising `score/macs`."""
    best = best_trials(study)
    if len(study.directions) == 1:
        return best
    return sorted(best, key=lambda trial: trial.user_attrs.get(METRICS, {}).get("score/macs", 0.0))


def write_winner(study: optuna.Study, trial: FrozenTrial, run: Path, place: int = 1) -> Path:
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
    choices = {str(k): current_option(str(k), str(v)) for k, v in stored.items()}
    options = _options(choices, cfg)
    found_keys = {key.lstrip("+") for key in trial.params}
    if "stages" in cfg.model:
        cfg.model = _as_blocks(cfg, name, found_keys)
        options["model"] = f"blocks/{name}"
    base = _composed({**options, "model": choices["model"]})
    skip = (*NEUTRAL, "model") if options["model"] != choices["model"] else NEUTRAL
    found = _differences(cfg, base, skip)
    gone = removed(plain(base, resolve=False), plain(cfg, resolve=False))
    words = [f"'~{'.'.join(key)}'" for key in gone if not _is_within(key, skip)]
    lines = [
        "# @package _global_",
        " ".join([f"# python run.py experiment={name}", *words]),
        f"# Trial {trial.number} of the study {study.study_name}: {_values(study, trial)}",
        *_defaults(options),
        *_written(_nested(found), found_keys),
    ]
    path = found_root() / "experiment" / f"{name}.yaml"
    write_text(path, "\n".join(lines) + "\n")
    return path


def _options(choices: dict[str, str], cfg: DictConfig) -> dict[str, str]:
    """The option of each group that a metric depends on; lists as `[a,b]`."""
    kept = {k: v for k, v in choices.items() if k in cfg and k not in (*LEFT_OUT, *ADDED)}
    kept |= {group: f"[{','.join(_known(cfg, group))}]" for group in ADDED if _known(cfg, group)}
    return {group: option.replace(" ", "") for group, option in kept.items()}


def _known(cfg: DictConfig, group: str) -> list[str]:
    """Steps or teachers that have a file; others are written out whole."""
    return [name for name in cfg[group] if (CONF / group / f"{name}.yaml").is_file()]


def _composed(options: dict[str, str]) -> DictConfig:
    words = [f"{'+' if group in ADDED else ''}{group}={o}" for group, o in options.items()]
    return fresh_config(words)


def _differences(cfg: DictConfig, base: DictConfig, skip: tuple[str, ...]) -> Leaves:
    """What the options alone would not give."""
    without = _plain_leaves(base, skip)
    ours = _plain_leaves(cfg, skip)
    return {
        key: value for key, value in ours.items() if key not in without or without[key] != value
    }


def _plain_leaves(cfg: DictConfig, skip: tuple[str, ...]) -> Leaves:
    pairs = {tuple(map(str, key)): value for key, value in leaves(plain(cfg, resolve=False))}
    return {key: value for key, value in pairs.items() if not _is_within(key, skip)}


def _is_within(key: tuple[str, ...], nodes: tuple[str, ...]) -> bool:
    place = ".".join(key)
    return any(place == node or place.startswith(f"{node}.") for node in nodes)


def _nested(found: Leaves) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in found.items():
        node = tree
        for part in key[:-1]:
            node = node.setdefault(part, {})
        node[key[-1]] = value
    return tree


def _defaults(options: dict[str, str]) -> list[str]:
    """Added groups come first: after an override Hydra would not take them."""
    added = [f"  - /{group}: {options[group]}" for group in ADDED if group in options]
    others = [f"  - override /{g}: {o}" for g, o in options.items() if g not in ADDED]
    return ["defaults:", *added, *others]


def _written(tree: dict[str, Any], found_keys: set[str], above: tuple[str, ...] = ()) -> list[str]:
    """YAML lines, each value with where it comes from."""
    lines = []
    for key, value in tree.items():
        place, indent = (*above, key), "  " * len(above)
        if isinstance(value, dict) and value:
            lines += [*([] if above else [""]), f"{indent}{_scalar(key)}:"]
            lines += _written(value, found_keys, place)
        else:
            source = "found" if ".".join(place) in found_keys else "as in the study"
            lines += [
                *([] if above else [""]),
                f"{indent}{_scalar(key)}: {_scalar(value)}  # {source}",
            ]
    return lines


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()


def _values(study: optuna.Study, trial: FrozenTrial) -> str:
    names = study.user_attrs["objectives"]
    return ", ".join(f"{n} {v:.6g}" for n, v in zip(names, trial.values, strict=True))


def _as_blocks(cfg: DictConfig, name: str, found_keys: set[str]) -> DictConfig:
    """Writes `model/blocks/<name>.yaml`; returns its node."""
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
    return OmegaConf.create({**node, "blocks": blocks, **rest})
