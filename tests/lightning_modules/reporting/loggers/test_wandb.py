"""What a person reads in W&B, and what is logged at the end of a run."""

from types import SimpleNamespace

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from lightning_modules.reporting.loggers.wandb import log_results, run_title


def title(*, mode=RunMode.RUN, compression=(), data=None, seed=0):
    hydra = {
        "runtime": {"choices": {"model": "blocks/x", "data": "trashnet"}},
        "mode": mode, "job": {"num": 12}, "sweep": {"dir": "outputs/studies/a_study"},
    }  # fmt: skip
    cfg = {"compression": dict.fromkeys(compression, 1), "data": data or {}, "seed": seed}
    return run_title(OmegaConf.create(cfg), OmegaConf.create(hydra))


def test_names_and_groups_that_a_person_can_read():
    assert title() == ("blocks-x_trashnet_seed0", "blocks-x_trashnet")
    name, group = title(compression=["prune", "tucker"], data={"fold": 3}, seed=1)
    assert name == "blocks-x_trashnet_prune_tucker_seed1_fold3"
    assert group == "blocks-x_trashnet"
    assert title(mode=RunMode.MULTIRUN) == ("blocks-x_trashnet_seed0_trial12", "a_study")


def test_metrics_classes_pictures_and_the_network_are_logged(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"weights")
    logged, artifacts = {}, []
    run = SimpleNamespace(
        name="a-run", summary={}, log=logged.update, log_artifact=artifacts.append
    )
    metrics = {
        "val/f1": 0.5, "val/f1/b": 0.2, "seed": 1, "steps": [{}],
        "confusion": {"classes": ["a", "b"], "val": [[1, 1], [0, 2]]},
    }  # fmt: skip
    log_results(run, metrics, [], tmp_path / "model")
    assert run.summary == {"val/f1": 0.5, "val/f1/b": 0.2, "seed": 1}
    assert set(logged) == {"val/classes"}
    assert logged["val/classes"].data == [["a", 1.0, 0.5, 2 / 3, 2], ["b", 2 / 3, 1.0, 0.8, 2]]
    (artifact,) = artifacts
    assert isinstance(artifact, wandb.Artifact)
    assert (artifact.name, artifact.type) == ("a-run", "model")
    assert artifact.metadata == {"val/f1": 0.5}
    entry = artifact.manifest.entries["weights.safetensors"]
    assert entry.local_path == str(tmp_path / "model" / "weights.safetensors")  # no copy
