"""A web server on this machine that serves given bytes, and misbehaves when it is told to."""

import contextlib
import email.utils
import hashlib
import re
import socket
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    """How one request is answered; the default is right.

    Attributes:
        status: Of an answer without the file.
        body: Sent instead of the file's content.
        drop_after: The connection is closed after so many bytes of the body.
        stall_after: Nothing more is sent after so many, until the server's `release` is set.
        drip: Seconds between single bytes.
        ignore_range: The whole file is sent whatever was asked for.
        ignore_if_range: The range is sent of whatever the file is by now.
        length: Whether Content-Length is sent; else the body comes in chunks.
        validator: etag, weak, date, new_date or none.
        headers: Further ones, or others.
        before: Called first.
    """

    status: int | None = None
    body: bytes | None = None
    drop_after: int | None = None
    stall_after: int | None = None
    drip: float | None = None
    ignore_range: bool = False
    ignore_if_range: bool = False
    length: bool = True
    validator: str = "etag"
    headers: dict[str, str] = field(default_factory=dict)
    before: object = None


@dataclass
class Request:
    """What was asked and what went out."""

    path: str
    range: str | None
    if_range: str | None
    time: float
    status: int = 0
    sent: int = 0


class FileServer(ThreadingHTTPServer):
    """`files` by path; `replies[path]` are used up one by one, then `usual` is."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.replies: dict[str, list[Reply]] = defaultdict(list)
        self.usual = Reply()
        self.log: list[Request] = []
        self.release = threading.Event()
        self.stalled = threading.Event()
        self.lock = threading.Lock()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def add(self, path: str, content: bytes, *replies: Reply) -> str:
        self.files[path] = content
        self.replies[path] = list(replies)
        return self.url(path)

    def of(self, path: str) -> list[Request]:
        return [request for request in self.log if request.path == path]

    def handle_error(self, request, client_address):
        """Clients that go away are what the tests are about."""


@contextlib.contextmanager
def serving():
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


def etag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def log_message(self, *words):
        pass

    def do_GET(self):
        request = Request(
            self.path, self.headers["Range"], self.headers["If-Range"], time.monotonic()
        )
        with self.server.lock:
            self.server.log.append(request)
            replies = self.server.replies[self.path]
            reply = replies.pop(0) if replies else self.server.usual
        if reply.before is not None:
            reply.before()
        content = self.server.files.get(self.path) if reply.body is None else reply.body
        self.sent_headers = {**reply.headers}
        request.status = reply.status or (404 if content is None else 200)
        if reply.status is not None or content is None:
            content = reply.body or b"nothing"
        else:
            content = self._range(request, reply, content)
        self._send(request, reply, content)

    def _range(self, request, reply, content):
        validators = self._validators(reply, content)
        found = re.fullmatch(r"bytes=(\d+)-", request.range or "")
        same = request.if_range in validators.values() or reply.ignore_if_range
        self.sent_headers = {**validators, "Accept-Ranges": "bytes", **self.sent_headers}
        if found is None or reply.ignore_range or not same:
            return content
        start = int(found[1])
        if start >= len(content):
            request.status = 416
            return b""
        request.status = 206
        named = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.sent_headers = {"Content-Range": named, **self.sent_headers}
        return content[start:]

    def _validators(self, reply, content):
        old = email.utils.formatdate(1.6e9, usegmt=True)
        return {
            "etag": {"ETag": etag_of(content), "Last-Modified": old},
            "weak": {"ETag": f"W/{etag_of(content)}", "Last-Modified": old},
            "date": {"Last-Modified": old},
            "new_date": {"Last-Modified": email.utils.formatdate(usegmt=True)},
            "none": {},
        }[reply.validator]

    def _send(self, request, reply, content):
        self.send_response(request.status)
        headers = self.sent_headers
        if reply.length:
            headers.setdefault("Content-Length", str(len(content)))
        else:
            headers["Transfer-Encoding"] = "chunked"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self._send_body(request, reply, content)

    def _send_body(self, request, reply, content):
        stops = [stop for stop in (reply.drop_after, reply.stall_after) if stop is not None]
        first, rest = content[: min(stops)] if stops else content, b""
        if reply.stall_after is not None:
            rest = content[reply.stall_after :]
        step = 1 if reply.drip else 2**14
        for start in range(0, len(first), step):
            self._write(request, reply, first[start : start + step])
            time.sleep(reply.drip or 0)
        if reply.stall_after is not None:
            self.server.stalled.set()
            self.server.release.wait(60)
            self._write(request, reply, rest)
        if reply.drop_after is not None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif not reply.length:
            self.wfile.write(b"0\r\n\r\n")

    def _write(self, request, reply, piece):
        if not piece:
            return
        frame = piece if reply.length else f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        self.wfile.write(frame)
        self.wfile.flush()
        request.sent += len(piece)
