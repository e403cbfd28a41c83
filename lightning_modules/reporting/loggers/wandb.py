"""The W&B run of an experiment: one for all its stages, always finished."""

import contextlib
import logging
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, WandbLogger

from datamodules.errors import shown
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation import CLASS_COLUMNS, class_rows, is_class_metric
from lightning_modules.reporting.loggers.results import RunResults
from lightning_modules.reporting.loggers.wandb_server import ONLINE, unreachable
from lightning_modules.runs import bash_word, short_path

log = logging.getLogger(__name__)

STAGING = "WANDB_DATA_DIR"
FOLDER = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(.+)")  # of W&B, for each start of a run


class WandbRun(Logger):
    """Logs to a W&B run that gets the configuration, curves, pictures, classes and the network.

    A resumed run is the same one at W&B: it keeps its id and what was logged of it. Where the
    server cannot be reached, an online run becomes an offline one, with a word.

    Args:
        save_dir: the run directory; W&B writes below it, nothing elsewhere.
        run_name: what the run is called.
        group: the runs that it belongs to.
        settings: other arguments of `wandb.init`, such as `project`, `mode` and `tags`.
    """

    def __init__(self, *, save_dir: str, run_name: str, group: str, **settings: Any) -> None:
        super().__init__()
        self._folder = Path(save_dir)
        self._settings = {"name": run_name, "group": group, **settings}
        self._open = contextlib.ExitStack()
        self._logger: WandbLogger | None = None

    @property
    def name(self) -> str | None:
        """The project that the run belongs to."""
        return self._settings.get("project")

    @property
    def version(self) -> str | None:
        """The run's id at W&B, once it has started."""
        return None if self._logger is None else self._logger.version

    @property
    def save_dir(self) -> str:
        """The run directory."""
        return str(self._folder)

    @property
    def experiment(self) -> Any:
        """The `wandb.Run`; it starts when the hyperparameters are logged."""
        assert self._logger is not None
        return self._logger.experiment

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Starts the run, which records them as its configuration.

        Raises:
            ConfigError: the server refuses it.
        """
        import wandb

        mode = self._settings.setdefault("mode", "offline")
        if mode in ONLINE and (reason := unreachable()):
            log.warning(
                f"W&B cannot be reached ({reason}): this run is logged offline, to be sent later."
            )
            self._settings["mode"] = mode = "offline"
        elif mode in ONLINE:
            self._settings.setdefault("resume", "allow")
        self._settings.setdefault("id", self._earlier_id() or secrets.token_hex(4))
        self._open.enter_context(_staging(self._folder / "wandb" / "staging"))
        typed = sys.argv[:]
        sys.argv[:] = map(shown, typed)  # W&B records them, and fails for a path that is not UTF-8
        try:
            run = wandb.init(
                dir=self._folder,
                config=params,
                settings=wandb.Settings(console="off", silent=True),
                reinit="finish_previous",
                **self._settings,
            )
        except wandb.Error as error:
            said = " ".join(str(error).split()).rstrip(".")
            raise ConfigError(
                f"logger.wandb.mode={mode}: W&B refuses the run ({type(error).__name__}: {said}); "
                "see `wandb login --verify`, or take logger.wandb.mode=offline."
            ) from error
        finally:
            sys.argv[:] = typed
        self._logger = WandbLogger(experiment=run)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Logs them at `trainer/global_step`."""
        assert self._logger is not None
        self._logger.log_metrics(metrics, step)

    def log_results(self, results: RunResults) -> None:
        """Logs metrics, a table of classes, pictures, and the network.

        The network is an artifact of type `model` that refers to the files, which must be there
        still when an offline run is synchronised.
        """
        import wandb

        run, metrics = self.experiment, results.metrics
        run.summary.update({k: v for k, v in metrics.items() if not isinstance(v, dict | list)})
        run.summary.update(results.facts)
        classes, *matrices = metrics["confusion"].items()
        for split, matrix in matrices:
            rows = [list(row) for row in class_rows(classes[1], matrix)]
            run.log({f"{split}/classes": wandb.Table(columns=list(CLASS_COLUMNS), data=rows)})
        if results.pictures:
            run.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in results.pictures})
        numbers = {k: v for k, v in metrics.items() if "/" in k and not is_class_metric(k)}
        artifact = wandb.Artifact(run.name, type="model", metadata=numbers)
        for path in sorted(results.model.iterdir()):
            # Not `mutable`: that copies the network to a folder of W&B's outside the run directory.
            artifact.add_file(str(path), policy="immutable", skip_cache=True)
        run.log_artifact(artifact)

    def finalize(self, status: str) -> None:
        """Finishes the run, if it has started; always, since a multirun's next one would join."""
        with self._open:
            if self._logger is not None:
                self.experiment.finish(exit_code=int(status != "success"))

    @property
    def hint(self) -> tuple[str, str] | None:
        """How an offline run is sent; W&B puts the parts of a resumed one together."""
        offline = sorted((self._folder / "wandb").glob("offline-run-*"))
        if not offline:
            return None
        place = offline[0] if len(offline) == 1 else self._folder / "wandb"
        return "W&B", f"wandb sync {bash_word(Path(short_path(place)))}"

    def _earlier_id(self) -> str | None:
        """The id of this run before it was resumed: W&B ends the names of its folders with it."""
        found = sorted(path.name for path in (self._folder / "wandb").glob("*run-*"))
        ids = [match[1] for name in found if (match := FOLDER.fullmatch(name))]
        return ids[-1] if ids else None


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """Lets tables wait in `folder` for their upload; W&B would take the user's home."""
    before = os.environ.get(STAGING)
    os.environ[STAGING] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(STAGING)
        if before is not None:
            os.environ[STAGING] = before
