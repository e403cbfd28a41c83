"""What each layer loses, treated alone: `python scripts/sensitivity.py RUN step=prune`."""

import argparse
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_modules.config.check import check_step
from lightning_modules.config.command_line import CONF, report_errors
from lightning_modules.config.composing import config_over
from lightning_modules.errors import ConfigError
from lightning_modules.files import write_json
from lightning_modules.runs import run_directory, saved_run
from lightning_modules.runs.overrides import key_of

if TYPE_CHECKING:  # they load torch, which waits until the names are checked
    from compression.sensitivity.scan import Point, Scan

OWN_KEYS = ("step", "shares")
FOLDER = "sensitivity"  # of a run


def main() -> None:
    """Parses the command line, scans, prints the table and leaves a JSON file and a picture."""
    words = _parser().parse_args().words
    own = dict(word.split("=", 1) for word in words if key_of(word) in OWN_KEYS)
    overrides = [word for word in words if "=" in word and key_of(word) not in OWN_KEYS]
    runs = [word for word in words if "=" not in word]
    if len(runs) != 1:
        raise ConfigError(f"Name one run directory, or `last`; not {' and '.join(runs) or 'none'}.")
    step = step_named(own.get("step"))
    shares = shares_of(own["shares"]) if "shares" in own else None
    run = run_directory.resolve(runs[0], run_directory.FINISHED)
    cfg = configured(run, step, overrides)

    from lightning_modules.experiment.sensitivity_scan import as_plain, scan_run
    from lightning_modules.reporting.pictures.drawing import (  # torch: once the checks passed
        fonts,
        save,
    )
    from lightning_modules.reporting.pictures.sensitivity import draw_sensitivity

    try:
        found = scan_run(cfg, run, shares)
    except KeyboardInterrupt:
        raise SystemExit("interrupted; the same command goes on after the last point") from None
    title = f"{runs[0]}: sensitivity to {step}"
    show(found, title)
    file = run / FOLDER / f"{step}.json"
    write_json(file, as_plain(found, step))
    with fonts():
        picture = save(draw_sensitivity(found, title=title), file.with_suffix(".png"))
    print(f"file        {file}")
    print(f"picture     {picture}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Treats each layer (prune: each group of layers that must be cut together) "
        "alone, estimates BatchNorm statistics anew, and sets the macro-F1 lost on the validation "
        "images against the MACs saved. What was measured once is only read; an interrupted scan "
        "goes on where it was.",
        usage="%(prog)s RUN step=STEP [shares=0.25,0.5,0.75] [key=value ...]",
        epilog="Own keys: step=prune|tucker|svd|spatial_svd|cp; shares=S,S,... of its channels "
        "(prune) or full rank that a layer keeps, in (0, 1) (default 0.25,0.5,0.75; of svd and "
        "spatial_svd 0.125,0.25,0.375). Others are the run's, or the step's: "
        "compression.prune.importance=l1. Results: RUN/sensitivity/STEP.json and .png.",
    )
    parser.add_argument("words", nargs="+", metavar="RUN | key=value")
    return parser


def step_named(name: str | None) -> str:
    """The option of conf/compression that is meant.

    Raises:
        ConfigError: there is none; says the nearest.
    """
    known = sorted(path.stem for path in (CONF / "compression").glob("*.yaml"))
    if name is None:
        raise ConfigError("No step was named; give one, as step=prune.")
    if name not in known:
        near = get_close_matches(name, known, n=2) or known
        raise ConfigError(f"There is no step={name}; did you mean {' or '.join(near)}?")
    return name


def shares_of(text: str) -> list[float]:
    """`0.25,0.5` as numbers, ascending.

    Raises:
        ConfigError: one is no number in (0, 1).
    """
    found = []
    for part in text.strip("[]").split(","):
        try:
            found.append(float(part))
        except ValueError:
            raise ConfigError(
                f"shares={text}: {part!r} is no number; as shares=0.25,0.5."
            ) from None
        if not 0 < found[-1] < 1:
            raise ConfigError(f"shares={text}: {part} is no share to keep; it lies in (0, 1).")
    return sorted(set(found))


def configured(run: Path, step: str, overrides: list[str]) -> DictConfig:
    """The run's configuration with just this step, which starts from it.

    Raises:
        ConfigError, DataError: no such run or key, or the data is not the run's.
    """
    saved = saved_run.description(run)
    cfg = config_over(run, [f"+compression={step}", *overrides])
    if "data.image_size" not in map(key_of, overrides):
        cfg.data.image_size = saved["image_size"]
    OmegaConf.update(cfg, "from_run", str(run))
    cfg.teacher = {}
    check_step(cfg)
    return cfg


def show(found: "Scan", title: str) -> None:
    """Prints one row for each layer: what it loses and saves at each share."""
    shares = sorted({point.share for point in found.points})
    table = Table(title=Text(title), title_justify="left")
    table.add_column("layer", overflow="fold")
    for share in shares:
        table.add_column(f"F1 lost, MACs saved at {share:g}", justify="right")
    rows: dict[str, dict[float, Point]] = {}
    for point in found.points:
        rows.setdefault(point.layer, {})[point.share] = point
    for layer, points in rows.items():
        cells = (_cell(found, points[s]) if s in points else "" for s in shares)
        table.add_row(Text(layer), *cells)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    print(
        f"macro-F1 {found.f1:.4f} (BatchNorm estimated anew, as everywhere here), {found.macs:,} "
        f"MACs, {found.params:,} parameters"
    )


def _cell(found: "Scan", point: "Point") -> str:
    return f"{found.lost(point):7.4f}  {found.saved(point):6.2%}"


if __name__ == "__main__":
    with report_errors():
        main()
