"""Whether int8 pays: its time, file and macro-F1 against the float network that it came from."""

from pathlib import Path
from typing import Any

from lightning_modules.networks.description import INT8, weights_file

PAYS = 0.95  # of the float network's time, at most: what is nearer to 1 may be noise


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
    figures = (
        f"x {time:.2f} of the float network's time, x {size:.2f} of its file, macro-F1 "
        f"{after['val/f1'] - before['val/f1']:+.4f}"
    )
    if time <= PAYS:
        return f"int8 pays here: {figures}"
    return (
        f"int8 does not pay here: {figures}; unless the file's size is what counts, ship the float "
        f"network: python scripts/export.py {run} int8=false"
    )
