"""Measures saved networks on any data: `python scripts/evaluate.py RUN... [data=... key=value]`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

from lightning_modules.config import NamedRun, ScriptParser, named_run, run_script, table_console
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation import CLASS_COLUMNS, ClassRow, class_rows, table_cells


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and prints one row for each run and split."""
    parser = ScriptParser(
        description="Measures saved networks on labelled data: macro-F1, accuracy, loss, "
        "expected calibration error, and each class.",
        usage="RUN [RUN...] [data=... key=value ...]",
    )
    typed = parser.parse(arguments)
    if not typed.names:
        raise ConfigError("No run was named; give at least one run directory, or `last`.")
    splits = [split for name in typed.names for split in evaluate_run(name, typed.overrides)]
    console = table_console()
    console.print(overview(splits))
    for split in splits:
        console.print(class_table(split))


@dataclass(frozen=True)
class Split:
    """What was found of one network on one split.

    Attributes:
        run: as it was named on the command line.
        name: `val` or `test`.
        metrics: name -> value: `f1`, `accuracy`, `loss`, `calibration_error`.
        classes: a row for each.
    """

    run: str
    name: str
    metrics: dict[str, float]
    classes: list[ClassRow]


def evaluate_run(name: str, overrides: list[str]) -> list[Split]:
    """The metrics of one saved network on the validation (and labelled test) split.

    Args:
        name: a run directory, or `last`.
        overrides: Hydra overrides over the run's saved configuration.

    Raises:
        ConfigError, DataError: no such run or data, or the data has other classes.
    """
    run = named_run(name, overrides)
    cfg = run.cfg
    check_classes(run)

    # torch: only once the checks passed
    from lightning_modules.evaluation import predict, prediction_metrics
    from lightning_modules.networks import load_network
    from lightning_modules.runs import make_data

    network = load_network(run.path, trust=list(cfg.trust))
    data = make_data(cfg)
    data.prepare_data()
    data.setup()
    loaders = {"val": data.val_dataloader()}
    if data.has_test:
        loaders["test"] = data.test_dataloader()
    found = []
    for split, loader in loaders.items():
        predictions = predict(network, loader)
        metrics = prediction_metrics(predictions, split=split)
        plain = {key.split("/")[1]: value for key, value in metrics.items()}
        rows = class_rows(data.class_names, predictions.confusion)
        found.append(Split(name, split, plain, rows))
    return found


def check_classes(run: NamedRun) -> None:
    """Refuses data whose classes, or their order, are not those of the network."""
    from lightning_modules.runs import build_source

    known, found = run.description["class_names"], build_source(run.cfg.data).check()
    if list(found) != list(known):
        raise ConfigError(
            f"{run.path} knows the classes {', '.join(known)}, but data={run.cfg.data.name} has "
            f"{', '.join(found)}; the metrics would mean nothing."
        )


def overview(splits: list[Split]) -> Table:
    """One row for each run and split."""
    rows = [(s.run, s.name, str(sum(row.support for row in s.classes)), s.metrics) for s in splits]
    table = Table()
    for column in ("run", "split", "images", *splits[0].metrics):
        table.add_column(column.replace("_", " "), justify=_side(column))
    for run, split, images, metrics in rows:
        table.add_row(Text(run), split, images, *(f"{v:.4f}" for v in metrics.values()))
    return table


def class_table(split: Split) -> Table:
    """One row for each class."""
    table = Table(title=Text(f"{split.run}, {split.name}"), title_justify="left")
    for column in CLASS_COLUMNS:
        table.add_column(column, justify=_side(column))
    for cells in table_cells(split.classes):
        table.add_row(*map(Text, cells))
    return table


def _side(column: str) -> Literal["left", "right"]:
    return "left" if column in ("run", "split", "class") else "right"


if __name__ == "__main__":
    run_script(main)
