"""Measures saved networks on any data: `python scripts/evaluate.py RUN... [data=... key=value]`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from lightning_modules import run_directory, saved_run
from lightning_modules.command_line import explaining, key_of
from lightning_modules.errors import ConfigError
from lightning_modules.run_config import config_over


def main() -> None:
    """Parses the command line and prints one row for each run and split."""
    parser = argparse.ArgumentParser(
        description="Measures saved networks on labelled data: macro-F1, accuracy, loss.",
        usage="%(prog)s RUN [RUN...] [data=... key=value ...]",
    )
    parser.add_argument("words", nargs="+", metavar="RUN | key=value")
    words = parser.parse_args().words
    overrides = [word for word in words if "=" in word]
    runs = [word for word in words if "=" not in word]
    if not runs:
        raise ConfigError("No run was named; give at least one run directory, or `last`.")
    rows = [row for run in runs for row in evaluate_run(run, overrides)]
    print_table(rows)


def evaluate_run(name: str, overrides: list[str]) -> list[dict[str, Any]]:
    """The figures of one saved network on the validation (and labelled test) split.

    Args:
        name: a run directory, or `last`.
        overrides: Hydra overrides over the run's saved configuration.

    Raises:
        ConfigError, DataError: no such run or data, or the data has other classes.
    """
    run = run_directory.resolve(name, run_directory.FINISHED)
    saved = saved_run.description(run)
    cfg = config_over(run, overrides)
    if "data.image_size" not in map(key_of, overrides):
        cfg.data.image_size = saved["image_size"]
    check_classes(run, saved["class_names"], cfg)

    from lightning_modules.evaluation import evaluate  # torch: only once the checks passed
    from lightning_modules.networks import load_network
    from lightning_modules.session import make_data

    network = load_network(run, trust=saved_run.trusted_packages(cfg))
    data = make_data(cfg)
    data.prepare_data()
    data.setup()
    loaders = {"val": data.val_dataloader()}
    if data.has_test:
        loaders["test"] = data.test_dataloader()
    rows = []
    for split, loader in loaders.items():
        figures = evaluate(network, loader, num_classes=data.num_classes, split=split)
        plain = {key.split("/")[1]: value for key, value in figures.items()}
        images = sum(data.class_counts[split])
        rows.append({"run": name, "split": split, "images": images, **plain})
    return rows


def check_classes(run: Path, class_names: list[str], cfg: DictConfig) -> None:
    """Refuses data whose classes, or their order, are not those of the network."""
    from lightning_modules.build import build

    found = build(cfg.data.source).check()
    if list(found) != list(class_names):
        raise ConfigError(
            f"{run} knows the classes {', '.join(class_names)}, but data={cfg.data.name} has "
            f"{', '.join(found)}; the figures would mean nothing."
        )


def print_table(rows: list[dict[str, Any]]) -> None:
    """Prints the rows, aligned."""
    table = Table()
    for column in rows[0]:
        table.add_column(column, justify="left" if column in ("run", "split") else "right")
    for row in rows:
        table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


if __name__ == "__main__":
    with explaining():
        main()
