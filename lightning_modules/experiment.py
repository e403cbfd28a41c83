"""The story of one run: data, network, teachers, stages, figures, what is shipped."""

import contextlib
import copy
import logging
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from datamodules.image_data import ImageData
from lightning_modules import closing, run_directory, teacher_runs
from lightning_modules.build import build
from lightning_modules.card import write_card
from lightning_modules.errors import USER_ERRORS, ConfigError
from lightning_modules.figures import add_latency, final_figures
from lightning_modules.fitting import Session
from lightning_modules.networks import Network, build_network, load_network
from lightning_modules.stage_run import run_stage
from lightning_modules.stages import stages_of
from lightning_modules.teachers import Teacher, freeze, teacher_from
from lightning_modules.wandb_run import wandb_run

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> float | list[float]:
    """Conducts the run that Hydra started and returns its objective(s) to the sweeper."""
    hydra = HydraConfig.get()
    trial = hydra.mode == RunMode.MULTIRUN
    group = Path(hydra.sweep.dir).name if trial else None
    metrics = conduct(cfg, Path(hydra.runtime.output_dir), group=group, leads=not trial)
    return objectives(cfg.objective, metrics)


def objectives(names: str | ListConfig, metrics: dict[str, Any]) -> float | list[float]:
    """The figures that a search improves; NaN cannot occur, for `metrics.json` refuses it."""
    if isinstance(names, str):
        return metrics[names]
    return [metrics[name] for name in names]


def conduct(cfg: DictConfig, folder: Path, *, group: str | None, leads: bool) -> dict[str, Any]:
    """One whole run in `folder`; returns what `metrics.json` says.

    Args:
        cfg: the composed configuration.
        folder: the run directory; it exists.
        group: the study that the run is a trial of.
        leads: whether `last` may come to mean this run, and whether a refusal clears the folder;
            false for trials.
    """
    folder = folder.absolute()
    with _refusal(folder, clears=leads and cfg.resume is None):
        pl.seed_everything(cfg.seed, verbose=False)
        data = make_data(cfg)
        stages = stages_of(cfg)
        network = enter(cfg, data)
        teachers = gather_teachers(cfg, data, folder)
        data.prepare_data()
        data.setup()
    if leads:
        run_directory.point(run_directory.STARTED, folder)
    with wandb_run(cfg, folder, group=group) as logged:
        session = Session(cfg, data, folder, logged)
        results, networks = [], [] if cfg.from_run is None else [network]
        for stage in stages:
            if stage.step is not None and teacher_runs.ORIGINAL in cfg.teacher:
                teachers = _with_original(teachers, network, cfg)
            network, result = run_stage(stage, network, session, teachers)
            results.append(result)
            networks.append(network)
        metrics = final_figures(network, session, results)
        if _wants_latency(cfg, trial=not leads):
            add_latency(metrics, networks, cfg.latency, image_size=data.image_size)
        if logged is not None:
            logged.summary.update({k: v for k, v in metrics.items() if k != "steps"})
    _ship(folder, stages[-1].name, metrics)
    write_card(folder, metrics, cfg)
    if leads:
        run_directory.point(run_directory.FINISHED, folder)
    closing.show(folder, metrics, network.recipe.summary())
    return metrics


def make_data(cfg: DictConfig) -> ImageData:
    """The data module that `cfg.data` and `cfg.augment` describe."""
    settings = OmegaConf.to_container(cfg.data, resolve=True)
    settings = {k: v for k, v in settings.items() if k not in ("name", "root", "source")}
    return ImageData(
        source=build(cfg.data.source),
        augmentation=build(cfg.augment),
        cache_dir=Path(cfg.cache_dir),
        seed=cfg.seed,
        **settings,
    )


def enter(cfg: DictConfig, data: ImageData) -> Network:
    """The network that the first stage gets: a new one, or that of `from_run`.

    Raises:
        ConfigError: the entered run has other classes, or another model was asked for.
    """
    size = data.image_size
    if cfg.from_run is None:
        network = build_network(cfg.model, num_classes=data.num_classes, image_size=size)
        network.class_names = data.class_names
        return network
    network = load_network(cfg.from_run, trust=run_directory.trusted_packages(cfg))
    if network.class_names != data.class_names:
        raise ConfigError(
            f"{cfg.from_run} knows the classes {', '.join(network.class_names)}, but the data has "
            f"{', '.join(data.class_names)}; give the data that the run was trained on."
        )
    network.image_size = size
    return network


def gather_teachers(cfg: DictConfig, data: ImageData, folder: Path) -> list[Teacher]:
    """All teachers but `original`; which runs they are is noted in the folder, for a resume."""
    note = folder / "teachers.json"
    known = run_directory.read_json(note) if note.is_file() else {}
    teachers = []
    for name, node in cfg.teacher.items():
        if name == teacher_runs.ORIGINAL:
            continue
        if name not in known:
            run = teacher_runs.find_run(name, node, cfg.data) or _train_teacher(name, node, cfg)
            known[name] = None if run is None else str(run)
        run = known[name]
        log.info(f"teacher {name}: {run or node.weights}")
        teachers.append(
            teacher_from(
                name,
                node,
                run=run and Path(run),
                class_names=data.class_names,
                image_size=data.image_size,
            )
        )
    if teachers:
        run_directory.write_json(note, known)
    return teachers


def _train_teacher(name: str, node: DictConfig, cfg: DictConfig) -> Path | None:
    """Trains a teacher that has no finished run yet, with this command's settings.

    Whether that is allowed was checked before the run started.
    """
    if node.get("weights") is not None:
        return None
    folder = run_directory.outputs_root() / "teachers"
    folder /= f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{name}_{cfg.data.name}"
    log.info(f"teacher {name}: no finished run on this data yet; training it in {folder}")
    own = OmegaConf.merge(cfg, {"from_run": None, "resume": None})
    OmegaConf.set_struct(own, False)
    own.model, own.teacher, own.compression = node.model, {}, {}
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(own, folder / ".hydra" / "config.yaml")
    conduct(own, folder, group="teachers", leads=False)
    return folder.absolute()


def _with_original(teachers: list[Teacher], network: Network, cfg: DictConfig) -> list[Teacher]:
    """`teachers` and the network as it entered the first compression step."""
    if any(teacher.name == teacher_runs.ORIGINAL for teacher in teachers):
        return teachers
    node = cfg.teacher[teacher_runs.ORIGINAL]
    return [*teachers, freeze(teacher_runs.ORIGINAL, copy.deepcopy(network), node)]


def _wants_latency(cfg: DictConfig, *, trial: bool) -> bool:
    """Measuring takes seconds: within a sweep only where an objective asks for it."""
    return cfg.latency.backend is not None and (not trial or "latency" in str(cfg.objective))


def _ship(folder: Path, last_stage: str, metrics: dict[str, Any]) -> None:
    """Puts the last stage's network to `model/` and the figures beside it, each in one piece."""
    beside, model = folder / ".model", folder / "model"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(folder / "steps" / last_stage / "model", beside)
    shutil.rmtree(model, ignore_errors=True)
    beside.rename(model)
    run_directory.write_json(folder / "metrics.json", metrics)


@contextlib.contextmanager
def _refusal(folder: Path, *, clears: bool) -> Iterator[None]:
    """A run refused before it started leaves nothing behind."""
    try:
        yield
    except USER_ERRORS:
        if clears:
            run_directory.discard(folder)
        raise
