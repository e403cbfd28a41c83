"""A run in MLflow: in a SQLite file beside the runs, or on the user's own server."""

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import MLFlowLogger

from lightning_modules.reporting.loggers.results import RunResults
from lightning_modules.runs import bash_word, short_path

SQLITE = "sqlite:///"
ARTIFACTS = "mlflow_artifacts"  # beside the database
FORBIDDEN = re.compile(r"[^\w/. :-]", re.ASCII)  # in names of parameters and metrics


class MlflowRun(MLFlowLogger):
    """Lightning's logger, which also gets the pictures and the network.

    Args:
        run_name: what the run is called.
        group: the runs that it belongs to, said in the tag `group`.
        tracking_uri: as `sqlite:///FILE`, or a server's address.
        artifact_location: where the experiment keeps files, if this run is its first; None: beside
            a SQLite file, and where a server says.
        tags: of the run.
        settings: other arguments of `MLFlowLogger`.
    """

    def __init__(
        self,
        *,
        run_name: str,
        group: str,
        tracking_uri: str,
        artifact_location: str | None = None,
        tags: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        # It would tell its makers of its use.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        if tracking_uri.startswith(SQLITE):
            file = Path(tracking_uri.removeprefix(SQLITE)).absolute()
            file.parent.mkdir(parents=True, exist_ok=True)
            tracking_uri = f"{SQLITE}{file}"
            artifact_location = artifact_location or (file.parent / ARTIFACTS).as_uri()
        _suppress_remarks()
        super().__init__(
            run_name=run_name,
            tracking_uri=tracking_uri,
            artifact_location=artifact_location,
            tags={"group": group, **(tags or {})},
            **settings,
        )
        self._uri = tracking_uri

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Starts the run, which records them as its parameters."""
        from mlflow.exceptions import MlflowException

        try:
            _ = self.experiment
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            _ = self.experiment  # another process made it just now
        super().log_hyperparams(_allowed(params))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs them, names in letters that MLflow allows."""
        super().log_metrics(_allowed(metrics), step)

    def log_results(self, results: RunResults) -> None:
        """Logs the final metrics, the pictures and the files of the network."""
        self.log_metrics(results.scalars, results.step)
        for path in results.pictures:
            self.experiment.log_artifact(self.run_id, str(path), "figures")
        self.experiment.log_artifacts(self.run_id, str(results.model), "model")

    @property
    def hint(self) -> tuple[str, str]:
        """The command that shows the runs in a browser, or the server's address."""
        uri = self._uri
        if not uri.startswith(SQLITE):
            return "MLflow", uri
        file = short_path(Path(uri.removeprefix(SQLITE)))
        return "MLflow", f"mlflow ui --backend-store-uri {bash_word(f'{SQLITE}{file}')}"


def _allowed(named: Mapping[str, Any]) -> dict[str, Any]:
    """The same, also in nodes below, with `_` for letters that MLflow refuses in a name."""
    return {
        FORBIDDEN.sub("_", str(name)): _allowed(value) if isinstance(value, Mapping) else value
        for name, value in named.items()
    }


def _suppress_remarks() -> None:
    """They tell of each table and each experiment that they make."""
    import mlflow  # noqa: F401  (it sets its loggers up)

    for name in ("mlflow", "alembic", "pytorch_lightning.loggers.mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
