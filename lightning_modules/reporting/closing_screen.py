"""The closing screen: before and after, where the results are, what to type next."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from datamodules.screen import ScreenTable
from lightning_modules.networks.description import INT8, weights_file
from lightning_modules.runs import (
    StageRecord,
    bash_word,
    command,
    short_path,
    trust_word,
    typed_word,
)

PAYS = 0.95  # maximum of the float network's time: what is nearer to 1 may be noise
REPORT = "report.html"  # in a run's directory, where it was asked for
COLUMNS = {
    "val/f1": ("macro-F1", "{:.4f}"),
    "val/accuracy": ("accuracy", "{:.4f}"),
    "cost/macs": ("MACs", "{:,.0f}"),
    "cost/params": ("parameters", "{:,.0f}"),
    "cost/file_bytes": ("file bytes", "{:,.0f}"),
    "cost/latency_ms": ("latency ms", "{:.3f}"),
}
AGREEMENT = "same class"  # heads the images that a step left in their class


def show_closing_screen(
    folder: Path,
    metrics: dict[str, Any],
    notes: list[str],
    hints: Sequence[tuple[str, str]] = (),
) -> None:
    """Prints the table of stages, what was done to the network, and the next commands.

    Args:
        folder: the run directory.
        metrics: all of its `metrics.json`.
        notes: what was done to the network.
        hints: how what was logged is looked at: a word, and a command.
    """
    console = Console(width=None if Console().is_terminal else 110)
    console.print()
    _table(metrics).print(console)
    for line in [*(f"  {note}" for note in notes), *_lines(folder, metrics, hints)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(folder: Path, metrics: dict[str, Any], hints: Sequence[tuple[str, str]]) -> list[str]:
    run = short_path(folder)
    lines = [f"results  {run}"]
    if (folder / REPORT).is_file():
        lines.append(f"report   {short_path(folder / REPORT)}")
    if "latency" in metrics:
        how = metrics["latency"]
        lines.append(
            f"latency  {how['backend']}, batch {how['batch']}, {how['threads']} thread(s), "
            f"{how['device']}; all rows measured alternately"
        )
        lines += [f"         {how['instead']}"] if "instead" in how else []
    if worth := int8_worth(folder, metrics, run=run):
        lines.append(f"int8     {worth.removeprefix('int8 ')}")
    if missing := metrics.get("missing"):
        lines += [f"missing  {part}: {reason}" for part, reason in missing.items()]
        resume = command("run.py", typed_word("resume", run), trust_word(folder).strip())
        lines.append(f"         once the cause is gone, add it by: {resume}")
    looks = (f"{word:<8} {command}" for word, command in hints)
    return [*lines, *looks, f"next     {_next(run, metrics)}{trust_word(folder)}"]


def _table(metrics: dict[str, Any]) -> ScreenTable:
    fold = f", fold {metrics['fold']} of 0..{metrics['num_folds'] - 1}" if "fold" in metrics else ""
    table = ScreenTable(title=f"before and after{fold}")
    table.add_column("step")
    shown = [key for key in COLUMNS if key in metrics]
    for key in shown:
        table.add_column(COLUMNS[key][0], number=True)
    rows, same = stage_metrics(metrics["steps"]), agreements(metrics["steps"])
    if any(same):
        table.add_column(AGREEMENT, number=True)
    for (name, after), agreement in zip(rows, same, strict=True):
        table.add_row(name, *(cell(key, after) for key in shown), *([agreement] * any(same)))
    if len(rows) > 1:
        first, last = rows[0][1], rows[-1][1]
        table.add_section()
        changes = (change(key, first, last) for key in shown)
        table.add_row("change", *changes, *([""] * any(same)))
    return table


def stage_metrics(steps: list[StageRecord]) -> list[tuple[str, dict[str, float]]]:
    """(name, metrics) after each stage; first those of the network that entered, if one did."""
    rows = [(step["name"], step["after"]) for step in steps]
    if steps and not steps[0]["name"].startswith("00"):
        rows.insert(0, ("entered", steps[0]["before"]))
    return rows


def agreements(steps: list[StageRecord]) -> list[str]:
    """Of each row of `stage_metrics`: how many images its step left in their class, in per cent.

    Empty where no step was taken, or an earlier version took it.
    """
    found = [f"{step['agreement']:.1%}" if "agreement" in step else "" for step in steps]
    return [""] * (len(stage_metrics(steps)) - len(steps)) + found


def weights_of(metrics: dict[str, Any]) -> str:
    """Which weights a run shipped, in words."""
    if metrics["epoch"] < 0:
        return f"as {metrics['steps'][-1]['name']} left them, which trains no epoch"
    return f"of epoch {metrics['epoch'] + 1} (trainer.keep={metrics['kept']})"


def cell(key: str, metrics: dict[str, float]) -> str:
    """A metric as a person reads it; empty where it was not measured."""
    return COLUMNS[key][1].format(metrics[key]) if key in metrics else ""


def change(key: str, first: dict[str, float], last: dict[str, float]) -> str:
    """A difference for quality, a ratio for cost."""
    if key not in first or key not in last:
        return ""
    if "cost/" not in key:
        return f"{last[key] - first[key]:+.4f}"
    return f"x {last[key] / first[key]:.2f}"


def int8_worth(folder: Path, metrics: dict[str, Any], *, run: str) -> str | None:
    """A sentence on a run's int8 network; None where it is a float one, or was not timed.

    Args:
        folder: the run directory.
        metrics: all of its `metrics.json`.
        run: what a person calls the directory.
    """
    if "latency" not in metrics or weights_file(folder / "model").name != INT8:
        return None
    before, after = metrics["steps"][-1]["before"], metrics["steps"][-1]["after"]
    time, size = (after[key] / before[key] for key in ("cost/latency_ms", "cost/file_bytes"))
    ratios = (
        f"x {time:.2f} of the float network's time, x {size:.2f} of its file, macro-F1 "
        f"{after['val/f1'] - before['val/f1']:+.4f}"
    )
    if time <= PAYS:
        return f"int8 pays here: {ratios}"
    trust = trust_word(folder).strip()
    return (
        f"int8 does not pay here: {ratios}; unless the file's size is what counts, ship the float "
        f"network: {command('scripts/export.py', bash_word(Path(run)), 'int8=false', trust)}"
    )


def _next(run: str, metrics: dict[str, Any]) -> str:
    if len(metrics["steps"]) == 1 and metrics["steps"][0]["name"].startswith("00"):
        return command("run.py", "+compression=tucker", typed_word("from_run", run))
    return command("scripts/evaluate.py", bash_word(Path(run)))
