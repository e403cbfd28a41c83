"""The words of squeue, sacct and scontrol, as SLURM 22.05 prints them."""

import pytest

from lightning_modules.slurm import controller
from lightning_modules.slurm.controller import JobInfo, SilentControllerError, ask, cancel, requeue

SQUEUE = """\
17|RUNNING|None
18_0|COMPLETED|None
18_1|CANCELLED|None
18_2|PENDING|JobArrayTaskLimit
19|PENDING|(launch failed requeued held)
20|REQUEUE_HOLD|job requeued in held state
21|COMPLETING|None
22|OUT_OF_MEMORY|OutOfMemory
"""
SACCT = """\
17|RUNNING
18_0|COMPLETED
18_1|CANCELLED by 1000
18_[2-5%2]|PENDING
17.batch|RUNNING
17.0|COMPLETED
22|OUT_OF_MEMORY
"""


def test_squeue():
    jobs = controller.parse_squeue(SQUEUE)
    assert list(jobs) == ["17", "18_0", "18_1", "18_2", "19", "20", "21", "22"]
    assert jobs["18_2"] == JobInfo("PENDING", "JobArrayTaskLimit")
    assert jobs["19"].reason == "(launch failed requeued held)"
    assert [job for job, found in jobs.items() if found.ended] == ["18_0", "18_1", "22"]
    assert controller.parse_squeue("") == {}


def test_sacct():
    jobs = controller.parse_sacct(SACCT)
    assert list(jobs) == ["17", "18_0", "18_1", "22"]
    assert jobs["18_1"] == JobInfo("CANCELLED")
    assert controller.parse_sacct("") == {}


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ("BOOT_FAIL", True), ("CANCELLED", True), ("COMPLETED", True), ("CONFIGURING", False),
        ("COMPLETING", False), ("DEADLINE", True), ("FAILED", True), ("NODE_FAIL", True),
        ("OUT_OF_MEMORY", True), ("PENDING", False), ("PREEMPTED", True), ("RUNNING", False),
        ("RESV_DEL_HOLD", False), ("REQUEUE_FED", False), ("REQUEUE_HOLD", False),
        ("REQUEUED", False), ("RESIZING", False), ("REVOKED", True), ("SIGNALING", False),
        ("SPECIAL_EXIT", False), ("STAGE_OUT", False), ("STOPPED", False), ("SUSPENDED", False),
        ("TIMEOUT", True),
    ],
)  # fmt: skip
def test_every_state_of_the_manual(state, ended):
    assert JobInfo(state).ended is ended


def test_the_controller_is_asked_once_for_all(programs):
    programs("squeue", SQUEUE)
    assert ask(["18_1", "17", "17"]) == {"17": JobInfo("RUNNING"), "18_1": JobInfo("CANCELLED")}
    words = "squeue --noheader --array --states=all --format=%i|%T|%r --jobs=17,18_1"
    assert programs.said() == [words]
    assert ask([]) == {}


def test_the_accounting_is_asked_for_what_the_controller_forgot(programs):
    programs("squeue", "", "slurm_load_jobs error: Invalid job id specified\n", 1)
    programs("sacct", SACCT)
    assert ask(["18_1", "99"]) == {"18_1": JobInfo("CANCELLED")}
    assert programs.said()[1] == (
        "sacct --noheader --parsable2 --allocations --format=JobID,State --jobs=18_1,99"
    )


def test_where_there_is_no_accounting_a_job_is_forgotten(programs):
    programs("squeue", "", "slurm_load_jobs error: Invalid job id specified\n", 1)
    programs("sacct", "", "Slurm accounting storage is disabled\n", 1)
    assert ask(["18_1"]) == {}


def test_a_controller_that_is_away(programs, monkeypatch):
    away = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    programs("squeue", "", f"squeue: note\n{away}\n", 1)
    with pytest.raises(SilentControllerError) as found:
        ask(["17"])
    assert str(found.value) == away
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SilentControllerError, match="squeue: No such file or directory"):
        ask(["17"])
    assert not controller.present()


def test_jobs_are_cancelled_and_requeued(programs):
    programs("scancel")
    programs("scontrol", "", "Job has already finished", 1)
    cancel(["18_1", "17"])
    cancel([])
    assert requeue("17") is False
    programs("scontrol")
    assert requeue("17") is True
    assert programs.said() == [
        "scancel --quiet 17 18_1", "scontrol requeue 17", "scontrol requeue 17"
    ]  # fmt: skip
