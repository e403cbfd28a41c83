"""Batches of worker processes: equal however they come, and an end in a sentence."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple

import numpy as np
import pytest
import torch

from datamodules.errors import DataError
from datamodules.loading import EpochSampler, ImageDataset, data_loader, make_loader, worker_loader
from tests.conftest import ROOT
from tests.datamodules.conftest import at_most

KEYS = [[(0, 2 * n), (0, 2 * n + 1)] for n in range(6)]
Usage = namedtuple("Usage", "total used free")


class Images:
    """Twelve of them; `harm` is done when one that is named comes."""

    def __init__(self, harm=None, at=None):
        self.harm, self.at = harm, at

    def __getitem__(self, index):
        if self.harm is not None and index == self.at:
            self.harm()
        return np.full((5, 6, 3), index, np.uint8)


def loader(harm=None, at=7, *, workers=2, keyed=False):
    dataset = ImageDataset(
        pixels=Images(harm, at), labels=list(range(12)), size=(5, 6), keyed=keyed
    )
    return make_loader(dataset, KEYS, num_workers=workers, seed=0)


def full_disk(path):
    return Usage(64_000_000, 64_000_000, 0)


def of_whole_epochs(made):
    """All batches of two epochs; within a time, for what hangs must not hang the tests."""
    with at_most(60):
        return [*made, *made]


@pytest.fixture(autouse=True)
def _anew():
    worker_loader._say_once.cache_clear()


def check(found, *, keyed=False):
    assert len(found) == 12
    for number, (images, labels, *rest) in enumerate(found):
        first = 2 * (number % 6)
        assert type(images) is torch.Tensor and images.dtype == torch.uint8
        assert images.shape == (2, 3, 5, 6)
        assert images[:, 0, 0, 0].tolist() == labels.tolist() == [first, first + 1]
        images += 1  # in place, as mixing does
        assert [key.tolist() for key in rest] == ([[[0, first], [0, first + 1]]] if keyed else [])


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_what_is_opened_before_the_epoch_is_set_gives_that_epoch(monkeypatch, workers, persistent):
    """As Lightning opens the loader of a resumed fit; a part of an epoch may have been left."""
    settings = data_loader.worker_settings(workers) | {"persistent_workers": persistent}
    monkeypatch.setattr(data_loader, "worker_settings", lambda number: settings)
    dataset = ImageDataset(pixels=Images(), labels=list(range(12)), size=(5, 6), keyed=True)
    sampler = EpochSampler(size=12, batch_size=2, seed=0, drop_last=True)
    loader = make_loader(dataset, sampler, num_workers=workers, seed=0)
    for epoch in (7, 3, 4):
        opened = iter(loader)
        time.sleep(0.02)  # in which what is opened could ask for batches
        sampler.set_epoch(epoch)
        with at_most(60):
            found = [next(opened)[2].tolist() for _ in range(2 if epoch == 3 else 6)]
        wanted = [[list(key) for key in keys] for keys in sampler]
        assert found == wanted[: len(found)]
        assert {key[0] for keys in found for key in keys} == {epoch}


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_equal_batches_through_shared_memory_and_pipes(monkeypatch, caplog, full, keyed):
    if full:
        monkeypatch.setattr(shutil, "disk_usage", full_disk)
    check(of_whole_epochs(loader(keyed=keyed)), keyed=keyed)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("datamod")]
    assert len(said) == full  # once, not for each batch
    if full:
        assert "(/dev/shm, 64 MB) is too small" in said[0] and "--shm-size=2g" in said[0]


def test_what_fails_while_it_is_shared_comes_through_a_pipe(monkeypatch):
    def fail(self):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>")

    monkeypatch.setattr(torch.Tensor, "share_memory_", fail)
    check(of_whole_epochs(loader()))


def test_some_of_the_memory_is_left_to_others(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 60, 40))
    assert worker_loader._has_room(15) and not worker_loader._has_room(16)
    monkeypatch.setattr(worker_loader, "SHARED_MEMORY", ROOT / "absent")
    monkeypatch.undo()
    assert worker_loader._has_room(1)


def refuse():
    raise DataError("/photos/a.jpg cannot be read.")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mistake_found_in_a_worker_is_its_sentence(workers):
    with pytest.raises(DataError) as error:
        of_whole_epochs(loader(refuse, workers=workers))
    assert str(error.value) == "/photos/a.jpg cannot be read."


def fail():
    raise KeyError("seven")


def test_a_bug_in_a_worker_keeps_its_trace():
    with pytest.raises(KeyError, match=r"Caught KeyError in DataLoader worker[\s\S]*in fail"):
        of_whole_epochs(loader(fail))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_ends_with_a_sentence():
    with pytest.raises(DataError, match=r"batches was killed \(Killed\), .*num_workers=\.\.\., no"):
        of_whole_epochs(loader(die))


def test_a_worker_that_is_killed_while_training(monkeypatch):
    """Its end is not met by who waits for a batch: the signal comes anywhere."""
    before = signal.getsignal(signal.SIGCHLD)
    made = loader()
    batches = iter(made)
    next(batches)
    victim = made._iterator._workers[0].pid
    threading.Timer(0.3, os.kill, (victim, signal.SIGKILL)).start()
    with at_most(30), pytest.raises(DataError, match="was killed"):
        time.sleep(20)
    assert signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL or before is None


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_reaches_a_worker_too_and_only_its_parent_decides(capfd):
    of_whole_epochs(loader(interrupt))
    assert "KeyboardInterrupt" not in capfd.readouterr().err


class Unsendable:
    """A label that no process can send; numpy's arrays of it can be made."""

    def __reduce__(self):
        raise OSError(24, "Too many open files")


def test_a_batch_that_cannot_be_sent_ends_its_worker(monkeypatch, capfd):
    monkeypatch.setattr(worker_loader, "share", lambda batch: (*batch, Unsendable()))
    with pytest.raises(DataError, match="batches ended unexpectedly, perhaps"):
        of_whole_epochs(loader())
    assert "Too many open files" in capfd.readouterr().err


def wait_for_ever():
    time.sleep(1000)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what processes do")
def test_a_silent_worker(monkeypatch):
    from datamodules.workers import liveness

    monkeypatch.setattr(worker_loader, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(liveness, "SILENT_CHECKS", 4)
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)  # to end them
    with pytest.raises(DataError, match="have done nothing for"):
        of_whole_epochs(loader(wait_for_ever))


def wait_a_little():
    time.sleep(1)


def test_a_slow_batch_is_waited_for(monkeypatch):
    monkeypatch.setattr(worker_loader, "CHECK_SECONDS", 0.2)
    check(of_whole_epochs(loader(wait_a_little)))


def test_no_process_can_be_started(monkeypatch, caplog):
    def refuse():
        raise OSError(28, "No space left on device")

    made = loader()
    monkeypatch.setattr(worker_loader, "get_context", lambda: type("", (), {"Lock": refuse}))
    check(of_whole_epochs(made))
    assert "cannot be started (No space left on device): this process" in caplog.text


SMALL = """
import sys, torch, numpy as np
from datamodules.loading import ImageDataset, make_loader
class Noise:
    def __getitem__(self, index):
        return np.random.default_rng(index).integers(0, 256, (224, 224, 3), np.uint8)
keys = [[(0, 64 * n + i) for i in range(64)] for n in range(12)]
def batches(workers):
    data = ImageDataset(pixels=Noise(), labels=range(12 * 64), size=(224, 224))
    return make_loader(data, keys, num_workers=workers, seed=0)
for mine, theirs in zip(batches(0), batches(4), strict=True):
    assert all(map(torch.equal, mine, theirs))
print("all equal")
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["64m", "24m", "4k"])
def test_in_a_small_shared_memory(size):
    """As in a container: a file system of that size in the place of /dev/shm."""
    mount = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    enter = ["unshare", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*enter, mount], check=False).returncode:
        pytest.skip("no file system can be mounted here, even for one process")
    filled = "echo full > /dev/shm/file;" if size == "4k" else ""
    command = f'{mount} && {filled} exec "$0" -W ignore -c "$1"'
    done = subprocess.run(
        [*enter, command, sys.executable, SMALL],
        capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout == "all equal\n", done.stderr
    assert ("cannot be started" if size == "4k" else "come through pipes") in done.stderr
    assert "Traceback" not in done.stderr
