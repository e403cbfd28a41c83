"""What a run leaves besides its network, part by part; any of them may fail."""

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightning_modules.distillation import Teacher
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation import (
    Predictions,
    add_latency,
    add_scores,
    final_metrics,
    final_predictions,
    measure_layers,
    teacher_agreement,
)
from lightning_modules.experiment.ending import Ending
from lightning_modules.experiment.latency_plan import LatencyPlan
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stages import TRAINING
from lightning_modules.networks import Network
from lightning_modules.registry import build
from lightning_modules.reporting import (
    REPORT,
    RunResults,
    read_input,
    write_card,
    write_report,
)
from lightning_modules.reporting.pictures import draw_pictures
from lightning_modules.runs import StageRecord, run_directory

EVALUATION = "evaluation"


@dataclass(frozen=True)
class Trained:
    """What the stages of a run left.

    Attributes:
        results: of each stage, in order.
        networks: as it entered the first stage, and after each.
        teachers: that taught in one of them.
    """

    results: list[StageRecord]
    networks: list[Network]
    teachers: Sequence[Teacher]

    @property
    def network(self) -> Network:
        """The final one."""
        return self.networks[-1]


def leave_results(
    run: RunContext,
    trained: Trained,
    *,
    title: str,
    is_main_run: bool,
    latency: LatencyPlan | None,
    uploads: contextlib.ExitStack,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Ships the network of a run, then adds what else there is to know of it.

    Args:
        run: its configuration, data, folder and loggers.
        trained: what its stages left.
        title: what a person calls the run.
        is_main_run: whether `last` may come to mean this run.
        latency: how the networks are timed; None: they are not.
        uploads: finishes the run's loggers when it is closed.
        facts: what loggers are told of the run besides.

    Returns:
        What `metrics.json` says; its `missing` names the parts that failed.
    """
    cfg, folder = run.cfg, run.folder
    core = final_metrics({}, run.data.class_names, cfg, trained.results)
    ending = Ending(folder, core, parts_of(cfg, trained, latency, is_main_run=is_main_run))
    ending.ship(trained.results[-1]["name"])
    if is_main_run:
        run_directory.update_pointer(run_directory.FINISHED, folder)
    parts = _Parts(run, trained, ending, title)
    ending.make(EVALUATION, parts.evaluate)
    ending.make("agreement", parts.compare_with_teachers)
    if latency is not None:
        ending.make("latency", functools.partial(parts.time, latency))
    ending.make("score", parts.score)
    ending.make("layers", parts.time_layers)
    pictures = ending.make("pictures", parts.draw) or []
    ending.make("card", functools.partial(parts.describe, pictures))
    updates = sum(stage.get("updates", 0) for stage in trained.results)
    results = RunResults(ending.metrics, pictures, folder / "model", facts, max(0, updates - 1))
    ending.make("loggers", functools.partial(_upload, run, uploads, results))
    ending.make("report", parts.report)
    return ending.record


def parts_of(
    cfg: DictConfig, trained: Trained, latency: LatencyPlan | None, *, is_main_run: bool
) -> list[str]:
    """The parts that a run should have, in the order in which they are made."""
    compressed = len(trained.results) > 1 or cfg.from_run is not None
    wanted = {
        EVALUATION: True,
        "agreement": bool(trained.teachers),
        "latency": latency is not None,
        "score": True,
        "layers": latency is not None and compressed,
        "pictures": wants_drawing(cfg.pictures, trial=not is_main_run),
        "card": True,
        "loggers": True,
        "report": wants_drawing(cfg.report, trial=not is_main_run),
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


def wants_drawing(asked: bool | None, *, trial: bool) -> bool:
    """Pictures and report take a second or two each: within a sweep only where asked for."""
    return not trial if asked is None else asked


@dataclass(frozen=True)
class _Parts:
    """Makes each part, from the run and what is known of it by then."""

    run: RunContext
    trained: Trained
    ending: Ending
    title: str

    @functools.cached_property
    def predictions(self) -> dict[str, Predictions]:
        """Of the final network; read only by the parts that need them."""
        return final_predictions(self.trained.network, self.run.data, self.run.device)

    def evaluate(self) -> None:
        """Calibration, classes, confusion, and all of test."""
        run, known = self.run, self.ending.metrics
        found = final_metrics(self.predictions, run.data.class_names, run.cfg, self.trained.results)
        self.ending.metrics = {**found, **known, "confusion": found["confusion"]}

    def compare_with_teachers(self) -> None:
        """On the validation images."""
        run = self.run
        self.ending.metrics |= teacher_agreement(
            self.predictions["val"],
            self.trained.teachers,
            run.data.val_dataloader(),
            distillation=build(run.cfg.distillation),
            device=run.device,
        )

    def time(self, plan: LatencyPlan) -> None:
        """As planned, if the networks that the steps made allow it; else said, or missing."""
        run, networks = self.run, self.trained.networks
        add_latency(
            self.ending.metrics,
            networks[1:] if run.cfg.from_run is None else networks,
            backend=plan.backend,
            threads=run.cfg.latency.threads,
            batch=plan.batch,
            image_size=run.data.image_size,
        )
        how = self.ending.metrics["latency"]
        if plan.asked is not None and "instead" in how:
            raise ConfigError(how["instead"])
        if plan.instead:
            how["instead"] = plan.instead

    def score(self) -> None:
        """By macro-F1 and costs."""
        data = self.run.data
        add_scores(
            self.ending.metrics,
            self.trained.network,
            self.run.cfg.score,
            image_size=data.image_size,
            images={split: sum(counts) for split, counts in data.class_counts.items()},
        )

    def time_layers(self) -> None:
        """Of each compression step."""
        networks, size = self.trained.networks, self.run.data.image_size
        steps = self.ending.metrics["steps"]
        for (before, after), step in zip(pairwise(networks), steps, strict=True):
            if step["name"] != TRAINING:
                step["layers"] = measure_layers(before, after, size)

    def draw(self) -> list[Path]:
        """Into `figures/`."""
        run = self.run
        return draw_pictures(self.predictions, run.data, run.folder, name=self.title)

    def describe(self, pictures: Sequence[Path]) -> None:
        """As `card.md`, with links to the pictures."""
        run = self.run
        if EVALUATION in self.ending.missing:
            raise ConfigError(f"it needs the {EVALUATION}, which is missing.")
        write_card(run.folder, self.ending.metrics, run.cfg, run.data.class_counts, pictures)

    def report(self) -> None:
        """As `report.html`."""
        run = self.run
        write_report(read_input([str(run.folder)]), run.folder / REPORT, trust=run.trust)


def _upload(run: RunContext, uploads: contextlib.ExitStack, results: RunResults) -> None:
    """To the loggers, which end as failed if that fails."""
    with uploads:
        run.loggers.log_results(results)
