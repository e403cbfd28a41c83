"""The story of one run: data, network, teachers, stages, metrics, and what it leaves."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from compression.engine import check_order
from datamodules.loading import ImageData
from datamodules.sources import overview_lines
from lightning_modules.config import is_search
from lightning_modules.distillation import (
    Teacher,
    check_pairs,
    check_terms,
    gather_teachers,
    with_original,
)
from lightning_modules.errors import ConfigError, full_memory_said
from lightning_modules.evaluation import check_split
from lightning_modules.experiment.ending import note_failure
from lightning_modules.experiment.interruption import interruption, refusal
from lightning_modules.experiment.latency_plan import (
    LatencyPlan,
    latency_askers,
    latency_targets,
    plan_latency,
)
from lightning_modules.experiment.lr_find import with_suggested_lr
from lightning_modules.experiment.results import Trained, leave_results
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stage_run import run_stage
from lightning_modules.experiment.stages import Stage, initial_network, stages_of
from lightning_modules.experiment.structure import check_stages
from lightning_modules.files import remove_parts
from lightning_modules.networks import Network
from lightning_modules.reporting import (
    RunLoggers,
    check_classes,
    run_loggers,
    run_title,
    show_closing_screen,
)
from lightning_modules.runs import (
    STOPPED,
    RunSplits,
    held,
    keep_dependencies,
    make_data,
    note_version,
    run_directory,
    trust_word,
    typed_word,
)
from lightning_modules.search import objective_values, run_trial
from lightning_modules.training import (
    check_auxiliary,
    check_layers,
    check_loss,
    check_trainable,
    device_count,
)

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> float | list[float]:
    """Carries out the run that Hydra started and returns its objective(s) to the sweeper."""
    hydra = cast(DictConfig, HydraConfig.get())
    trial = hydra.mode == RunMode.MULTIRUN
    title, group = run_title(cfg, hydra)
    folder = Path(hydra.runtime.output_dir)
    study = Path(hydra.sweep.dir).absolute() if trial else None
    work = partial(
        run_experiment, cfg, folder, title=title, group=group, is_main_run=not trial, study=study
    )
    if trial and is_search(hydra):
        from lightning_modules.search import trial_facts  # Optuna: only for a search

        return run_trial(cfg, hydra, partial(work, search=partial(trial_facts, cfg, hydra)))
    metrics = work()
    if not trial:
        _require_accepted(metrics)
        _require_asked(cfg, metrics)
    return objective_values(cfg.objective, metrics)


def _require_accepted(metrics: dict[str, Any]) -> None:
    """Ends a finished run with an error where one of its steps lost too much.

    Raises:
        SystemExit: with the step's sentence; Hydra would print its own words on an exception.
    """
    for step in metrics["steps"]:
        if "rejected" in step:
            raise SystemExit(f"error: {step['rejected']}")


def _require_asked(cfg: DictConfig, metrics: dict[str, Any]) -> None:
    """Ends a finished run with an error where a figure is missing that its command asked for.

    Raises:
        SystemExit: says which, and why it is missing.
    """
    for words in (*latency_askers(cfg), *latency_targets(cfg)):
        if reason := metrics.get("missing", {}).get("latency"):
            raise SystemExit(f"error: {words} needs the latency, which is missing: {reason}")
    try:
        objective_values(cfg.objective, metrics)
    except ConfigError as error:
        raise SystemExit(f"error: {error}") from None


def run_experiment(
    cfg: DictConfig,
    folder: Path,
    *,
    title: str,
    group: str,
    is_main_run: bool,
    search: Callable[[], dict[str, Any]] | None = None,
    study: Path | None = None,
) -> dict[str, Any]:
    """One whole run in `folder`; returns what `metrics.json` says.

    Args:
        cfg: the composed configuration.
        folder: the run directory; it exists.
        title: what a person calls the run, on pictures and in its loggers.
        group: the runs that belong together there: of one study, or of one model and data.
        is_main_run: whether `last` may come to mean this run, and whether a refusal clears the
            folder; false for trials.
        search: gives what loggers record of a trial of a search.
        study: the folder of the multirun whose trial this is.

    Raises:
        ConfigError, DataError, CompressionError: it cannot work; a new folder is removed again.
            Or another process works there.
        SystemExit: it was interrupted; the sentence says how to go on.
    """
    folder = folder.absolute()
    with contextlib.ExitStack() as stack:
        stack.enter_context(held(folder))
        with refusal(folder, clears=is_main_run and cfg.resume is None), full_memory_said():
            prepared = _prepare(cfg, folder, study, is_main_run=is_main_run)
            data, stages, network, teachers, latency = prepared
            loggers = run_loggers(cfg, folder, title=title, group=group, search=search)
            uploads = stack.enter_context(contextlib.ExitStack())
            logged = uploads.enter_context(loggers)
        if is_main_run:
            run_directory.update_pointer(run_directory.STARTED, folder)
        stack.enter_context(interruption(folder))
        run = RunContext(cfg, data, folder, logged)
        run = replace(run, cfg=with_suggested_lr(run, network))
        trained = _run_stages(stages, network, run, teachers)
        pruned = {"search/pruned": (folder / STOPPED).is_file()}
        metrics = leave_results(
            run,
            trained,
            title=title,
            is_main_run=is_main_run,
            latency=latency,
            uploads=uploads,
            facts={} if search is None else pruned,
        )
    _show(folder, metrics, trained.network, logged)
    return metrics


def _show(folder: Path, metrics: dict[str, Any], network: Network, logged: RunLoggers) -> None:
    """The closing screen; where it fails, at least where the results are and what is missing."""
    try:
        show_closing_screen(folder, metrics, network.recipe.summary(), logged.hints)
    except BrokenPipeError:  # who reads it has gone
        raise
    except Exception as error:  # a bug in a table must not make a whole run a failed one
        log.warning(
            f"The closing screen cannot be shown: {note_failure(folder, 'closing screen', error)}"
        )
        log.warning(f"results  {folder}")
        for part, reason in metrics.get("missing", {}).items():
            log.warning(f"missing  {part}: {reason}")


def _prepare(
    cfg: DictConfig, folder: Path, study: Path | None, *, is_main_run: bool
) -> tuple[ImageData, list[Stage], Network, list[Teacher], LatencyPlan | None]:
    """All that can be refused comes before the first stage."""
    remove_parts(folder)  # of a process that was killed
    note_version(cfg, folder)
    pl.seed_everything(cfg.seed, verbose=False)
    check_classes(cfg)
    device_count(cfg.trainer)  # refuses devices that this machine lacks
    splits = RunSplits(cfg, folder, study)
    data = make_data(cfg, splits)
    stages = stages_of(cfg)
    network = initial_network(cfg, data)
    check_order([stage.step for stage in stages if stage.step is not None], network.recipe)
    check_loss(cfg.loss, network)
    check_auxiliary(cfg.auxiliary, network)
    check_trainable(network, outputs="outputs" in cfg.auxiliary)
    check_layers(cfg, network)
    check_terms(cfg, network.num_classes)
    check_stages(cfg, stages, network)
    latency = _latency_plan(cfg, network, data, trial=not is_main_run)
    train_teacher = partial(_train_teacher, data, splits)
    teachers = gather_teachers(cfg, data, folder, train=train_teacher)
    check_pairs(cfg, network, with_original(teachers, network, cfg), data.image_size)
    data.source.prepare()
    for line in overview_lines(data.index):
        log.info("%s", line)
    data.prepare_data()
    data.setup()
    network.levels = data.levels
    check_split(cfg.score, has_test=data.has_test)
    images = {split: data.items(split) for split in data.caches.labelled}
    keep_dependencies(cfg, folder, images, joined=data.index.new)
    return data, stages, network, teachers, latency


def _run_stages(
    stages: list[Stage], network: Network, run: RunContext, teachers: list[Teacher]
) -> Trained:
    """What each stage gave; what they finished can be taken up where a later one fails."""
    results, networks = [], [network]
    try:
        for stage in stages:
            if stage.step is not None:
                teachers = with_original(teachers, networks[-1], run.cfg)
            network, result = run_stage(stage, networks[-1], run, teachers)
            results.append(result)
            networks.append(network)
    except Exception:
        if results:
            name, words = results[-1]["name"], typed_word("from_run", run.folder)
            words += trust_word(run.folder)
            log.warning(f"{name} is done and kept: a command with {words} goes on from there")
        raise
    taught = [t for t in teachers if any(stage.epochs and stage.has(t.name) for stage in stages)]
    return Trained(results, networks, taught)


def _train_teacher(data: ImageData, splits: RunSplits, cfg: DictConfig, folder: Path) -> None:
    """Trains a teacher on the images that its student is trained on."""
    data.source.prepare()
    _ = data.index  # in the splits that the student's run keeps
    splits.hand_on(folder)
    title = f"{cfg.model.name}_{cfg.data.name}_seed{cfg.seed}"
    run_experiment(cfg, folder, title=title, group="teachers", is_main_run=False)


def _latency_plan(
    cfg: DictConfig, network: Network, data: ImageData, *, trial: bool
) -> LatencyPlan | None:
    """Measuring takes seconds: within a sweep only where it is asked for."""
    asked = next(latency_askers(cfg), None)
    if cfg.latency.backend is None or (trial and asked is None):
        return None
    asked = asked or next(latency_targets(cfg), None)
    return plan_latency(cfg, network, data.image_size, asked=asked)
