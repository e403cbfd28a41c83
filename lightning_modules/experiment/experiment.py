"""The story of one run: data, network, teachers, stages, metrics, and what it leaves."""

import contextlib
import logging
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from compression.engine import check_order
from datamodules.errors import DataError
from datamodules.loading import ImageData
from datamodules.sources import overview_lines
from lightning_modules.config import is_search
from lightning_modules.deployment import latency_backend
from lightning_modules.distillation import (
    Teacher,
    check_pairs,
    check_terms,
    gather_teachers,
    with_original,
)
from lightning_modules.errors import USER_ERRORS, ConfigError, system_sentence
from lightning_modules.evaluation import (
    Predictions,
    add_latency,
    add_scores,
    check_split,
    final_metrics,
    final_predictions,
    measure_layers,
    teacher_agreement,
)
from lightning_modules.experiment.lr_find import with_suggested_lr
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stage_run import run_stage
from lightning_modules.experiment.stages import Stage, initial_network, stages_of
from lightning_modules.experiment.structure import check_stages
from lightning_modules.files import whole_folder
from lightning_modules.networks import Network
from lightning_modules.registry import build, plain
from lightning_modules.reporting import (
    REPORT,
    RunResults,
    check_classes,
    read_input,
    run_loggers,
    run_title,
    show_closing_screen,
    write_card,
    write_report,
)
from lightning_modules.reporting.pictures import draw_pictures
from lightning_modules.runs import (
    METRICS_FILE,
    STOPPED,
    RunSplits,
    StageRecord,
    make_data,
    run_directory,
    saved_run,
    trust_word,
    write_metrics,
)
from lightning_modules.search import objective_values, run_trial
from lightning_modules.training import check_auxiliary, check_layers, check_loss, device_count

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
    return objective_values(cfg.objective, metrics)


def _require_accepted(metrics: dict[str, Any]) -> None:
    """Ends a finished run with an error where one of its steps lost too much.

    Raises:
        SystemExit: with the step's sentence; Hydra would print its own words on an exception.
    """
    for step in metrics["steps"]:
        if "rejected" in step:
            raise SystemExit(f"error: {step['rejected']}")


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
        SystemExit: it was interrupted; the sentence says how to go on.
    """
    folder = folder.absolute()
    with contextlib.ExitStack() as stack:
        with _refusal(folder, clears=is_main_run and cfg.resume is None):
            backend = latency_backend(plain(cfg.latency)["backend"])
            data, stages, network, teachers = _prepare(cfg, folder, study)
            loggers = run_loggers(cfg, folder, title=title, group=group, search=search)
            logged = stack.enter_context(loggers)
        if is_main_run:
            run_directory.update_pointer(run_directory.STARTED, folder)
        stack.enter_context(_interruption(folder))
        run = RunContext(cfg, data, folder, logged)
        run = replace(run, cfg=with_suggested_lr(run, network))
        timed = _wants_latency(cfg, trial=not is_main_run)
        results, networks, taught = _run_stages(stages, network, run, teachers, timed=timed)
        network = networks[-1]
        predictions = final_predictions(network, data, run.device)
        agreement = _agreement(predictions["val"], run, taught)
        metrics = final_metrics(predictions, data.class_names, run.cfg, results, agreement)
        if timed:
            trained = networks[1:] if cfg.from_run is None else networks
            add_latency(metrics, trained, cfg.latency, backend=backend, image_size=data.image_size)
        images = {split: sum(counts) for split, counts in data.class_counts.items()}
        add_scores(metrics, network, cfg.score, image_size=data.image_size, images=images)
        pictures = []
        if _wants_drawing(cfg.pictures, trial=not is_main_run):
            pictures = draw_pictures(predictions, data, folder, name=title)
        _write_results(folder, stages[-1].name, metrics)
        write_card(folder, metrics, cfg, data.class_counts, pictures)
        if is_main_run:
            run_directory.update_pointer(run_directory.FINISHED, folder)
        if _wants_drawing(cfg.report, trial=not is_main_run):
            trust = saved_run.trusted_packages(cfg)
            write_report(read_input([str(folder)]), folder / REPORT, trust=trust)
        pruned = {"search/pruned": (folder / STOPPED).is_file()}
        facts = {} if search is None else pruned
        logged.log_results(RunResults(metrics, pictures, folder / "model", facts))
    show_closing_screen(folder, metrics, network.recipe.summary(), logged.hints)
    return metrics


def _prepare(
    cfg: DictConfig, folder: Path, study: Path | None
) -> tuple[ImageData, list[Stage], Network, list[Teacher]]:
    """All that can be refused comes before the first stage."""
    pl.seed_everything(cfg.seed, verbose=False)
    check_classes(cfg)
    device_count(cfg.trainer)  # refuses devices that this machine lacks
    splits = RunSplits(cfg, folder, study)
    data = make_data(cfg, splits)
    stages = stages_of(cfg)
    check_order([stage.step for stage in stages if stage.step is not None])
    network = initial_network(cfg, data)
    check_loss(cfg.loss, network)
    check_auxiliary(cfg.auxiliary, network)
    check_layers(cfg, network)
    check_terms(cfg, network.num_classes)
    check_stages(cfg, stages, network)
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
    return data, stages, network, teachers


def _run_stages(
    stages: list[Stage],
    network: Network,
    run: RunContext,
    teachers: list[Teacher],
    *,
    timed: bool,
) -> tuple[list[StageRecord], list[Network], list[Teacher]]:
    """What each stage gave, the networks before and after each, and the teachers that taught."""
    results, networks = [], [network]
    for stage in stages:
        if stage.step is not None:
            teachers = with_original(teachers, networks[-1], run.cfg)
        network, result = run_stage(stage, networks[-1], run, teachers)
        if timed and stage.step is not None:
            result["layers"] = measure_layers(networks[-1], network, run.data.image_size)
        results.append(result)
        networks.append(network)
    taught = [t for t in teachers if any(stage.epochs and stage.has(t.name) for stage in stages)]
    return results, networks, taught


def _agreement(
    student: Predictions, run: RunContext, teachers: Sequence[Teacher]
) -> dict[str, float]:
    if not teachers:
        return {}
    return teacher_agreement(
        student,
        teachers,
        run.data.val_dataloader(),
        distillation=build(run.cfg.distillation),
        device=run.device,
    )


def _train_teacher(data: ImageData, splits: RunSplits, cfg: DictConfig, folder: Path) -> None:
    """Trains a teacher on the images that its student is trained on."""
    data.source.prepare()
    _ = data.index  # in the splits that the student's run keeps
    splits.hand_on(folder)
    title = f"{cfg.model.name}_{cfg.data.name}_seed{cfg.seed}"
    run_experiment(cfg, folder, title=title, group="teachers", is_main_run=False)


def _wants_latency(cfg: DictConfig, *, trial: bool) -> bool:
    """Measuring takes seconds: within a sweep only where an objective asks for it."""
    asked = any(name in str(cfg.objective) for name in ("cost/latency", "score/time"))
    asked = asked or cfg.sweep.limits.latency_ms is not None
    return cfg.latency.backend is not None and (not trial or asked)


def _wants_drawing(asked: bool | None, *, trial: bool) -> bool:
    """Pictures and report take a second or two each: within a sweep only where asked for."""
    return not trial if asked is None else asked


def _write_results(folder: Path, last_stage: str, metrics: dict[str, Any]) -> None:
    """Puts the last stage's network to `model/` and the metrics beside it, each in one piece."""
    with whole_folder(folder / "model") as part:
        shutil.copytree(folder / "steps" / last_stage / "model", part, dirs_exist_ok=True)
    write_metrics(folder, metrics)


@contextlib.contextmanager
def _interruption(folder: Path) -> Iterator[None]:
    """Ctrl-C ends with the command that continues; Lightning itself leaves by a bare SystemExit.

    So does what goes wrong with the disk, the images and the processes that read them.
    """
    command = shlex.join(["python", "run.py", f"resume={folder}"]) + trust_word(folder)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if (folder / METRICS_FILE).is_file():
            raise SystemExit(f"interrupted; the run's results are in {folder}") from None
        raise SystemExit(
            f"interrupted; continue from the last whole epoch with: {command}"
        ) from None
    except (DataError, OSError) as error:
        sentence: str | None = str(error)
        if isinstance(error, OSError):
            sentence = system_sentence(error, elsewhere=False)
        if sentence is None or (folder / METRICS_FILE).is_file():
            raise
        raise ConfigError(
            f"{sentence} Then continue from the last whole epoch with: {command}"
        ) from error


@contextlib.contextmanager
def _refusal(folder: Path, *, clears: bool) -> Iterator[None]:
    """A run refused before it started leaves nothing behind."""
    try:
        yield
    except USER_ERRORS:
        if clears:
            run_directory.cleanup(folder)
        raise
