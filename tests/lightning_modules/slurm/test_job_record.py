"""What a run's folder says of its SLURM job, and what a job says of itself."""

import pytest

from lightning_modules.slurm import job_of, own_job
from lightning_modules.slurm.job_record import RECORD, JobRecord, read_record


def test_round_trip(tmp_path):
    record = JobRecord("17_3", "/logs/17_3", ["seed=1"])
    record.write(tmp_path / "trials" / "3")
    assert read_record(tmp_path / "trials" / "3") == record
    assert job_of(tmp_path / "trials" / "3") == "17_3"
    assert str(record.result) == "/logs/17_3/17_3_0_result.pkl"


@pytest.mark.parametrize("text", ["", "[]", '{"job": 3}', "{"])
def test_what_cannot_be_read_is_none(tmp_path, text):
    assert job_of(tmp_path) is None
    (tmp_path / RECORD).write_text(text)
    assert job_of(tmp_path) is None


def test_own_job(monkeypatch):
    for name in ("SUBMITIT_EXECUTOR", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    assert own_job() is None  # a shell of salloc
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    assert own_job() == "18"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    assert own_job() == "17_1"
