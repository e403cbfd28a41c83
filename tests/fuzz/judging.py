"""Whether what was read gave a result or a sentence, ran no code, took little time and memory."""

import contextlib
import io
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lightning_modules.config.command_line import report_errors
from tests.conftest import ROOT

SECONDS = 20  # for one input, of computing
PATIENCE = 10  # times as long where the process had no processor
MEMORY = 1536 * 2**20  # bytes of addresses above those that are taken
LONGEST_SENTENCE = 20_000  # characters
# What only code in a file would do; `open` to write is asked about its place.
FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "subprocess.Popen",
    "socket.connect", "socket.getaddrinfo", "pickle.find_class",
)  # fmt: skip
HARMFUL = ("os", "posix", "subprocess", "sys", "shutil", "importlib", "runpy", "tests")
BUILT_IN = ("eval", "exec", "compile", "open", "getattr", "setattr", "__import__")
CHANGING = ("os.remove", "os.rename", "os.symlink", "os.link")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class RanCodeError(AssertionError):
    """Something in the input was executed, or wrote where it had no business."""


class TooSlowError(BaseException):
    """Reading took longer than `SECONDS`; no `except Exception` hides it."""


class _Watch:
    """An audit hook, which cannot be taken off; it looks only while a folder is given."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.allowed: tuple[str, ...] = ()
        self.seen: list[str] = []
        self.hooked = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None or event in self.allowed:
            return
        if event == "pickle.find_class" and not _harmful(*arguments):
            return
        if event in FORBIDDEN or (self._changes(event, arguments) and self._outside(arguments)):
            folder, self.folder = self.folder, None
            self.seen.append(f"{event} {arguments!r}"[:300])
            self.folder = folder
            raise RanCodeError(self.seen[-1])

    def _changes(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            flags = arguments[2]
            return isinstance(flags, int) and bool(flags & WRITING)
        beside = event == "os.remove" and arguments[1] != -1  # of a folder that is open
        return event in CHANGING and not beside

    def _outside(self, arguments: tuple[Any, ...]) -> bool:
        name = arguments[0]
        if not isinstance(name, str | bytes | os.PathLike):
            return False
        folder, self.folder = self.folder, None  # looking at paths is no event to look at
        try:
            path = os.path.realpath(os.fsdecode(name))
        finally:
            self.folder = folder
        bytecode = path.endswith(".pyc") or "__pycache__" in path
        return not (path.startswith(f"{folder}{os.sep}") or path == os.devnull or bytecode)


def _harmful(module: str, name: str) -> bool:
    """Whether a pickle that asks for that wants more than data."""
    return module.split(".")[0] in HARMFUL or (module == "builtins" and name in BUILT_IN)


WATCH = _Watch()


@contextlib.contextmanager
def watched(folder: Path, allowed: tuple[str, ...] = ()) -> Iterator[None]:
    """Inside, nothing is executed, and nothing written outside of a folder.

    Raises:
        RanCodeError: something was, even where the reader went on.
    """
    if not WATCH.hooked:
        sys.addaudithook(WATCH)
        WATCH.hooked = True
    WATCH.seen, WATCH.allowed, WATCH.folder = [], allowed, folder.resolve()
    try:
        yield
    finally:
        WATCH.folder = None
        if WATCH.seen:
            raise RanCodeError(WATCH.seen[0])


@contextlib.contextmanager
def limited(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """Inside, memory and time are bounded; what takes more raises `MemoryError`, `TooSlowError`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:  # noqa: PTH123  # a Path would be made each time
        taken = int(file.read().split()[0]) * resource.getpagesize()

    began, computed = time.monotonic(), time.process_time()

    def late(number: int, frame: Any) -> None:
        patient = time.monotonic() - began < PATIENCE * seconds
        if patient and time.process_time() - computed < seconds / 2:  # others were computing
            signal.setitimer(signal.ITIMER_REAL, seconds)
            return
        where = "".join(traceback.format_stack(frame)[-3:])
        raise TooSlowError(f"{seconds} s have passed:\n{where}")

    before = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (taken + memory, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)


def judge(
    read: Callable[[], object], folder: Path, *, allowed: tuple[str, ...] = (), quiet: bool = True
) -> str | None:
    """Reads, and gives the sentence that it was refused with; None where it was not.

    Anything but a result or a sentence is raised.

    Args:
        read: reads one input.
        folder: where it may write.
        allowed: audit events that are no code of the input.
        quiet: whether what is printed is thrown away.
    """
    printed = io.StringIO()
    silent = contextlib.ExitStack()
    if quiet:
        silent.enter_context(contextlib.redirect_stdout(printed))
        silent.enter_context(contextlib.redirect_stderr(printed))
    try:
        with silent, warnings.catch_warnings(), watched(folder, allowed), limited():
            warnings.simplefilter("ignore")
            with report_errors():
                read()
    except SystemExit as end:
        if isinstance(end.__context__, MemoryError):  # it is no sentence on the input
            raise end.__context__ from None
        return said(end.code)
    return None


def said(code: Any) -> str:
    """The sentence of a program's end.

    Raises:
        AssertionError: it is none.
    """
    if code in (None, 0):  # `--help`
        return ""
    assert isinstance(code, str), f"it ended with the code {code!r} and without a word"
    assert "Traceback (most recent call last)" not in code, code
    assert 8 < len(code) < LONGEST_SENTENCE, f"no sentence: {len(code)} characters: {code[:200]}"
    return code


def signature(error: BaseException) -> str:
    """Kind and place of a finding: one bug has one."""
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _ours(frame.filename)]
    last = (ours or frames)[-1] if frames else None
    place = f"{Path(last.filename).name}:{last.name}" if last else "?"
    return f"{type(error).__name__} in {place}"


def _ours(file: str) -> bool:
    path = Path(file)
    inside = path.is_relative_to(ROOT) and ".venv" not in path.parts
    return inside and "tests" not in path.relative_to(ROOT).parts
