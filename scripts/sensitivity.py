"""What each layer loses, treated alone: `python scripts/sensitivity.py RUN step=prune`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from datamodules.screen import ScreenTable
from lightning_modules.config import (
    NamedRun,
    OwnKey,
    ScriptParser,
    check_step,
    named_run,
    options_of,
    run_script,
    table_console,
)
from lightning_modules.errors import ConfigError
from lightning_modules.files import write_json

if TYPE_CHECKING:  # they load torch, which waits until the names are checked
    from compression.sensitivity import Point, Scan

KEYS = {
    "step": OwnKey("prune|tucker|svd|spatial_svd|cp|quantize", "what is done to each layer"),
    "ratios": OwnKey(
        "R,R,...",
        "of its channels (prune) or full rank that a layer keeps, in (0, 1) (default: "
        "0.25,0.5,0.75; of svd and spatial_svd 0.125,0.25,0.375)",
        earlier="shares",
    ),
}
FOLDER = "sensitivity"  # of a run
QUANTIZE = "quantize"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, scans, prints the table and leaves a JSON file and a picture."""
    typed = _parser().parse(arguments)
    name, own = typed.one_run(), typed.own
    step = step_named(own.get("step"))
    ratios = ratios_of(own["ratios"]) if "ratios" in own else None
    run = step_config(name, step, typed.overrides)

    if step == QUANTIZE:
        if ratios is not None:
            raise ConfigError("step=quantize rounds numbers and keeps no ratio of them; no ratios.")
        show_rounding(run, name)
        return

    from lightning_modules.experiment import as_plain, divergences, scan_run
    from lightning_modules.reporting.pictures import (  # torch: once the checks passed
        draw_sensitivity,
        fonts,
        save,
    )

    try:
        found, losses = scan_run(run.cfg, run.path, ratios)
    except KeyboardInterrupt:
        raise SystemExit("interrupted; the same command goes on after the last point") from None
    title = f"{name}: sensitivity to {step}"
    show(found, divergences(losses), title)
    file = run.path / FOLDER / f"{step}.json"
    write_json(file, as_plain(found, losses, step))
    with fonts():
        picture = save(draw_sensitivity(found, title=title), file.with_suffix(".png"))
    print(f"file        {file}")
    print(f"picture     {picture}")


def _parser() -> ScriptParser:
    return ScriptParser(
        description="Treats each layer (prune: each group of layers that must be cut together) "
        "alone, estimates BatchNorm statistics anew, and sets the macro-F1 lost on the validation "
        "images against the MACs saved; nats: how far the logits then are from those of the whole "
        "network on training images (Kullback-Leibler divergence). What was measured once is only "
        "read; an interrupted scan goes on where it was. With step=quantize: what it costs to "
        "round weights, activations, to 7 bits or 8, and each layer alone: macro-F1, divergence "
        "and classes that change.",
        usage="RUN step=STEP [ratios=0.25,0.5,0.75] [key=value ...]",
        keys=KEYS,
        epilog="Other keys are the run's, or the step's: compression.prune.importance=l1. "
        "Results: RUN/sensitivity/STEP.json and .png.",
    )


def step_named(name: str | None) -> str:
    """The option of conf/compression that is meant, or the step of an installed package.

    Raises:
        ConfigError: there is none; says the nearest.
    """
    from compression.steps import STEPS  # pydantic: not for `--help`

    known = options_of("compression")
    if name is None:
        raise ConfigError("No step was named; give one, as step=prune.")
    if name not in known and name not in STEPS:
        near = get_close_matches(name, known, n=2) or known
        raise ConfigError(f"There is no step={name}; did you mean {' or '.join(near)}?")
    return name


def ratios_of(text: str) -> list[float]:
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
                f"ratios={text}: {part!r} is no number; as ratios=0.25,0.5."
            ) from None
        if not 0 < found[-1] < 1:
            raise ConfigError(f"ratios={text}: {part} is no ratio to keep; it lies in (0, 1).")
    return sorted(set(found))


def step_config(name: str, step: str, overrides: list[str]) -> NamedRun:
    """The run of that name, its configuration with just this step, which starts from it.

    Raises:
        ConfigError, DataError: no such run or key, or the data is not the run's.
    """
    run = named_run(name, [f"+compression={step}", *overrides])
    OmegaConf.update(run.cfg, "from_run", str(run.path))
    run.cfg.teacher = {}
    check_step(run.cfg)
    return run


def show(found: "Scan", nats: Mapping[tuple[str, str], float], title: str) -> None:
    """Prints one row for each layer: what it loses and saves at each ratio.

    Args:
        found: the scan.
        nats: by the layer and what was done to it: the divergence on training images.
        title: of the table.
    """
    ratios = sorted({point.ratio for point in found.points})
    table = ScreenTable(title=title)
    table.add_column("layer")
    for ratio in ratios:
        table.add_column(f"F1 lost, MACs saved at {ratio:g}, nats", number=True)
    rows: dict[str, dict[float, Point]] = {}
    for point in found.points:
        rows.setdefault(point.layer, {})[point.ratio] = point
    for layer, points in rows.items():
        cells = (_cell(found, points[r], nats) if r in points else "" for r in ratios)
        table.add_row(layer, *cells)
    table.print(table_console())
    print(
        f"macro-F1 {found.f1:.4f} (BatchNorm estimated anew, as everywhere here), {found.macs:,} "
        f"MACs, {found.params:,} parameters"
    )


def show_rounding(run: NamedRun, name: str) -> None:
    """Prints what rounding costs, a row for each part of the network, and leaves a JSON file."""
    from lightning_modules.experiment import rounding_run  # torch: once the checks passed

    table = ScreenTable(title=f"{name}: what is lost where so much is rounded")
    table.add_column("rounded")
    for column in ("macro-F1", "divergence", "same class", "nats on training images"):
        table.add_column(column, number=True)
    found = list(rounding_run(run.cfg, run.path))
    for row in found:
        table.add_row(
            row.what,
            f"{row.f1:.4f}",
            f"{row.kl:.5f}",
            f"{row.agreement:.2%}",
            f"{row.training_kl:.5f}",
        )
    table.print(table_console())
    file = run.path / FOLDER / f"{QUANTIZE}.json"
    write_json(file, {"step": QUANTIZE, "errors": [asdict(row) for row in found]})
    print(f"file        {file}")


def _cell(found: "Scan", point: "Point", nats: Mapping[tuple[str, str], float]) -> str:
    loss = nats.get((point.layer, point.what))
    said = "" if loss is None else f"  {loss:8.5f}"
    return f"{found.lost(point):7.4f}  {found.saved(point):6.2%}{said}"


if __name__ == "__main__":
    run_script(main)
