"""Many files at a time: all that can be had, and a reason for each other."""

import errno
import os
import socket
import time
from pathlib import Path

import pytest

from datamodules.downloads.fetching import Target
from datamodules.downloads.many_files import fetch_all, fetch_one
from datamodules.downloads.partial_file import PartialFile
from datamodules.errors import DataError
from tests.file_server import Reply


def targets_of(server, root, count, *, size=5_000):
    made = []
    for number in range(count):
        url = server.add(f"/{number}", os.urandom(size))
        made.append(Target(url, root / f"{number % 3}" / f"{number}.bin", lambda path: None))
    return made


def content_of(server, target):
    return server.files[target.url[len(server.url("")) :]]


def test_all_files_come_once_and_side_by_side(server, tmp_path, limits, capsys):
    asked, most = [], []

    def wait():
        asked.append(1)
        time.sleep(0.1)
        most.append(len(asked))
        asked.pop()

    server.usual = Reply(before=wait)
    targets = targets_of(server, tmp_path, 40)
    assert fetch_all(targets, limits=limits(workers=20), job="files") == {}
    assert max(most) > 1
    for target in targets:
        assert target.path.read_bytes() == content_of(server, target)
    assert len(server.log) == 40
    assert capsys.readouterr().out == "files ...\n"


def test_failures_have_reasons_and_stop_nothing(server, tmp_path, limits):
    targets = targets_of(server, tmp_path, 12)
    server.replies["/3"] = [Reply(status=404)]
    server.replies["/7"] = [Reply(drop_after=10, validator="none")] * 9
    server.replies["/8"] = [Reply(drop_after=10)]
    found = fetch_all(targets, limits=limits(workers=4), job="files")
    assert found == {
        targets[3]: "the server answered 404 Not Found",
        targets[7]: "the connection broke (it ended too early)",
    }
    assert list(found) == [targets[3], targets[7]]
    assert sum(target.path.exists() for target in targets) == 10
    server.replies.clear()
    server.log.clear()
    assert fetch_all(list(found), limits=limits(), job="files") == {}
    assert sorted(request.path for request in server.log) == ["/3", "/7"]


def test_one_retry_after_is_meant_for_all_threads(server, tmp_path, limits):
    targets = targets_of(server, tmp_path, 30)
    server.replies["/0"] = [Reply(status=429, headers={"Retry-After": "1"})]
    server.usual = Reply(before=lambda: time.sleep(0.05))
    assert fetch_all(targets, limits=limits(workers=2), job="files") == {}
    asked = server.of("/0")[0].time
    later = [request.time for request in server.log if request.time > asked + 0.05]
    assert min(later) - asked >= 0.95


def test_a_host_that_asks_for_an_hour_is_left_alone(server, tmp_path, limits):
    targets = targets_of(server, tmp_path, 30)
    server.usual = Reply(status=503, headers={"Retry-After": "3600"})
    found = fetch_all(targets, limits=limits(workers=2), job="files")
    assert len(found) == 30 and len(server.log) <= 3
    assert "asks to wait for 3600 s" in found[targets[-1]]


def test_a_network_that_is_down_is_noticed_early(server, tmp_path, limits, monkeypatch):
    targets = targets_of(server, tmp_path, 500)
    server.server_close()
    plain, tried = socket.socket.connect, []
    monkeypatch.setattr(socket.socket, "connect", lambda *args: tried.append(args) or plain(*args))
    found = fetch_all(targets, limits=limits(workers=4, backoff=0.2), job="files")
    assert 0 < len(tried) < 50  # 1 500 without that
    assert found[targets[0]] == "no connection (Connection refused)"
    assert found[targets[-1]].endswith("does not answer")


def test_a_full_disk_is_one_sentence(server, tmp_path, limits, monkeypatch):
    full = Path("/dev/full")  # a file on a full disk
    targets = targets_of(server, tmp_path, 20)
    monkeypatch.setattr(PartialFile, "append", lambda self: full.open("ab"))
    with pytest.raises(DataError, match=r"\.bin cannot be written \(No space left on device\)"):
        fetch_all(targets, limits=limits(workers=2), job="files")
    assert len(server.log) < 20
    assert not list(tmp_path.rglob("*.bin"))


def test_a_file_that_cannot_take_its_name(server, tmp_path, limits, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(DataError, match="cannot be written"):
        fetch_all(targets_of(server, tmp_path, 1), limits=limits(), job="files")
    assert not list(tmp_path.rglob("*.bin"))


def test_mistakes_of_ours_keep_their_trace(server, tmp_path, limits):
    def broken(path):
        raise ZeroDivisionError

    target = Target(server.add("/a", b"x"), tmp_path / "a", broken)
    with pytest.raises(ZeroDivisionError):
        fetch_all([target], limits=limits(), job="files")


def test_a_file_without_which_nothing_goes_on(server, tmp_path, limits):
    target = Target(server.url("/gone"), tmp_path / "a.json", lambda path: None)
    said = rf"a.json could not be had from {target.url}: the server answered 404 Not Found; the"
    with pytest.raises(DataError, match=said):
        fetch_one(target, limits=limits(), job="a")
    listed = (tmp_path / "missing.csv").read_text()
    assert listed == (f"file,reason,url\na.json,the server answered 404 Not Found,{target.url}\n")
    server.add("/gone", b"{}")
    fetch_one(target, limits=limits(), job="a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_nothing_to_fetch(limits, capsys):
    assert fetch_all([], limits=limits(), job="files") == {}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "change", [{"workers": 0}, {"backoff": -1}, {"stall_timeout": float("inf")}]
)
def test_limits_that_are_none(limits, change):
    with pytest.raises(DataError, match="is no limit for a download"):
        limits(**change)
