"""What exporters and runtimes print, log and warn of, which only their makers want to know."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def suppress_output(
    *, stdout: bool = False, stderr: bool = False, errors: bool = False
) -> Iterator[None]:
    """Neither warnings nor log lines up to WARNING, of any library.

    Args:
        errors: also no log lines of errors, and nothing that Python code prints as such: they are
            raised as well.
        stdout: also nothing that Python code prints.
        stderr: also nothing on file descriptor 2, on which compiled code writes.
    """
    logging.disable(logging.CRITICAL if errors else logging.WARNING)
    try:
        with warnings.catch_warnings(), ExitStack() as stack:
            warnings.simplefilter("ignore")
            if stdout:
                stack.enter_context(redirect_stdout(io.StringIO()))
            if errors:
                stack.enter_context(redirect_stderr(io.StringIO()))
            if stderr:
                stack.enter_context(_closed_stderr())
            yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _closed_stderr() -> Iterator[None]:
    sys.stderr.flush()
    before = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
