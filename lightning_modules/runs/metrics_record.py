"""`metrics.json`: what a finished run measured; its keys are declared, written and read here.

It is one flat object: a number for each metric that was measured, by a name with a slash
(`MEASURED`), and what the run was (`MetricsRecord`).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json, write_json
from lightning_modules.runs.overrides import typed_word

METRICS_FILE = "metrics.json"  # of a run
NOT_YET = "the run was ended before it"  # why a part is missing until it is made
SCHEMA = 1  # files of earlier versions have none and mean the same

# The metrics of the final network; `<split>` is val, or test where there are labelled test images.
MEASURED = {
    "<split>/f1": "macro-F1: the mean of the classes' F1, 0..1",
    "<split>/accuracy": "images predicted right, 0..1",
    "<split>/loss": "mean cross-entropy, nats",
    "<split>/calibration_error": "expected calibration error, 0..1",
    "<split>/precision/<class>": "of the images predicted as it, how many are of it, 0..1",
    "<split>/recall/<class>": "of its images, how many are predicted as it, 0..1",
    "<split>/f1/<class>": "harmonic mean of these two, 0..1",
    "<split>/support/<class>": "its images",
    "val/agreement": "images of which all teachers as one say the same class, 0..1",
    "val/agreement/<teacher>": "images of which this teacher says the same class, 0..1",
    "cost/macs": "multiply-accumulates for one image",
    "cost/params": "parameters",
    "cost/activation_bytes": "bytes of the feature maps alive at once, at most, for one image",
    "cost/file_bytes": "bytes of the file with the weights",
    "cost/latency_ms": "median milliseconds for one batch, where it was measured",
    "cost/latency_iqr_ms": "their interquartile range, milliseconds",
    "score/macs": "the 2021 leaderboard's score of F1 and MACs, lower is better",
    "score/time": "its score of F1 and seconds, where the latency was measured",
}


class LayerRecord(TypedDict):
    """One layer of the network that entered a compression step; see `LayerSaving`.

    Attributes:
        layer: its name.
        change: `none`, `narrower`, `factorised` or `removed`.
        macs: before and after the step, for one image.
        ms: milliseconds, the same.
        advice: why its time did not follow its MACs and what to do; None where no reason is known.
    """

    layer: str
    change: str
    macs: list[int]
    ms: list[float]
    advice: str | None


class StageRecord(TypedDict):
    """One stage: plain training, or a compression step with its fine-tuning.

    Attributes:
        name: of its folder below `steps/`, such as `01_prune`.
        before: metrics of the network that entered it: `val/f1`, `val/accuracy`, `val/loss` and
            `cost/*`.
        surgery: `val/*` after each round's change, BatchNorm recalibrated, not yet fine-tuned.
        after: the same as `before`, of the network that left it.
        epoch: whose weights were kept, from 0, of the last round; -1 where none was trained.
        agreement: of a compression step, the validation images that the network before it and the
            one after it put into the same class, 0..1.
        updates: weight updates of the optimizer, in all its rounds.
        ended: a sentence for each fit that ended before its last epoch, and why.
        rejected: the sentence on a step that lost more than its `max_f1_drop` allows.
        layers: where latency is measured, those of a compression step.
    """

    name: str
    before: dict[str, float]
    surgery: list[dict[str, float]]
    after: dict[str, float]
    epoch: int
    agreement: NotRequired[float]
    updates: NotRequired[int]
    ended: NotRequired[list[str]]
    rejected: NotRequired[str]
    layers: NotRequired[list[LayerRecord]]


class LatencyRecord(TypedDict):
    """How `cost/latency_ms` was measured.

    Attributes:
        backend: `onnxruntime` or another.
        threads: how many it used.
        batch: images in a batch.
        device: the processor's name.
        instead: why backend or batch are not those that were configured, where they are not.
    """

    backend: str
    threads: int
    batch: int
    device: str
    instead: NotRequired[str]


class MetricsRecord(TypedDict):
    """What `metrics.json` has beside the numbers of `MEASURED`.

    Attributes:
        schema: of the file; it is only there.
        kept: whether the weights are those of the `last` epoch or of the `best` one.
        epoch: whose weights they are, from 0; -1 where the last stage trained none.
        seed: of the run.
        fold: which part of a cross-validation the run is, from 0, where it is one.
        num_folds: in how many parts the data was shared out then.
        steps: the stages, in order.
        confusion: `classes`, their names, and for each split the images by true class (rows) and
            predicted class (columns).
        latency: how it was measured, where it was.
        missing: of what the run should have beside its network, such as `latency`, `pictures`,
            `report`: why it is not there, a sentence each; absent where all is there.
    """

    schema: int
    kept: Literal["last", "best"]
    epoch: int
    seed: int
    fold: NotRequired[int]
    num_folds: NotRequired[int]
    steps: list[StageRecord]
    confusion: dict[str, list[str] | list[list[int]]]
    latency: NotRequired[LatencyRecord]
    missing: NotRequired[dict[str, str]]


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Writes a run's `metrics.json` in one piece, in this version's schema."""
    write_json(folder / METRICS_FILE, {"schema": SCHEMA, **metrics})


def read_metrics(folder: Path) -> dict[str, Any]:
    """What was given to `write_metrics`, now or by an earlier version.

    Raises:
        FileNotFoundError: the run has not finished.
        ConfigError: the file is damaged, or a later version wrote it.
    """
    path = folder / METRICS_FILE
    metrics = read_json(path)
    if not isinstance(metrics, dict):
        raise ConfigError(f"{path} cannot be read; it is damaged.")
    schema = metrics.pop("schema", SCHEMA)
    if schema != SCHEMA:
        raise ConfigError(
            f"{path} has schema version {schema!r}; this installation reads version {SCHEMA}."
        )
    return metrics


def missing_parts(folder: Path) -> dict[str, str]:
    """What a run's `metrics.json` lacks, and why; nothing where there is no such file.

    Raises:
        ConfigError: the file is damaged, or a later version wrote it.
    """
    try:
        missing = read_metrics(folder).get("missing", {})
    except FileNotFoundError:
        return {}
    return missing if isinstance(missing, dict) else {}


def check_unfinished(run: Path) -> None:
    """Refuses to resume a run that lacks nothing.

    Raises:
        ConfigError: it is finished, or its `metrics.json` is damaged.
    """
    if (run / METRICS_FILE).is_file() and not missing_parts(run):
        word = typed_word("from_run", run)
        raise ConfigError(f"{run} is finished; to go on from its network use {word}.")


def is_measured(key: str) -> bool:
    """Whether a run may have a metric of that name."""
    return _measured().fullmatch(key) is not None


def _measured() -> re.Pattern[str]:
    patterns = (re.escape(name).replace("<split>", "(val|test)") for name in MEASURED)
    return re.compile("|".join(re.sub("<(class|teacher)>", ".+", one) for one in patterns), re.S)
