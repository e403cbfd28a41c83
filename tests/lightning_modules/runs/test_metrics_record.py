"""`metrics.json`: its schema, and that each of its keys is documented."""

import json
import re
from typing import get_type_hints

import pytest

from lightning_modules.errors import ConfigError
from lightning_modules.runs import read_metrics, write_metrics
from lightning_modules.runs.metrics_record import (
    MEASURED,
    LatencyRecord,
    LayerRecord,
    MetricsRecord,
    StageRecord,
    is_measured,
)
from lightning_modules.runs.run_records import read_record
from tests.conftest import ROOT
from tests.lightning_modules.runs.documented import undocumented

RUNS = ROOT / "tests" / "fixtures" / "runs"


def test_what_is_written_is_read(tmp_path):
    metrics = {"val/f1": 0.5, "seed": 3}
    write_metrics(tmp_path, metrics)
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored == {"schema": 1, **metrics} and next(iter(stored)) == "schema"
    assert read_metrics(tmp_path) == metrics
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))  # an earlier version's
    assert read_metrics(tmp_path) == metrics


@pytest.mark.parametrize("schema", [2, "1", None, [1]])
def test_another_schema_is_refused(homes, leave, schema):
    run = leave(homes / "run", f1=0.5, schema=schema)
    says = f"metrics.json has schema version {schema!r}; this installation reads version 1."
    with pytest.raises(ConfigError, match=re.escape(f"{run / says}")):
        read_metrics(run)
    assert read_record(run, "run").failure == f"its {says}"


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100000, "\xff"])
def test_a_damaged_file_is_told(tmp_path, text):
    (tmp_path / "metrics.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"metrics\.json cannot be read; it is damaged"):
        read_metrics(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_metrics(tmp_path / "nowhere")


@pytest.mark.parametrize("run", sorted(path.parent.name for path in RUNS.glob("*/metrics.json")))
def test_what_earlier_runs_measured_is_documented(run):
    assert not undocumented(read_metrics(RUNS / run))


def test_names_of_metrics():
    for key in ("val/f1", "test/recall/a/b class\n2", "val/agreement/b0", "score/time"):
        assert is_measured(key)
    for key in ("train/loss", "val/f1/", "val", "val/f2", "cost/latency", "cost/macs/x"):
        assert not is_measured(key)


def test_the_readme_has_every_key():
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", (ROOT / "README.md").read_text(), flags=re.M)
    keys, meanings = set(), {}
    for first, meaning in rows:
        names = re.findall("`([^`]+)`", first)
        start = names[0].partition("/")[0] + "/" if "/" in names[0] else ""
        keys |= {names[0], *(start + name for name in names[1:])}
        meanings[names[0]] = meaning
    assert set(MEASURED) | set(get_type_hints(MetricsRecord)) <= keys
    for record, row in ((StageRecord, "steps"), (LatencyRecord, "latency")):
        assert all(f"`{key}`" in meanings[row] for key in get_type_hints(record)), row


@pytest.mark.parametrize("record", [MetricsRecord, StageRecord, LatencyRecord, LayerRecord])
def test_every_key_has_a_docstring(record):
    documented = re.findall(r"^ {4,8}(\w+): ", record.__doc__, flags=re.M)
    assert documented == list(get_type_hints(record))
