"""One stage of a run: change the network, fit it, save it; skipped or continued on a resume."""

import copy
import logging
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from compression.context import Context
from compression.engine import run_round
from compression.latency import RelativeLatency
from compression.recipe import Entry, Recipe
from compression.step import Step
from lightning_modules.distillation import Teacher
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation import cost_metrics, split_metrics
from lightning_modules.experiment.fit import FitRecord, fit
from lightning_modules.experiment.run_context import (
    RunContext,
    step_context,
    validation_metrics,
    validation_predictions,
)
from lightning_modules.experiment.stages import Stage, is_fine_tuned
from lightning_modules.files import read_json, write_json
from lightning_modules.networks import Network, load_network, save_network
from lightning_modules.networks.description import weights_file
from lightning_modules.runs import RESULT, StageRecord, data_identity
from lightning_modules.training import OptimizerState, newest_checkpoint

log = logging.getLogger(__name__)


def run_stage(
    stage: Stage, network: Network, run: RunContext, teachers: list[Teacher]
) -> tuple[Network, StageRecord]:
    """Carries out a stage and saves its network under `steps/<stage>/model`.

    Args:
        stage: what is done.
        network: as it enters the stage.
        run: what the run's stages share.
        teachers: all teachers of the run at this point.

    Returns:
        The network after the stage and what is recorded of the stage.
    """
    folder = run.folder / "steps" / stage.name
    if (folder / RESULT).is_file():
        return load_network(folder, trust=run.trust), read_json(folder / RESULT)
    chosen = [teacher for teacher in teachers if stage.has(teacher.name)]
    taught = f", taught by {', '.join(t.name for t in chosen)}" if chosen else ""
    log.info(f"{stage.name}: {stage.epochs} epochs{taught}")
    cost = cost_metrics(network, run.data.image_size)
    entered = validation_predictions(network, run)
    before = {**split_metrics(entered, split="val"), **cost, **_entered_bytes(stage, run)}
    network, surgery, fits, epoch = _rounds(stage, network, run, chosen, before)
    if stage.step is not None:
        network = cast(Network, stage.step.finish(network))
        cost = cost_metrics(network, run.data.image_size)
    data = data_identity(run.cfg.data)
    save_network(network, folder, extra={"data": data})
    left = validation_predictions(network, run)
    after = {**split_metrics(left, split="val"), **cost, **_file_bytes(folder)}
    _check_finite(after, stage)
    result: StageRecord = {
        "name": stage.name,
        "before": before,
        "surgery": surgery,
        "after": after,
        "updates": fits.updates,
        "epoch": epoch,
    }
    if fits.ended:
        result["ended"] = fits.ended
    if stage.step is not None:
        result["agreement"] = (entered.classes == left.classes).double().mean().item()
    if sentence := _too_much_lost(stage, before, after):
        result["rejected"] = sentence
    write_json(folder / RESULT, result)
    return network, result


def _check_finite(metrics: dict[str, float], stage: Stage) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise ConfigError(
                f"{name} is {value} after {stage.name}: the network's outputs are no numbers; "
                "lower optimizer.lr or set trainer.gradient_clip_val=1."
            )


def _too_much_lost(stage: Stage, before: dict[str, float], after: dict[str, float]) -> str | None:
    """A sentence where a step loses more macro-F1 than its `max_f1_drop` allows."""
    allowed = getattr(stage.step, "max_f1_drop", None)
    lost = before["val/f1"] - after["val/f1"]
    if allowed is None or lost <= allowed:
        return None
    return (
        f"{stage.name} lost {lost:.4f} of macro-F1 ({before['val/f1']:.4f} to "
        f"{after['val/f1']:.4f}), more than max_f1_drop={allowed:g}; all is kept and marked."
    )


def _file_bytes(run: Path) -> dict[str, int]:
    return {"cost/file_bytes": weights_file(run / "model").stat().st_size}


def _entered_bytes(stage: Stage, run: RunContext) -> dict[str, int]:
    """The file size of the network that enters a stage; a new network has no file."""
    earlier = sorted(path.parent for path in run.folder.glob(f"steps/*/{RESULT}"))
    earlier = [folder for folder in earlier if folder.name < stage.name]
    entered = earlier[-1] if earlier else run.cfg.from_run
    return {} if entered is None else _file_bytes(Path(entered))


def _rounds(
    stage: Stage,
    network: Network,
    run: RunContext,
    teachers: list[Teacher],
    entry_metrics: dict[str, float],
) -> tuple[Network, list[dict[str, float]], FitRecord, int]:
    """Prepare; then plan, apply, fine-tune as often as asked; from where a checkpoint stands.

    Returns:
        The network, the metrics after each surgery, what the fits left to record, and the epoch
        whose weights it has.
    """
    first = -1 if stage.prepare_epochs else 0
    checkpoint = newest_checkpoint(run.checkpoints(stage))
    start: dict[str, Any] = {"round": first - 1, "entries": [], "surgery": [], "fits": {}}
    if checkpoint is not None:
        start |= checkpoint.resume_state
        log.info(f"  continues after epoch {checkpoint.epoch + 1} ({checkpoint.path.name})")
    earlier, entries = network.recipe.entries, list(start["entries"])
    surgery, fits = start["surgery"], FitRecord(**start["fits"])
    latency = RelativeLatency(network, run.data.image_size)
    network, epoch, optimizer_state = copy.deepcopy(network), -1, OptimizerState()
    for round in range(first, stage.rounds):
        if round >= 0 and stage.step is not None:
            if round < start["round"]:
                network = cast(Network, stage.step.restructure(network, entries[round]["plan"]))
            elif round == start["round"]:
                network = cast(Network, stage.step.apply(network, entries[round]["plan"]))
            else:
                tuned = is_fine_tuned(run.cfg, stage)
                context = step_context(stage.step, run, entry_metrics, latency, fine_tuned=tuned)
                network, entry = _surgery(stage.step, network, context, round)
                optimizer_state.prune(stage.step, entry.plan)
                entries.append(asdict(entry))
                surgery.append(validation_metrics(network, run))
        network.recipe = Recipe([*earlier, *(Entry(**entry) for entry in entries)])
        if round >= start["round"]:
            now = {"round": round, "entries": entries, "surgery": surgery, "fits": asdict(fits)}
            resumes = checkpoint is not None and round == start["round"]
            epoch = fit(
                network,
                run,
                stage,
                round=round,
                teachers=teachers,
                resume_state=now,
                resume=checkpoint.path if checkpoint is not None and resumes else None,
                optimizer_state=optimizer_state,
                record=fits,
            )
    return network, surgery, fits, epoch


def _surgery(step: Step, network: Network, context: Context, round: int) -> tuple[Network, Entry]:
    changed, entry = run_round(step, network, context, round)
    for line in step.describe(entry.plan):
        log.info(f"  {line}")
    return cast(Network, changed), entry  # it keeps what a Network has
