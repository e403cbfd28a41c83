"""What becomes of a run whose job has ended: its result, its folder, or SLURM's word."""

import json
import pickle

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from lightning_modules.slurm.controller import JobInfo
from lightning_modules.slurm.job_record import JobRecord
from lightning_modules.slurm.outcome import judge


class Callbacks:
    """Hears of failures."""

    def __init__(self):
        self.heard = []

    def on_job_end(self, *, config, job_return):
        self.heard.append(job_return)


class Ended:
    """A run whose job has ended, with what the test lets it leave."""

    def __init__(self, folder):
        self.run, self.logs, self.callbacks = folder / "trials" / "0", folder / "logs", Callbacks()
        self.logs.mkdir()
        self.record = JobRecord("17_0", str(self.logs), ["seed=1"])
        self.record.write(self.run)

    def left(self, *result):
        self.record.result.write_bytes(pickle.dumps(result))

    def judge(self, end=None, objective="val/f1"):
        runtime = {"output_dir": str(self.run)}
        cfg = OmegaConf.create({"objective": objective, "hydra": {"runtime": runtime}})
        return judge(cfg, self.record, end, self.callbacks)

    def why(self, end=None):
        returned = self.judge(end)
        assert returned.status == JobStatus.FAILED and self.callbacks.heard == [returned]
        return str(returned._return_value)


@pytest.fixture
def ended(tmp_path):
    return Ended(tmp_path)


def test_a_result_is_returned(ended):
    told = JobReturn()
    told.status, told.return_value = JobStatus.COMPLETED, 0.5
    ended.left("success", told)
    assert ended.judge(JobInfo("CANCELLED")).return_value == 0.5
    assert ended.callbacks.heard == []


def test_a_finished_folder_counts_however_its_job_ended(ended):
    (ended.run / "metrics.json").write_text(json.dumps({"val/f1": 0.25, "cost/macs": 7}))
    for end in (None, JobInfo("CANCELLED"), JobInfo("FAILED")):
        assert ended.judge(end).return_value == 0.25
    assert ended.judge(objective=["val/f1", "cost/macs"]).return_value == [0.25, 7]
    ended.record.result.write_bytes(b"half a pick")
    assert ended.judge().return_value == 0.25
    assert ended.callbacks.heard == []


def test_what_the_job_noted_is_the_reason(ended):
    (ended.run / "failed.txt").write_text("no such class\nTraceback\n")
    assert ended.why(JobInfo("FAILED")) == "no such class"


def test_what_an_earlier_job_noted_is_not(ended):
    (ended.run / "failed.txt").write_text("no such class\n")
    ended.record.write(ended.run)
    assert "it was cancelled" in ended.why(JobInfo("CANCELLED"))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("CANCELLED", "SLURM job 17_0: it was cancelled"),
        ("TIMEOUT", "it reached its time limit; raise hydra.launcher.timeout_min"),
        ("OUT_OF_MEMORY", "it needed more memory than it was given; raise hydra.launcher.mem_gb"),
        ("NODE_FAIL", "its node failed"),
        ("PREEMPTED", "it was preempted, and SLURM did not requeue it"),
        ("DEADLINE", "it could not end before its deadline"),
        ("BOOT_FAIL", "its node did not start"),
        ("REVOKED", "it ended as REVOKED without a result"),
        ("NOT_STARTED", "it did not start within hydra.launcher.max_pending_min (Resources)"),
    ],
)
def test_slurms_word(ended, state, words):
    end = f"{words}; what it said stands in {ended.logs}."
    assert ended.why(JobInfo(state, "Resources")).endswith(end)


def test_a_forgotten_job(ended):
    assert ended.why() == (
        f"SLURM has forgotten job 17_0, which left no result; what it said stands in {ended.logs}."
    )


def test_an_error_outside_the_run(ended):
    ended.left("error", "Traceback (most recent call last):\n ...\nImportError: no torch\n")
    assert ended.why(JobInfo("FAILED")) == f"ImportError: no torch (traceback in {ended.logs})"
