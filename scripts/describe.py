"""What a network is made of and costs: `python scripts/describe.py [RUN] [model=... key=value]`."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from lightning_modules.config.command_line import report_errors
from lightning_modules.config.composing import config_over, fresh_config
from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json
from lightning_modules.networks.check_model import check_model
from lightning_modules.runs import run_directory, saved_run
from lightning_modules.runs.overrides import key_of

if TYPE_CHECKING:  # they load torch, which waits until the names are checked
    from compression.cost.profile import Survey
    from lightning_modules.networks import Network
    from lightning_modules.networks.overview import Row

OWN_KEYS = ("image_size", "num_classes")


def main() -> None:
    """Parses the command line, prints the table and the totals, and draws the picture."""
    flags = _parser().parse_intermixed_args()
    words = [word for word in flags.words if key_of(word) not in OWN_KEYS]
    own = dict(word.split("=", 1) for word in flags.words if key_of(word) in OWN_KEYS)
    runs = [word for word in words if "=" not in word]
    if len(runs) > 1:
        raise ConfigError(f"One network at a time: {' and '.join(runs)} were named.")
    if flags.f1 is not None and not 0 <= flags.f1 <= 1:
        raise ConfigError(f"--f1 {flags.f1}: an F1 lies in 0..1.")
    overrides = [word for word in words if "=" in word]
    network, size, cfg = saved(runs[0], overrides, own) if runs else planned(overrides, own)

    from compression.cost.profile import survey
    from compression.onnx import counted_network
    from lightning_modules.networks.overview import overview

    counted = counted_network(network)
    found = survey(counted, size)
    rows = overview(counted, found, convention=flags.convention, layers=flags.layers)
    title = f"{_title(cfg)}, {size[0]} x {size[1]} pixels, {network.num_classes} classes"
    print_table(rows, title)
    print_steps(network.recipe.layers(trust=saved_run.trusted_packages(cfg)))
    if runs:
        print_savings(runs[0])
    for line in totals(network, found, cfg, f1=flags.f1):
        print(line)
    if flags.figure:
        from lightning_modules.reporting.pictures.bars import save_bars

        print(f"figure      {save_bars(rows, flags.figure, title=f'MACs of {title}')}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Prints a network as a table of its blocks, with what each costs. Without a "
        "RUN it is built without weights, which takes a second whatever its size.",
        usage="%(prog)s [RUN] [model=NAME key=value ...] [--flags]",
        epilog="Own keys: image_size=N or [H,W] (default: the data's), num_classes=N (default: "
        "those of the data).",
    )
    parser.add_argument("words", nargs="*", metavar="RUN | key=value")
    parser.add_argument("--f1", type=float, metavar="F1", help="also print the score at this F1")
    parser.add_argument("--figure", metavar="PATH", help="save a picture of the MACs per block")
    parser.add_argument("--layers", action="store_true", help="a row for each layer, not block")
    parser.add_argument(
        "--convention",
        choices=("standard", "leaderboard2021"),
        default="standard",
        help="how the table counts MACs (the totals have both)",
    )
    return parser


def planned(overrides: list[str], own: dict[str, str]) -> tuple["Network", Any, DictConfig]:
    """The network that a command would train, without weights.

    Args:
        overrides: Hydra overrides over `conf/config.yaml`.
        own: the script's own keys.
    """
    cfg = fresh_config(overrides)
    check_model(cfg.model, "model")
    size = _size(own, cfg)
    classes = _number(own["num_classes"]) if "num_classes" in own else _classes(cfg)

    from lightning_modules.networks import outline_network  # torch: once the checks passed

    network = outline_network(cfg.model, num_classes=classes, image_size=size)
    return network, network.image_size, cfg


def saved(
    name: str, overrides: list[str], own: dict[str, str]
) -> tuple["Network", Any, DictConfig]:
    """The network of a finished run (a directory, or `last`), with what was done to it.

    Args:
        name: the run.
        overrides: Hydra overrides over the run's saved configuration.
        own: the script's own keys.
    """
    if "num_classes" in own or any(key_of(word).startswith("model") for word in overrides):
        raise ConfigError(f"{name} has its own model and classes; describe others without a RUN.")
    run = run_directory.resolve(name, run_directory.FINISHED)
    description = saved_run.description(run)
    cfg = config_over(run, overrides)
    if "data.image_size" not in map(key_of, overrides):
        cfg.data.image_size = description["image_size"]

    from compression.schema import height_width
    from lightning_modules.networks import load_network

    network = load_network(run, trust=saved_run.trusted_packages(cfg))
    return network, height_width(_size(own, cfg)), cfg


def totals(network: "Network", found: "Survey", cfg: DictConfig, *, f1: float | None) -> list[str]:
    """The lines below the table: parameters, MACs in both conventions, memory, file, score."""
    from compression.cost.file_size import file_bytes
    from compression.cost.macs import count_params
    from lightning_modules.evaluation.score import macs_score

    macs = {name: sum(counts.values()) for name, counts in found.macs.items()}
    lines = [
        f"parameters  {count_params(network):,}",
        f"MACs        {macs['standard']:,} standard, {macs['leaderboard2021']:,} leaderboard2021",
        f"activations {found.activation_bytes:,} bytes at most, one image",
        f"file        {file_bytes(network):,} bytes of weights",
    ]
    if f1 is not None:
        constants = cfg.score.macs if "score" in cfg else {}
        score = macs_score(f1=f1, macs=macs["leaderboard2021"], **constants)
        lines.append(f"score       {score:.4f} at F1 {f1}, by score/macs (lower is better)")
    return lines


def print_table(rows: list["Row"], title: str) -> None:
    """Prints the rows, aligned."""
    table = Table(title=title)
    for column in ("row", "kind", "arguments", "output"):
        table.add_column(column, overflow="fold")
    for column in ("parameters", "MACs", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    total = max(sum(row.macs for row in rows), 1)
    for row in rows:
        shape = "" if row.shape is None else " x ".join(map(str, row.shape))
        numbers = (f"{row.params:,}", f"{row.macs:,}", f"{row.macs / total:.1%}")
        table.add_row(row.name, row.kind, row.arguments, shape, *numbers)
    Console(width=None if sys.stdout.isatty() else 160).print(table, markup=False)


def print_steps(layers: list[tuple[str, str, str]]) -> None:
    """Prints what compression did to each layer and why: (step, layer, what)."""
    if not layers:
        return
    table = Table(title="what was done to each layer")
    for column in ("step", "layer", "what"):
        table.add_column(column, overflow="fold")
    for row in layers:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160).print(table, markup=False)


def print_savings(name: str) -> None:
    """Prints, of each step of a run that was measured, MACs saved against milliseconds saved."""
    from lightning_modules.evaluation.layer_table import table_of

    path = run_directory.resolve(name, run_directory.FINISHED) / "metrics.json"
    for step in read_json(path).get("steps", ()) if path.is_file() else ():
        if step.get("layers"):
            table = table_of(step["name"], step["layers"])
            Console(width=None if sys.stdout.isatty() else 160).print(table, markup=False)


def _size(own: dict[str, str], cfg: DictConfig) -> Any:
    if "image_size" not in own:
        size = cfg.data.image_size
        return size if isinstance(size, int) else list(size)
    sides = [_number(side) for side in own["image_size"].strip("[]").split(",")]
    return sides[0] if len(sides) == 1 else sides


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no whole number.") from None


def _classes(cfg: DictConfig) -> int:
    from lightning_modules.registry import build

    return len(build(cfg.data.source).check())


def _title(cfg: DictConfig) -> str:
    return cfg.model.get("variant") or cfg.model.get("name") or cfg.model._target_


if __name__ == "__main__":
    with report_errors():
        main()
