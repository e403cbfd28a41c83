"""The loggers of a run: started before its first stage, finished whatever happens."""

import contextlib
import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from types import TracebackType
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, WandbLogger

from datamodules.errors import shown
from lightning_modules.errors import USER_ERRORS, ConfigError
from lightning_modules.registry import build, plain
from lightning_modules.reporting.loggers.results import LogsResults, RunResults
from lightning_modules.reporting.loggers.schema import (
    DEFAULT,
    LOGGERS,
    chosen_loggers,
    lacks_default,
)
from lightning_modules.reporting.loggers.stage_logger import StageLogger, StepCount

log = logging.getLogger(__name__)

# What a logger is told of its run where its class has an argument of that name.
FACTS = frozenset({"save_dir", "run_name", "group"})


class RunLoggers:
    """The started loggers of one run.

    Each got the run's configuration as its hyperparameters. It gets the metrics of every epoch,
    and in the end the results: all of them where it has `log_results`, else the final metrics.

    Args:
        loggers: by the names that they have in the configuration.
    """

    def __init__(self, loggers: Mapping[str, Logger] | None = None) -> None:
        self._loggers = dict(loggers or {})
        self._steps = StepCount()

    def of_stage(self, stage: str) -> list[StageLogger]:
        """The loggers for the Trainer of a stage."""
        return [StageLogger(logger, stage, self._steps) for logger in self._loggers.values()]

    def start_fit(self, trainer: pl.Trainer, *, epochs_before: int) -> None:
        """Lets the steps of a fit follow those of the fits before it, as `StepCount`."""
        self._steps.start_fit(trainer, epochs_before=epochs_before)

    def log_results(self, results: RunResults) -> None:
        """Logs what a finished run has to show; what one logger raises comes after all others."""
        # Of a resumed run whose training was over before, nothing was counted.
        results = replace(results, step=self._steps.last or results.step)
        with contextlib.ExitStack() as stack:
            for logger in self._loggers.values():
                stack.callback(_log, logger, results)

    @property
    def hints(self) -> list[tuple[str, str]]:
        """How what was logged is looked at: a word, and a command to type."""
        found = (getattr(logger, "hint", None) for logger in self._loggers.values())
        return [hint for hint in found if hint is not None]


def _log(logger: Logger, results: RunResults) -> None:
    if isinstance(logger, LogsResults):
        logger.log_results(results)
    else:
        logger.log_metrics(results.scalars, results.step)


@contextlib.contextmanager
def run_loggers(
    cfg: DictConfig,
    folder: Path,
    *,
    title: str,
    group: str,
    search: Callable[[], dict[str, Any]] | None = None,
) -> Iterator[RunLoggers]:
    """Starts the chosen loggers, and finishes them: as failed after an error or an interruption.

    Args:
        cfg: the whole configuration, which each of them records.
        folder: the run directory; those of this package write below it.
        title: what the run is called.
        group: the runs that it belongs to.
        search: gives what is recorded of a trial of a search.

    Raises:
        ConfigError: one of them cannot start.
    """
    chosen = chosen_loggers(cfg)
    if lacks_default(cfg):
        log.warning(f"{DEFAULT} is not installed: the metrics are in {folder} only")
    config = _printable(plain(cfg))
    if chosen and search is not None:
        config["search"] = search()
    facts = {"save_dir": str(folder), "run_name": title, "group": group}  # FACTS
    with contextlib.ExitStack() as stack:
        loggers = {}
        for name, node in chosen.items():
            with _start(name):
                loggers[name] = logger = _made(f"logger.{name}", node, facts)
                stack.push(functools.partial(_finish, logger))
                logger.log_hyperparams(config)
        yield RunLoggers(loggers)


def check_classes(cfg: DictConfig) -> None:
    """Refuses loggers whose class does not exist, is none, or takes other settings.

    Raises:
        ConfigError: with the logger's name.
    """
    for name, node in chosen_loggers(cfg).items():
        place, target = f"logger.{name}", node["_target_"]
        if name in LOGGERS.paths:
            LOGGERS.path(name, "logger")  # refuses a name that a package offers as well
        try:
            found = resolve_name(target)
        except Exception as error:  # whatever the import raises
            raise ConfigError(f"{place}._target_={target} cannot be imported: {error}.") from error
        if not callable(found) or (inspect.isclass(found) and not issubclass(found, Logger)):
            raise ConfigError(_NO_LOGGER.format(place=place, target=target))
        settings = [str(key) for key in node if not str(key).startswith("_")]
        try:
            given = dict.fromkeys({*settings, *_asked(found)})
            inspect.signature(found).bind(*node.get("_args_", ()), **given)
        except (TypeError, ValueError) as error:  # the second where a function of C shows none
            raise ConfigError(f"{place}: {target} cannot be built: {error}.") from error


_NO_LOGGER = (
    "{place}._target_={target} is no logger; give a class that derives from "
    "pytorch_lightning.loggers.Logger."
)


def _made(place: str, node: DictConfig, facts: Mapping[str, str]) -> Logger:
    """The logger of a node, told of the run what it asks for and the node leaves open."""
    asked = _asked(resolve_name(node["_target_"]))
    missing = {key: fact for key, fact in facts.items() if key in asked and key not in node}
    logger = build(node, **missing)
    if not isinstance(logger, Logger):
        raise ConfigError(_NO_LOGGER.format(place=place, target=node["_target_"]))
    return logger


def _asked(factory: Callable[..., Any]) -> frozenset[str]:
    """What a logger asks to be told of its run."""
    return FACTS & inspect.signature(factory).parameters.keys()


@contextlib.contextmanager
def _start(name: str) -> Iterator[None]:
    """What a library refuses, such as a server that does not answer, is said in a sentence."""
    try:
        yield
    except USER_ERRORS:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"logger.{name} cannot start: {type(error).__name__}: {reason}."
        ) from error


def _finish(
    logger: Logger,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> None:
    logger.finalize("success" if kind is None else "failed")
    if isinstance(logger, WandbLogger):  # Lightning's own leaves the run open, for the next trial
        import wandb

        wandb.finish(exit_code=int(kind is not None))


def _printable(node: Any) -> Any:
    """A configuration for services, which take no path that is not UTF-8."""
    if isinstance(node, dict):
        return {key: _printable(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_printable(value) for value in node]
    return shown(node) if isinstance(node, str) else node
