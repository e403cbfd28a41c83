"""One file from a server that misbehaves: whole and right in the end, or absent."""

import email.utils
import json
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests import Response

from datamodules.downloads.failure import Failure, Stopped
from datamodules.downloads.fetching import Fetcher, Target
from datamodules.downloads.limits import Hosts
from datamodules.downloads.transfer import retry_after
from datamodules.workers.progress import DownloadProgress
from tests.file_server import Reply, etag_of

CONTENT = bytes(range(256)) * 400  # 102,400 bytes


def accept(path):
    pass


def fetch(url, path, limits, *, check=accept, stop=None):
    stop = stop or threading.Event()
    fetcher = Fetcher(
        limits=limits, hosts=Hosts(limits, stop), meter=DownloadProgress("x", 1), stop=stop
    )
    fetcher.fetch(Target(url, path, check))


def reason(*arguments, **settings):
    with pytest.raises(Failure) as failure:
        fetch(*arguments, **settings)
    return str(failure.value)


def only(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "reply",
    [
        Reply(),
        Reply(length=False),
        Reply(validator="none"),
        Reply(headers={"Content-Encoding": "identity"}),
    ],
)
def test_a_file(server, tmp_path, limits, reply):
    fetch(server.add("/a", CONTENT, reply), tmp_path / "b" / "a.jpg", limits())
    assert (tmp_path / "b" / "a.jpg").read_bytes() == CONTENT
    assert only(tmp_path / "b") == ["a.jpg"]
    assert [request.range for request in server.log] == [None]


@pytest.mark.parametrize(("validator", "header"), [("etag", "ETag"), ("date", "Last-Modified")])
def test_a_dropped_file_is_continued(server, tmp_path, limits, validator, header):
    server.usual = Reply(validator=validator)
    drop = Reply(drop_after=70_000, validator=validator)
    fetch(server.add("/a", CONTENT, drop), tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT
    first, second = server.log
    assert second.range == "bytes=70000-" and second.status == 206
    assert second.if_range == (
        etag_of(CONTENT) if header == "ETag" else email.utils.formatdate(1.6e9, usegmt=True)
    )
    assert first.sent + second.sent == len(CONTENT)


@pytest.mark.parametrize("validator", ["weak", "new_date", "none"])
def test_bytes_that_cannot_be_told_apart_are_not_continued(server, tmp_path, limits, validator):
    server.usual = Reply(validator=validator)
    drop = Reply(drop_after=70_000, validator=validator)
    fetch(server.add("/a", CONTENT, drop), tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [request.range for request in server.log] == [None, None]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drops=st.lists(st.integers(0, 40_000), max_size=4))
def test_any_drops_end_in_the_same_bytes(server, tmp_path, limits, drops):
    server.log.clear()
    url = server.add("/a", CONTENT, *(Reply(drop_after=drop) for drop in drops))
    fetch(url, tmp_path / "a", limits(attempts=5, backoff=0))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert sum(request.sent for request in server.log) == len(CONTENT)
    assert only(tmp_path) == ["a"]


def test_a_server_that_ignores_ranges(server, tmp_path, limits):
    server.usual = Reply(ignore_range=True)
    fetch(server.add("/a", CONTENT, Reply(drop_after=50_000)), tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [request.status for request in server.log] == [200, 200]


@pytest.mark.parametrize("length", [len(CONTENT), 60_000])
@pytest.mark.parametrize("ignore_if_range", [False, True])
def test_content_that_changes_meanwhile(server, tmp_path, limits, length, ignore_if_range):
    changed = bytes(reversed(CONTENT))[:length]
    server.usual = Reply(ignore_if_range=ignore_if_range)
    server.add("/a", CONTENT, Reply(drop_after=50_000))

    def change():
        server.files["/a"] = changed

    server.replies["/a"].append(Reply(before=change, ignore_if_range=ignore_if_range))
    fetch(server.url("/a"), tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == changed


@pytest.mark.parametrize(
    "named", ["bytes 0-102399/102400", "bytes 50000-102399/102401", "bytes */102400", "rows 1-2/3"]
)
def test_another_part_than_was_asked_for(server, tmp_path, limits, named):
    wrong = Reply(headers={"Content-Range": named})
    fetch(server.add("/a", CONTENT, Reply(drop_after=50_000), wrong), tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [request.range for request in server.log] == [None, "bytes=50000-", None]


def test_a_server_that_sends_less_than_the_rest(server, tmp_path, limits):
    headers = {"Content-Range": "bytes 50000-59999/102400", "Content-Length": "10000"}
    server.add("/a", CONTENT, Reply(drop_after=50_000), Reply(headers=headers, drop_after=10_000))
    fetch(server.url("/a"), tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [request.range for request in server.log] == [None, "bytes=50000-", "bytes=60000-"]


def test_a_range_beyond_the_end(server, tmp_path, limits):
    server.add("/a", CONTENT, Reply(drop_after=50_000), Reply(status=416, body=b"no"))
    fetch(server.url("/a"), tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [request.range for request in server.log] == [None, "bytes=50000-", None]


def test_a_later_call_continues(server, tmp_path, limits):
    url = server.add("/a", CONTENT, Reply(drop_after=40_000))
    said = reason(url, tmp_path / "a", limits(attempts=1))
    assert said == "the connection broke (it ended too early)"
    assert only(tmp_path) == ["a.part", "a.part.json"]
    assert (tmp_path / "a.part").read_bytes() == CONTENT[:40_000]
    fetch(url, tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.log[-1].range == "bytes=40000-" and server.log[-1].sent == 62_400


def test_a_whole_part_is_not_fetched_again(server, tmp_path, limits):
    url = server.add("/a", CONTENT)
    (tmp_path / "a.part").write_bytes(CONTENT)
    note = {"url": url, "validator": etag_of(CONTENT), "length": len(CONTENT)}
    (tmp_path / "a.part.json").write_text(json.dumps(note))
    fetch(url, tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT and not server.log
    assert only(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "note",
    [
        None,
        "{",
        "[]",
        '{"url": "http://elsewhere/a", "validator": "\\"x\\"", "length": 102400}',
        '{"url": "URL", "validator": "\\"x\\"", "length": 10}',
        '{"url": "URL", "validator": "\\"x\\"", "length": 102400}',
    ],
)
def test_a_part_of_something_else_is_replaced(server, tmp_path, limits, note):
    url = server.add("/a", CONTENT)
    (tmp_path / "a.part").write_bytes(b"other bytes " * 10)
    if note is not None:
        (tmp_path / "a.part.json").write_text(note.replace("URL", url))
    fetch(url, tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.log[-1].status == 200


def test_a_body_shorter_than_announced(server, tmp_path, limits):
    short = Reply(body=CONTENT[:500], headers={"Content-Length": "900"}, drop_after=500)
    url = server.add("/a", CONTENT, *[short] * 3)
    assert "the connection broke" in reason(url, tmp_path / "a", limits())
    assert not (tmp_path / "a").exists() and len(server.log) == 3


def test_a_server_that_stalls(server, tmp_path, limits):
    url = server.add("/a", CONTENT, Reply(stall_after=30_000))
    fetch(url, tmp_path / "a", limits(stall_timeout=0.3))
    assert not server.release.is_set()  # so its first answer never went on
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.log[1].range == "bytes=30000-"


def test_a_server_that_says_nothing(server, tmp_path, limits):
    url = server.add("/a", CONTENT, Reply(before=lambda: server.release.wait(20)))
    said = reason(url, tmp_path / "a", limits(stall_timeout=0.2, attempts=1))
    assert said == "the server sent nothing for 0.2 s"


def test_a_server_that_drips(server, tmp_path, limits):
    """Each byte comes in time, but all of them would take for ever."""
    url = server.add("/a", CONTENT, Reply(drip=0.05))
    said = reason(url, tmp_path / "a", limits(stall_timeout=0.4, attempts=1))
    assert "the server sent only" in said
    assert 0 < server.log[0].sent < len(CONTENT) / 10


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429])
def test_statuses_that_pass(server, tmp_path, limits, status):
    fetch(server.add("/a", CONTENT, Reply(status=status)), tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [request.status for request in server.log] == [status, 200]


@pytest.mark.parametrize(
    ("status", "said"), [(404, "404 Not Found"), (403, "403 Forbidden"), (410, "410 Gone")]
)
def test_statuses_that_stay(server, tmp_path, limits, status, said):
    url = server.add("/a", CONTENT, Reply(status=status))
    assert reason(url, tmp_path / "a", limits()) == f"the server answered {said}"
    assert len(server.log) == 1 and only(tmp_path) == []


def test_tries_end(server, tmp_path, limits):
    url = server.add("/a", CONTENT, *[Reply(status=500)] * 9)
    said = reason(url, tmp_path / "a", limits(attempts=4))
    assert said == "the server answered 500 Internal Server Error" and len(server.log) == 4


def test_pauses_double(limits):
    pauses = [limits(backoff=2).pause(attempt) for attempt in (1, 2, 3, 4)]
    for pause, centre in zip(pauses, (2, 4, 8, 16), strict=True):
        assert 0.75 * centre <= pause <= 1.25 * centre
    assert limits(backoff=2, longest_wait=5).pause(9) == 5


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_to_wait(server, tmp_path, limits, status):
    url = server.add("/a", CONTENT, Reply(status=status, headers={"Retry-After": "1"}))
    fetch(url, tmp_path / "a", limits())
    first, second = server.log
    assert 1.0 <= second.time - first.time < 3


def test_waiting_for_too_long_is_left_to_another_call(server, tmp_path, limits):
    url = server.add("/a", CONTENT, Reply(status=429, headers={"Retry-After": "3600"}))
    assert reason(url, tmp_path / "a", limits()).startswith("127.0.0.1:")
    assert len(server.log) == 1


def test_retry_after():
    def seconds(value):
        response = Response()
        if value is not None:
            response.headers["Retry-After"] = value
        return retry_after(response)

    assert seconds("7") == 7
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert 58 < seconds(in_a_minute) <= 60
    assert seconds(email.utils.formatdate(0, usegmt=True)) == 0
    assert seconds("soon") is None and seconds(None) is None and seconds("-3") is None


def test_bytes_that_fail_their_check_are_fetched_anew(server, tmp_path, limits):
    def require_content(path):
        if path.read_bytes() != CONTENT:
            raise Failure("it is wrong")

    url = server.add("/a", CONTENT, Reply(body=b"<html>sorry"), Reply(body=b"x" * 102_400))
    fetch(url, tmp_path / "a", limits(), check=require_content)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [request.range for request in server.log] == [None] * 3
    server.add("/b", b"other")
    assert (
        reason(server.url("/b"), tmp_path / "b", limits(), check=require_content) == "it is wrong"
    )
    assert len(server.of("/b")) == 3 and only(tmp_path) == ["a"]


@pytest.mark.parametrize("length", [True, False])
def test_files_that_are_too_large(server, tmp_path, limits, length):
    url = server.add("/a", CONTENT, Reply(length=length))
    said = reason(url, tmp_path / "a", limits(max_bytes=100_000))
    assert said == "it has more than 100,000 bytes"
    assert only(tmp_path) == [] and len(server.log) == 1
    assert length or server.log[0].sent <= len(CONTENT)


def test_compression_that_was_not_asked_for(server, tmp_path, limits):
    url = server.add("/a", CONTENT, *[Reply(headers={"Content-Encoding": "gzip"})] * 3)
    assert "compressed (gzip)" in reason(url, tmp_path / "a", limits())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "its address '' is not one of http or https"),
        ("file:///etc/passwd", "is not one of http or https"),
        ("ftp://127.0.0.1/a", "is not one of http or https"),
        ("/etc/passwd", "is not one of http or https"),
        ("http:///a", "is not one of http or https"),
        ("http://[::1/a", "is not one of http or https"),
        ("http://a b/c", "the address cannot be used"),
        ("http://" + "a" * 70 + "/c", "the address cannot be used"),
    ],
)
def test_addresses_of_something_else(tmp_path, limits, url, said):
    assert said in reason(url, tmp_path / "a", limits())
    assert only(tmp_path) == []


def test_redirections(server, tmp_path, limits):
    def away(path, to):
        return server.add(path, b"", *[Reply(status=302, headers={"Location": to})] * 9)

    server.add("/real", CONTENT, Reply(drop_after=60_000))
    fetch(away("/a", "/real"), tmp_path / "a", limits())
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [request.range for request in server.of("/real")] == [None, "bytes=60000-"]
    assert "cannot be used" in reason(away("/f", "file:///etc/passwd"), tmp_path / "f", limits())
    assert "cannot be used" in reason(away("/loop", "/loop"), tmp_path / "l", limits())
    assert only(tmp_path) == ["a"]


def test_no_server(tmp_path, limits, server):
    url = server.url("/a")
    server.server_close()
    assert reason(url, tmp_path / "a", limits()) == "no connection (Connection refused)"


def test_stopping(server, tmp_path, limits):
    url, stop = server.add("/a", CONTENT), threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        fetch(url, tmp_path / "a", limits(), stop=stop)
    assert not (tmp_path / "a").exists()
