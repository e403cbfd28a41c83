"""Measures saved networks on any data: `python scripts/evaluate.py RUN... [data=... key=value]`."""

from collections.abc import Sequence
from dataclasses import dataclass

from datamodules.screen import ScreenTable
from lightning_modules.config import (
    OwnKey,
    ScriptParser,
    named_run,
    run_script,
    table_console,
    value_of,
)
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation import CLASS_COLUMNS, ClassRow, class_rows, table_cells
from lightning_modules.runs import evaluation_data

KEYS = {
    "split": OwnKey(
        "LIST",
        "val,test or what there is; all takes every labelled image (default: val and test, or all "
        "of a folder without splits)",
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and prints one row for each run and split."""
    parser = ScriptParser(
        description="Measures saved networks on labelled data: macro-F1, accuracy, loss, "
        "expected calibration error, and each class.",
        usage="RUN [RUN...] [data=... key=value ...]",
        keys=KEYS,
        epilog="The run's own data is measured in the splits of the run, other data in its own "
        "splits, or whole where it has none.",
    )
    typed = parser.parse(arguments)
    if not typed.names:
        raise ConfigError("No run was named; give at least one run directory, or `last`.")
    chosen = splits_named(typed.own.get("split"))
    splits = [s for name in typed.names for s in evaluate_run(name, typed.overrides, chosen)]
    console = table_console()
    overview(splits).print(console)
    for split in splits:
        class_table(split).print(console)


@dataclass(frozen=True)
class Split:
    """What was found of one network on one split.

    Attributes:
        run: as it was named on the command line.
        name: `val`, `test`, or `all` of data without splits.
        metrics: name -> value: `f1`, `accuracy`, `loss`, `calibration_error`.
        classes: a row for each; of other data for each that has images there.
    """

    run: str
    name: str
    metrics: dict[str, float]
    classes: list[ClassRow]


def evaluate_run(name: str, overrides: list[str], chosen: Sequence[str] = ()) -> list[Split]:
    """The metrics of one saved network: on the run's own splits, or on other data.

    Args:
        name: a run directory, or `last`.
        overrides: Hydra overrides over the run's saved configuration.
        chosen: splits; none: see `evaluation_data`.

    Raises:
        ConfigError, DataError: no such run, data or split, or the data has unknown classes.
    """
    run = named_run(name, overrides)
    cfg, class_names = run.cfg, run.description["class_names"]
    measured = evaluation_data(run.path, cfg, class_names, chosen)
    for note in measured.notes:
        print(f"{name}: {note}")

    # torch: only once the checks passed
    from lightning_modules.deployment import require_sound_run
    from lightning_modules.evaluation import predict, prediction_metrics
    from lightning_modules.networks import load_network, set_image_size
    from lightning_modules.runs import make_evaluation_data

    require_sound_run(run.path)
    network = load_network(run.path, trust=list(cfg.trust))
    set_image_size(network, cfg.data.image_size)
    data = make_evaluation_data(cfg, measured)
    found = []
    for split in measured.index.splits:
        predictions = predict(network, data.eval_dataloader(split))
        metrics = prediction_metrics(predictions, split=split, present_only=not measured.own)
        plain = {key.removeprefix(f"{split}/"): value for key, value in metrics.items()}
        rows = class_rows(class_names, predictions.confusion)
        found.append(Split(name, split, plain, rows if measured.own else _present(rows)))
    return found


def _present(rows: list[ClassRow]) -> list[ClassRow]:
    """Those of classes that the data has."""
    return [row for row in rows if row.support]


def splits_named(text: str | None) -> list[str]:
    """The splits of `split=val,test`; none where nothing was typed.

    Raises:
        ConfigError: these are no names.
    """
    value = [] if text is None else value_of("split", text)
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"split={text} names no splits; give them as split=val,test.")
    return names


def overview(splits: list[Split]) -> ScreenTable:
    """One row for each run and split."""
    rows = [(s.run, s.name, str(sum(row.support for row in s.classes)), s.metrics) for s in splits]
    table = ScreenTable()
    for column in ("run", "split", "images", *splits[0].metrics):
        table.add_column(column.replace("_", " "), number=_is_number(column))
    for run, split, images, metrics in rows:
        table.add_row(run, split, images, *(f"{v:.4f}" for v in metrics.values()))
    return table


def class_table(split: Split) -> ScreenTable:
    """One row for each class."""
    table = ScreenTable(title=f"{split.run}, {split.name}")
    for column in CLASS_COLUMNS:
        table.add_column(column, number=_is_number(column))
    for cells in table_cells(split.classes):
        table.add_row(*cells)
    return table


def _is_number(column: str) -> bool:
    return column not in ("run", "split", "class")


if __name__ == "__main__":
    run_script(main)
