"""The page itself: `report.html`, one file that opens without a network."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lightning_modules.errors import ConfigError
from lightning_modules.files import write_text
from lightning_modules.reporting.pictures.drawing import fonts
from lightning_modules.reporting.report import commands, headline
from lightning_modules.reporting.report.classes import splits
from lightning_modules.reporting.report.comparison import compared, latency_notes, notes, tradeoffs
from lightning_modules.reporting.report.finished_run import FinishedRun
from lightning_modules.reporting.report.labels import likely_wrong_labels
from lightning_modules.reporting.report.layers import layer_costs, savings
from lightning_modules.reporting.report.report_input import ReportInput

HERE = Path(__file__).resolve().parent


def write_report(inputs: ReportInput, path: Path, *, trust: Iterable[str] = ()) -> Path:
    """Writes the page, whole or not at all.

    Args:
        inputs: what it is about.
        path: of the file.
        trust: packages outside this one whose networks and steps may be run.

    Raises:
        ConfigError: a run is damaged, or the file cannot be written.
    """
    text = render(inputs, trust=trust)
    try:
        write_text(path, text)
    except OSError as error:
        raise ConfigError(
            f"The report {path} cannot be written ({error.strerror}); give another place with "
            "--html FILE."
        ) from None
    return path


def render(inputs: ReportInput, *, trust: Iterable[str] = ()) -> str:
    """The page as text. Every name, path and message in it is escaped by the template."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    run = inputs.run
    names = [inputs.title, *(run.saved["class_names"] if run else ())]
    with fonts(names):
        return environment.get_template("page.html.jinja").render(
            style=Markup((HERE / "style.css").read_text(encoding="utf-8")),  # our own file
            title=inputs.title,
            name=run.name if run else "",
            chosen=inputs.chosen,
            searches=inputs.searches,
            table=compared(inputs),
            notes=notes(inputs),
            labels=likely_wrong_labels(inputs.home),
            run=_of_run(run, inputs.records, trust) if run else None,
        )


def _of_run(run: FinishedRun, records: Sequence[Any], trust: Iterable[str]) -> dict[str, Any]:
    """What the template shows of the run that the page is about."""
    return {
        "tiles": headline.tiles(run),
        "verdict": headline.verdict(run),
        "facts": list(headline.facts(run)),
        "recipe": run.saved["recipe"],
        "rejected": [step["rejected"] for step in run.steps if "rejected" in step],
        "missing": headline.missing(run),
        "before_after": headline.before_after(run),
        "curves": headline.curves(run),
        "splits": splits(run),
        "tradeoffs": tradeoffs(run, records),
        "latency_notes": latency_notes(records),
        "savings": savings(run),
        "layers": layer_costs(run, trust=trust),
        "loading": commands.loading(run),
        "using": commands.using(run),
        "rerun": commands.rerun(run.folder),
    }
