"""Processes that start and end with a block, whatever happens in any of them."""

import multiprocessing
import os
import signal
import time

import pytest
import torch
from torch import distributed

from lightning_modules.errors import ConfigError
from lightning_modules.training.ddp_processes import other_ranks

NAMES = ("LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


def meet(value):
    """The sum of all processes' values; each says who it is by its environment."""
    rank = int(os.environ["LOCAL_RANK"])
    if not distributed.is_initialized():
        distributed.init_process_group("gloo", rank=rank)
    total = torch.tensor([value + rank])
    distributed.all_reduce(total)
    return total.item()


def work(what):
    """A life of another process."""
    meet(10)
    if what == "mistake":
        raise ConfigError("The loss became nan.")
    if what == "bug":
        raise KeyError("lost")
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "meets again":
        meet(10)
    if what == "hangs":
        time.sleep(1000)


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = {name: os.environ.get(name) for name in NAMES}
    yield
    assert {name: os.environ.get(name) for name in NAMES} == before
    assert not distributed.is_initialized()
    assert not [p for p in multiprocessing.active_children() if p.is_alive()]


@pytest.mark.slow
def test_two_processes_meet_twice_in_a_row():
    for _ in range(2):
        with other_ranks(work, "meets again", count=1):
            assert {os.environ["LOCAL_RANK"], os.environ["WORLD_SIZE"]} == {"0", "2"}
            assert meet(10) == 21
            assert meet(0) == 11


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "kind", "sentence"),
    [
        ("mistake", ConfigError, r"^The loss became nan\.$"),
        pytest.param(
            "bug",
            RuntimeError,
            r"device 1 failed:\n(.|\n)*KeyError: 'lost'",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "killed",
            ConfigError,
            r"device 1 was ended from outside \(SIGKILL\)",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_who_waits_for_a_failed_process_raises_its_failure(what, kind, sentence):
    with pytest.raises(kind, match=sentence), other_ranks(work, what, count=1):
        meet(10)
        meet(10)  # the other one does not come


@pytest.mark.slow
def test_a_failure_here_ends_the_others():
    with pytest.raises(ValueError, match="mine"), other_ranks(work, "hangs", count=1):
        meet(10)
        raise ValueError("mine")


@pytest.mark.slow
def test_a_failure_after_the_block_counts_too():
    with pytest.raises(ConfigError, match="became nan"), other_ranks(work, "mistake", count=1):
        meet(10)


def test_what_cannot_be_imported_there_is_said_before_the_block():
    class Local:
        """Known to this process only."""

    entered = []
    with (
        pytest.raises(ConfigError, match=r"cannot be given to other processes .*devices=1"),
        other_ranks(work, Local(), count=1),
    ):
        entered.append(1)
    assert not entered


def test_no_other_process():
    with other_ranks(work, "bug", count=0):
        assert not any(name in os.environ for name in NAMES)
