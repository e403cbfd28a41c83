"""How the training went: its curves."""

from lightning_modules.reporting.pictures.curves import draw_curves
from lightning_modules.reporting.report.content import Picture
from lightning_modules.reporting.report.finished_run import FinishedRun


def curves(run: FinishedRun) -> Picture | None:
    """Losses and validation figures over the epochs; None where no epoch was trained."""
    if not run.epochs:
        return None
    stages = list(dict.fromkeys(row.get("step", "") for row in run.epochs))
    best = max((row["val/f1"] for row in run.epochs if row.get("val/f1")), key=float, default="?")
    alt = (
        f"Training curves over {len(run.epochs)} epochs of {', '.join(stages)}: loss, macro-F1 and "
        f"accuracy; the highest macro-F1 on the validation split is {best}."
    )
    return Picture.of_figure(draw_curves(run.epochs, title=run.name), alt)
