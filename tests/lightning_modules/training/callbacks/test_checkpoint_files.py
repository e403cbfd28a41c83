"""A stage's checkpoints: three at most, each with its digest; the newest whole one is chosen."""

import os
import random
import subprocess

import pytest
import torch

from lightning_modules.errors import ConfigError
from lightning_modules.training.callbacks.checkpoint_files import (
    newest_checkpoint,
    read_checkpoint,
    save_epoch,
)

EPOCHS = 4
BESTS = (0, 2)  # the epochs that are better than all before


def content(epoch, round=0):
    weights = {"weight": torch.arange(99.0) + epoch}
    return {"epoch": epoch, "state_dict": weights, "resume_state": {"round": round, "entries": []}}


def save(folder, epoch, round=0):
    save_epoch(content(epoch, round), folder, is_best=epoch in BESTS)


@pytest.fixture
def saved(tmp_path):
    for epoch in range(EPOCHS):
        save(tmp_path, epoch)
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def flip(path, position=None):
    found = bytearray(path.read_bytes())
    found[len(found) // 2 if position is None else position] ^= 1
    path.write_bytes(found)


def test_three_files_whose_digests_sha256sum_reads(saved):
    files = ["best.ckpt", "last.ckpt", "previous.ckpt"]
    assert names(saved) == sorted([*files, *(f"{name}.sha256" for name in files)])
    for name, epoch in zip(files, (2, 3, 2), strict=True):
        assert read_checkpoint(saved, name)["epoch"] == epoch
        subprocess.run(["sha256sum", "-c", f"{name}.sha256"], cwd=saved, check=True)
    newest = newest_checkpoint(saved)
    assert (newest.path.name, newest.round, newest.epoch) == ("last.ckpt", 0, 3)
    assert newest.resume_state == {"round": 0, "entries": []}


def test_where_there_is_none(tmp_path):
    assert newest_checkpoint(tmp_path / "absent") is None is newest_checkpoint(tmp_path)
    assert read_checkpoint(tmp_path) is None


DAMAGES = {
    "flipped": flip,
    "first byte": lambda path: flip(path, 0),
    "last byte": lambda path: flip(path, -1),
    "cut": lambda path: os.truncate(path, 1000),
    "empty": lambda path: os.truncate(path, 0),
    "another file": lambda path: path.write_bytes(b"no checkpoint" * 99),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "another checkpoint": lambda path: torch.save(content(9), path),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_passed_over_and_named(saved, caplog, damage):
    DAMAGES[damage](saved / "last.ckpt")
    newest = newest_checkpoint(saved)
    assert (newest.path.name, newest.epoch) == ("previous.ckpt", 2)
    assert "last.ckpt is damaged: it does not have the digest" in caplog.text
    assert "previous.ckpt is the newest whole checkpoint" in caplog.text
    with pytest.raises(ConfigError, match=r"last\.ckpt is damaged: .*; delete .*, and resume"):
        read_checkpoint(saved)
    DAMAGES[damage](saved / "previous.ckpt")
    assert newest_checkpoint(saved).path.name == "best.ckpt"
    DAMAGES[damage](saved / "best.ckpt")
    with pytest.raises(ConfigError, match=r"^No checkpoint in .* is whole \(last\.ckpt is damaged"):
        newest_checkpoint(saved)


def test_any_flipped_byte_is_noticed(saved):
    size = (saved / "last.ckpt").stat().st_size
    for position in random.Random(0).sample(range(size), 50):
        flip(saved / "last.ckpt", position)
        assert newest_checkpoint(saved).path.name == "previous.ckpt"
        flip(saved / "last.ckpt", position)
        assert newest_checkpoint(saved).path.name == "last.ckpt"


@pytest.fixture
def older(saved):
    """As an earlier version left them."""
    for path in saved.glob("*.sha256"):
        path.unlink()
    (saved / "previous.ckpt").unlink()
    return saved


def test_checkpoints_of_earlier_versions_are_read(older, caplog):
    assert newest_checkpoint(older).path.name == "last.ckpt"
    assert not caplog.text
    save(older, EPOCHS)
    assert newest_checkpoint(older).epoch == EPOCHS
    flip(older / "last.ckpt")
    assert newest_checkpoint(older).epoch == EPOCHS - 1


@pytest.mark.parametrize("damage", ["cut", "empty", "another file"])
def test_those_that_cannot_be_read_are_not_traceback(older, caplog, damage):
    DAMAGES[damage](older / "last.ckpt")
    assert newest_checkpoint(older).path.name == "best.ckpt"
    assert "last.ckpt is damaged: it cannot be read" in caplog.text


def test_a_flipped_weight_is_noticed_there_too(older, caplog):
    found = (older / "last.ckpt").read_bytes()
    flip(older / "last.ckpt", found.index(torch.tensor(50.0).numpy().tobytes()))
    assert newest_checkpoint(older).path.name == "best.ckpt"
    assert "last.ckpt is damaged: a checksum inside it differs" in caplog.text


def test_what_is_no_checkpoint_of_a_fit_is_refused(tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "last.ckpt")
    with pytest.raises(ConfigError, match="it is no checkpoint of a fit"):
        newest_checkpoint(tmp_path)


def killed(folder, work, number):
    """Does the work in another process, killed before its `number`-th renaming; whether it was."""
    if (pid := os.fork()) == 0:
        plain, counted = os.replace, iter(range(number))

        def replace(*paths):
            if next(counted, None) is None:
                os._exit(9)
            plain(*paths)

        os.replace = replace
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.slow
@pytest.mark.parametrize(("epoch", "round"), [(3, 0), (2, 0), (0, 1)])
def test_a_kill_between_any_two_renamings_loses_one_epoch_at_most(tmp_path, caplog, epoch, round):
    """`best.ckpt` is the newest where the kill came between the two; a new round begins it anew."""
    number, chosen = 0, []
    while True:
        folder = tmp_path / str(number)
        for earlier in range(epoch or EPOCHS):
            save(folder, earlier)
        if not killed(folder, lambda at=folder: save(at, epoch, round), number):
            break
        caplog.clear()
        newest = newest_checkpoint(folder)
        assert not caplog.records  # a kill damages nothing
        assert (newest.round, newest.epoch) in ((0, (epoch or EPOCHS) - 1), (round, epoch))
        chosen.append((newest.path.name, newest.epoch))
        assert all(name.endswith((".ckpt", ".sha256")) for name in names(folder))
        for path in folder.glob("*.ckpt"):  # each has its own again
            subprocess.run(
                ["sha256sum", "--quiet", "-c", f"{path.name}.sha256"], cwd=folder, check=True
            )
        for later in range(epoch, epoch + 2):  # goes on, the killed epoch again
            save(folder, later, round)
        assert newest_checkpoint(folder).epoch == epoch + 1
        flip(folder / "last.ckpt")
        assert newest_checkpoint(folder).epoch == epoch
        number += 1
    assert number == (8 if epoch in BESTS else 5)
    assert (("best.ckpt", epoch) in chosen) == (epoch in BESTS)
