"""The W&B run, offline: what its record says."""

import json
import os
import struct
import time

import pytest

from lightning_modules.errors import ConfigError
from lightning_modules.reporting.loggers.wandb import STAGING

NODE = {
    "_target_": "lightning_modules.reporting.loggers.wandb.WandbRun", "project": "model-diet",
    "mode": "offline", "tags": ["x"],
}  # fmt: skip
BLOCK = 32768  # bytes; no record's header lies across two


def records(folder):
    """All records of the only run in a folder; W&B's own process writes the last ones late."""
    limit = time.time() + 30
    while not (found := parsed(folder)) or found[-1].WhichOneof("record_type") != "exit":
        assert time.time() < limit, "The record has no end."
        time.sleep(0.05)
    return found


def parsed(folder):
    """Its file's records so far: LevelDB's log format, protocol buffers within."""
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    data, position, parts, found = file.read_bytes(), 7, b"", []
    while position + 7 <= len(data):
        if (left := BLOCK - position % BLOCK) < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        position += 7 + length
        parts += data[position - length : position]
        if kind in (1, 4):  # whole, or a last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            found.append(record)
            parts = b""
    return found


def of_kind(folder, kind):
    return [getattr(r, kind) for r in records(folder) if r.WhichOneof("record_type") == kind]


def values(items):
    return {item.key or "/".join(item.nested_key): item.value_json for item in items}


def test_one_run_has_all_stages_and_results(tmp_path, results, run_of, monkeypatch):
    monkeypatch.setenv(STAGING, "/elsewhere")
    ((word, command),) = run_of(NODE)
    folder = tmp_path / "run"
    (offline,) = (folder / "wandb").glob("offline-run-*")
    assert (word, command) == ("W&B", f"wandb sync {offline}")
    assert os.environ[STAGING] == "/elsewhere"
    (run,) = of_kind(folder, "run")
    assert (run.display_name, run.run_group, run.project) == ("a-title", "a-group", "model-diet")
    assert list(run.tags) == ["x"]
    config = values(run.config.update)
    assert config["seed"] == "3"
    assert json.loads(config["search"]) == {"params": {"+model.x y?": 1}}
    history = [values(line.item) for line in of_kind(folder, "history")]
    curve = [line for line in history if "trainer/global_step" in line]
    assert [line["trainer/global_step"] for line in curve] == ["1", "3", "5", "7"]
    assert [line.get("00_train-val/f1") for line in curve] == ["0", "0.25", None, None]
    assert [line.get("01_tucker-val/f1") for line in curve] == [None, None, "0", "0.25"]
    assert any("figures/val_worst/sha256" in line for line in history)
    assert any(line.get("val/classes/nrows") == "2" for line in history)
    summary = {}
    for part in of_kind(folder, "summary"):
        summary |= values(part.update)
    assert (summary["val/f1"], summary["val/f1/b & c"], summary["kept"]) == ("0.5", "0.2", '"last"')
    assert summary["search/pruned"] == "true"
    networks = [found for found in of_kind(folder, "artifact") if found.type == "model"]
    (network,) = networks
    assert network.name == "a-title"
    assert json.loads(network.metadata) == {"val/f1": 0.5, "cost/macs": 7}
    (entry,) = network.manifest.contents
    assert entry.local_path == str(results.model / "weights.safetensors")  # no copy
    (end,) = of_kind(folder, "exit")
    assert end.exit_code == 0


def test_a_run_that_fails_is_marked_and_finished(tmp_path, run_of):
    import wandb

    with pytest.raises(ZeroDivisionError):
        run_of(NODE, fails=True)
    (end,) = of_kind(tmp_path / "run", "exit")
    assert end.exit_code == 1 and wandb.run is None


def test_lightnings_own_logger_is_finished_too(tmp_path, run_of):
    import wandb

    node = {"_target_": "pytorch_lightning.loggers.WandbLogger", "mode": "offline", "name": "b"}
    assert run_of(node) == []
    assert wandb.run is None
    (run,) = of_kind(tmp_path / "run", "run")
    (end,) = of_kind(tmp_path / "run", "exit")
    assert (run.display_name, end.exit_code) == ("b", 0)


def test_a_resumed_run_is_the_same_one_in_two_parts(tmp_path, run_of):
    run_of(NODE)
    (first,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    time.sleep(1.1)  # W&B names the parts by the second
    ((_, command),) = run_of(NODE)
    assert command == f"wandb sync {tmp_path / 'run' / 'wandb'}"
    parts = list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert len(parts) == 2
    assert {part.name.rpartition("-")[2] for part in parts} == {first.name.rpartition("-")[2]}


def test_an_online_run_asks_for_its_history(tmp_path, run_of, monkeypatch):
    import wandb

    from lightning_modules.reporting.loggers import wandb as room

    asked = {}

    def init(**settings):
        asked.update(settings)
        raise wandb.errors.CommError("no project x.")

    (tmp_path / "run" / "wandb" / "run-20260102_030405-my-id").mkdir(parents=True)
    (tmp_path / "run" / "wandb" / "latest-run").symlink_to("run-20260102_030405-my-id")
    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(room, "unreachable", lambda: None)
    said = r"mode=online: W&B refuses the run \(CommError: no project x\); see `wandb login --ver"
    with pytest.raises(ConfigError, match=said):
        run_of({**NODE, "mode": "online"})
    assert (asked["id"], asked["resume"]) == ("my-id", "allow")
