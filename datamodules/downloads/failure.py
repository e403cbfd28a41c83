"""Why a file was not fetched, said for a person."""

from http import HTTPStatus
from http.client import IncompleteRead

import requests
import urllib3.exceptions

# Everything that a request or the reading of its answer can end with. urllib3's and the socket's
# own errors pass through requests where the body is read directly.
NETWORK_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    UnicodeError,
)
HOPELESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.TooManyRedirects,
    urllib3.exceptions.LocationValueError,
    UnicodeError,
)


class Failure(Exception):
    """A try brought no whole file.

    Args:
        reason: half a sentence, to follow the name of the file.
        permanent: another try would end the same way.
        wait: seconds for which the server asks to be left alone.
        unreachable: the server did not answer at all.
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        wait: float | None = None,
        unreachable: bool = False,
    ) -> None:
        super().__init__(reason)
        self.permanent = permanent
        self.wait = wait
        self.unreachable = unreachable


class Stopped(Exception):
    """The whole download ends; not the file's fault."""


def network_failure(
    error: Exception, *, connect_timeout: float, stall_timeout: float, answered: bool
) -> Failure:
    """What went wrong between here and the server.

    Args:
        error: one of `NETWORK_ERRORS`.
        connect_timeout: seconds that the request had to open a connection.
        stall_timeout: seconds that it waited for new bytes.
        answered: the server had begun to send the file.
    """
    if isinstance(error, HOPELESS):
        return Failure(f"the address cannot be used ({_root_cause(error)})", permanent=True)
    connecting = (requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError)
    waiting = (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)
    if isinstance(error, connecting):
        reason = f"no connection within {connect_timeout:g} s"
    elif isinstance(error, waiting):
        reason = f"the server sent nothing for {stall_timeout:g} s"
    else:
        what = "the connection broke" if answered else "no connection"
        reason = f"{what} ({_root_cause(error)})"
    return Failure(reason, unreachable=not answered)


def status_reason(status: int) -> str:
    """`404 Not Found`, in the standard's words and not the server's."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"status {status}"


def _root_cause(error: BaseException) -> str:
    """The first thing that went wrong; libraries wrap it several times."""
    while error.__context__ is not None:
        error = error.__context__
    if isinstance(error, IncompleteRead):
        return "it ended too early"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
