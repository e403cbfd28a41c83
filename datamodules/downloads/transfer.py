"""One request: what a partial file lacks, or all of it."""

import re
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime

import requests
from requests import Response, Session

from datamodules.downloads.failure import NETWORK_ERRORS, Failure, network_failure, status_reason
from datamodules.downloads.limits import Limits
from datamodules.downloads.partial_file import PartialFile, Version, version_of

Received = Callable[[int, int, int | None], None]

CHUNK = 2**16
MIN_BYTES_PER_SECOND = 100  # a server that drips keeps a socket from ever timing out
ASKS_TO_WAIT = (429, 503)
MAY_PASS = (408, 425, 429)  # besides all of 5xx


def transfer(
    url: str, part: PartialFile, *, session: Session, limits: Limits, received: Received
) -> None:
    """Ask once, and append what comes to `part` until it is whole.

    Known bytes are continued (`Range` with `If-Range`); where the server ignores that, or the
    content is another by now, they are replaced.

    Args:
        url: where to ask.
        part: what there is already; it grows.
        session: the connection.
        limits: of seconds and bytes.
        received: called with each piece's bytes, those on disk and those of the whole file.

    Raises:
        Failure: the file is not whole; `part` keeps what came and can be continued.
        OSError: it cannot be written.
    """
    version = part.version(url)
    if version is not None and part.size == version.length:
        return  # an earlier process ended between the last byte and the renaming
    with _ask(url, part.size, version, session, limits) as response:
        _require_success(response, part)
        if response.status_code == requests.codes.partial_content:
            _require_continuation(response, part, version)
        else:
            version = version_of(response, url)
            part.start(version)
        length = _length(response, version)
        _require_size(length, part, limits)
        _append(response, part, length, limits, received)
    if length is not None and part.size != length:
        raise Failure(f"the connection ended after {part.size:,} of {length:,} bytes")


def _ask(
    url: str, size: int, version: Version | None, session: Session, limits: Limits
) -> Response:
    headers = {"Accept-Encoding": "identity"}  # so that lengths and ranges are those of the file
    if version is not None:
        headers |= {"Range": f"bytes={size}-", "If-Range": version.validator}
    timeout = limits.connect_timeout, limits.stall_timeout
    try:
        return session.get(url, headers=headers, stream=True, timeout=timeout)
    except NETWORK_ERRORS as error:
        raise _network_failure(error, limits, answered=False) from error


def _require_success(response: Response, part: PartialFile) -> None:
    status = response.status_code
    if status == requests.codes.requested_range_not_satisfiable:
        part.discard()
        raise Failure("the server could not continue it")
    if status not in (requests.codes.ok, requests.codes.partial_content):
        passing = status in MAY_PASS or status >= 500
        wait = retry_after(response) if status in ASKS_TO_WAIT else None
        raise Failure(
            f"the server answered {status_reason(status)}", permanent=not passing, wait=wait
        )
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise Failure(f"the server sent it compressed ({encoding}), which was not asked for")


def retry_after(response: Response) -> float | None:
    """Seconds until the server wants to be asked again; None where it does not say."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _require_continuation(response: Response, part: PartialFile, version: Version | None) -> None:
    """Refuse a part that does not follow ours, from a server that ignores `If-Range`."""
    given = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", given.strip())
    continued = (
        version is not None
        and version.may_be_of(response)
        and found is not None
        and (int(found[1]), int(found[2])) == (part.size, version.length)
    )
    if not continued:
        part.discard()
        raise Failure(f"the server sent another part than was asked for ({given or 'unnamed'})")


def _length(response: Response, version: Version | None) -> int | None:
    if version is not None:
        return version.length
    given = response.headers.get("Content-Length", "")
    return int(given) if given.isdecimal() else None


def _require_size(size: int | None, part: PartialFile, limits: Limits) -> None:
    if size is not None and size > limits.max_bytes:
        part.discard()
        raise Failure(f"it has more than {limits.max_bytes:,} bytes", permanent=True)


def _append(
    response: Response, part: PartialFile, length: int | None, limits: Limits, received: Received
) -> None:
    size = part.size
    with part.append() as file:
        for chunk in _chunks(response, limits):
            size += len(chunk)
            _require_size(size, part, limits)
            file.write(chunk)
            received(len(chunk), size, length)


def _chunks(response: Response, limits: Limits) -> Iterator[bytes]:
    """The body as it comes, until it ends, breaks, stalls or drips."""
    since, received = time.monotonic(), 0
    while True:
        try:
            chunk = response.raw.read1(CHUNK, decode_content=False)
        except NETWORK_ERRORS as error:
            raise _network_failure(error, limits, answered=True) from error
        if not chunk:
            return
        yield chunk
        received += len(chunk)
        elapsed = time.monotonic() - since
        if elapsed > limits.stall_timeout:
            if received < MIN_BYTES_PER_SECOND * elapsed:
                raise Failure(f"the server sent only {received:,} bytes in {elapsed:.0f} s")
            since, received = time.monotonic(), 0


def _network_failure(error: Exception, limits: Limits, *, answered: bool) -> Failure:
    return network_failure(
        error,
        connect_timeout=limits.connect_timeout,
        stall_timeout=limits.stall_timeout,
        answered=answered,
    )
