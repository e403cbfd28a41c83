"""What a search found as an experiment of its own: `python run.py experiment=found_<study>`.

It lies in the study's folder, with the blocks of an architecture beside it; where
`$MODEL_DIET_FOUND` names a configuration folder, in that one too.
"""

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from lightning_modules.config.composing import fresh_config
from lightning_modules.config.experiment_files import BLOCKS, FOUND, found_root
from lightning_modules.config.options import CONF, offer
from lightning_modules.files import write_text
from lightning_modules.registry import plain
from lightning_modules.runs import (
    NEUTRAL,
    bash_word,
    current_option,
    leaves,
    read_config,
    removed,
    typed_word,
)
from lightning_modules.runs.run_directory import outputs_root, short_path
from lightning_modules.runs.run_files import read_settings

# Groups whose option no metric depends on, or which an experiment may not choose.
LEFT_OUT = ("logger", "sweep", "experiment", "debug")
ADDED = ("compression", "teacher")  # groups that are not in the defaults list


def write_experiment(name: str, run: Path, *, folder: Path, found: Set[str], about: str) -> Path:
    """Writes the experiment, and for an architecture its blocks; returns the experiment's path.

    Args:
        name: of its file.
        run: whose saved configuration it repeats.
        folder: of the study.
        found: dotted keys that the search varied.
        about: a line on where it comes from.
    """
    cfg = read_config(run / ".hydra" / "config.yaml")
    choices = read_settings(run / ".hydra" / "hydra.yaml").hydra.runtime.choices
    options = _options({str(k): current_option(str(k), str(v)) for k, v in choices.items()}, cfg)
    blocks: str | None = None
    skip: tuple[str, ...] = NEUTRAL
    if "stages" in cfg.model:
        blocks = _blocks(cfg, name)
    elif options["model"].startswith(f"blocks/{FOUND}"):  # varied about what another search found
        blocks = OmegaConf.to_yaml(cfg.model)
        offer(f"model/{options['model']}", plain(cfg.model, resolve=False))
    words = [f"{'+' if group in ADDED else ''}{group}={o}" for group, o in options.items()]
    usual, ours = plain(fresh_config(words), resolve=False), plain(cfg, resolve=False)
    if blocks is not None:
        options["model"], skip = f"blocks/{name}", (*NEUTRAL, "model")
    skip = tuple(f"{node}." for node in skip)
    known = {_dotted(key): value for key, value in leaves(usual)}
    own = {
        key: value
        for key, value in leaves(ours)
        if not f"{_dotted(key)}.".startswith(skip) and (_dotted(key), value) not in known.items()
    }
    gone = [key for key in map(_dotted, removed(usual, ours)) if not f"{key}.".startswith(skip)]
    path, without = folder / f"{name}.yaml", [bash_word(f"~{key}") for key in gone]
    lines = [
        "# @package _global_",
        " ".join(["# python run.py", typed_word("experiment", named(path)), *without]),
        f"# {about}",
        "defaults:",  # added groups come first: after an override Hydra would not take them
        *(f"  - /{group}: {options[group]}" for group in ADDED if group in options),
        *(f"  - override /{g}: {o}" for g, o in options.items() if g not in ADDED),
        *_written(own, found),
    ]
    text = "\n".join(lines) + "\n"
    if blocks is not None:
        write_text(folder / f"{BLOCKS}{name}.yaml", blocks)
    write_text(path, text)
    if (root := found_root()) is not None:
        write_text(root / "experiment" / f"{name}.yaml", text)
        if blocks is not None:
            write_text(root / "model" / "blocks" / f"{name}.yaml", blocks)
    return path


def named(path: Path) -> str:
    """What a command calls an experiment of a study: its name, where it is found by that."""
    studies = (outputs_root() / "studies").resolve()
    return path.stem if path.resolve().parents[1] == studies else short_path(path)


def _options(choices: dict[str, str], cfg: DictConfig) -> dict[str, str]:
    """The option of each group that a metric depends on; lists as `[a,b]`.

    Steps or teachers without a file are written out whole.
    """
    kept = {k: v for k, v in choices.items() if k in cfg and k not in (*LEFT_OUT, *ADDED)}
    for group in ADDED:
        known = [name for name in cfg[group] if (CONF / group / f"{name}.yaml").is_file()]
        kept |= {group: f"[{','.join(known)}]"} if known else {}
    return {group: option.replace(" ", "") for group, option in kept.items()}


def _dotted(key: tuple[Any, ...]) -> str:
    return ".".join(map(str, key))


def _written(own: Mapping[tuple[Any, ...], Any], found: Set[str]) -> list[str]:
    """YAML lines of leaves in their order, each value with where it comes from."""
    lines: list[str] = []
    above: tuple[Any, ...] = ()
    for key, value in own.items():
        for depth, part in enumerate(key):
            if key[: depth + 1] != above[: depth + 1]:
                lines += [f"{'  ' * depth}{_scalar(part)}:"] if depth else ["", f"{_scalar(part)}:"]
        lines[-1] += (
            f" {_scalar(value)}  # {'found' if _dotted(key) in found else 'as in the study'}"
        )
        above = key
    return lines


def _scalar(value: Any) -> str:
    """A value in YAML, as Hydra reads it: for that `1e3` is a number, where PyYAML has a text."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
    read = OmegaConf.to_container(OmegaConf.create(f"a: {text}"))
    return text if read == {"a": value} or isinstance(value, float) else json.dumps(value)


def _blocks(cfg: DictConfig, name: str) -> str:
    """The network of `model=staged` row by row, as an option of `model`."""
    from lightning_modules.networks import meta_network
    from lightning_modules.networks.blocks.network import RowBlocks

    network = meta_network(cfg.model, num_classes=2, image_size=cfg.data.image_size)
    rows = [module.row for module in network.body.modules() if isinstance(module, RowBlocks)]
    blocks = {r.name: {"repeat": r.repeat, **r.block_type.node(), **r.arguments} for r in rows}
    rest = plain(
        OmegaConf.masked_copy(cfg.model, ["pretrained", "weights", "mean", "std", "input_size"])
    )
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
    return "\n".join(lines) + "\n"
