"""W&B's server: closed, silent, slow or answering, it is known in seconds."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lightning_modules.reporting.loggers import wandb_server
from lightning_modules.reporting.loggers.wandb_server import unreachable


class NotFoundHandler(BaseHTTPRequestHandler):
    """404 for everything."""

    def do_POST(self):
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def address(monkeypatch):
    """Sets W&B's address to a port of this machine's own."""
    import wandb

    def at(port):
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        wandb.teardown()
        return f"http://127.0.0.1:{port}"

    yield at
    wandb.teardown()


def test_one_that_answers(address):
    server = ThreadingHTTPServer(("127.0.0.1", 0), NotFoundHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address(server.server_port)
    assert unreachable() is None
    server.shutdown()


def test_a_closed_port(address):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert unreachable_at(address, port) == "Connection refused"


def test_one_that_is_silent_or_late_with_each_byte(address, monkeypatch):
    monkeypatch.setattr(wandb_server, "SECONDS", 0.5)
    for late in (False, True):
        with socket.create_server(("127.0.0.1", 0)) as server:
            stop = threading.Event()
            threading.Thread(target=drip, args=(server, late, stop), daemon=True).start()
            start = time.monotonic()
            assert unreachable_at(address, server.getsockname()[1]) == "no answer within 0.5 s"
            assert time.monotonic() - start < 2
            stop.set()


def test_an_online_run_goes_on_offline_with_a_word(tmp_path, run_of, address, caplog, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = address(free.getsockname()[1])
    target = "lightning_modules.reporting.loggers.wandb.WandbRun"
    ((_, command),) = run_of({"_target_": target, "project": "x", "mode": "online"})
    assert f"W&B cannot be reached ({url}: Connection refused): this run is logged" in caplog.text
    assert Path(command.split()[-1]).name.startswith("offline-run-")


def unreachable_at(address, port):
    expected = address(port)
    url, _, reason = unreachable().rpartition(": ")
    assert url == expected
    return reason


def drip(server, late, stop):
    connection, _ = server.accept()
    while late and not stop.wait(0.1):
        connection.sendall(b"H")
    stop.wait(5)
