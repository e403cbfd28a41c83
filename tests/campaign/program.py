"""A program of the campaign: forked from a process that has imported the libraries, and watched."""

import atexit
import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.clock import move_clock
from tests.campaign.home import Home
from tests.warm_python import become, run_script

ROOT = Path(__file__).resolve().parents[2]
# Audit events of Python for whatever changes a folder, and which argument is the path.
CHANGES = {
    "os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0, "os.chmod": 0, "os.truncate": 0,
    "os.link": 1, "os.symlink": 1, "sqlite3.connect": 0,
}  # fmt: skip
CPUCLOCK_SCHED = 2  # of the kernel: the clock of a process counts the time it ran
LONGEST = 120.0  # seconds of one program, on a busy machine
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class End:
    """How a program ended.

    Attributes:
        code: Its exit code; of a signal the negative number.
        processor: Seconds, of it and of those it waited for.
    """

    code: int
    processor: float


class Program:
    """A started program, leader of a session and group of its own, as in a terminal.

    It stands still at one change of the home's files: where it is about to write, rename or
    remove one. The same number is the same moment in each run of equal words.

    Args:
        words: A script and its arguments.
        home: Where it works; its words are added to what the programs before said.
        pause: The number of the change, from 1; None: it is not watched.
        cold: In an interpreter of its own, which imports everything; it cannot be watched.
        trace: All changes are noted there, a line each, and last its processor seconds.

    Attributes:
        end: How it ended, once it has.
        paused_at: The change it stands or stood at.
        said_from: Where what it says begins in the home's file.
    """

    def __init__(
        self,
        words: Sequence[str],
        home: Home,
        *,
        pause: int | None = None,
        cold: bool = False,
        trace: Path | None = None,
    ):
        self.words = words
        self.environment = {**os.environ, **home.environment}
        self.end: End | None = None
        reports, self._report = os.pipe()
        self._gate, gate = os.pipe()
        said = os.open(home.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(said, f"\n$ python {' '.join(words)}\n".encode())
        self.said_from = os.fstat(said).st_size
        if (pid := os.fork()) == 0:
            os.setsid()
            os.dup2(said, 1)
            os.dup2(said, 2)
            os.close(reports)
            os.close(gate)
            os.chdir(ROOT)
            if cold:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.execve(sys.executable, [sys.executable, *words], self.environment)
            main = become({"words": list(words), "env": self.environment})
            move_clock(home.clock)
            if pause is not None or trace is not None:
                _watch(home.root, self._report, self._gate, pause, trace)
            run_script(main)
        self.pid = pid
        for descriptor in (said, self._report, self._gate):
            os.close(descriptor)
        self._reports: int | None = reports
        self._opens = gate
        self.paused_at = ""
        self._ended = os.pidfd_open(self.pid)

    def wait(self, seconds: float) -> str:
        """Waits so long at most: it has "ended", is at its "pause", or "time" is up."""
        if self.end is not None:
            return "ended"
        watched = [self._ended, *([self._reports] if self._reports is not None else [])]
        ready, _, _ = select.select(watched, [], [], max(seconds, 0))
        if self._ended in ready:
            _, status, usage = os.wait4(self.pid, 0)
            self.end = End(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime)
            for descriptor in filter(None, (self._ended, self._reports, self._opens)):
                os.close(descriptor)
            return "ended"
        if ready:
            return "pause" if self._read_pause() else self.wait(seconds)
        return "time"

    def work(self, seconds: float) -> str:
        """Waits until it has used so much processor time, which no other program delays.

        As `wait`, "time" where that is reached.
        """
        limit = time.monotonic() + LONGEST
        while time.monotonic() < limit:
            try:
                left = seconds - time.clock_gettime(~self.pid << 3 | CPUCLOCK_SCHED)
            except OSError:
                left = 0.1  # it has ended
            if self.end is None and left <= 0:
                return "time"
            if (state := self.wait(max(left, 0.005))) != "time":
                return state
        return "time"

    def _read_pause(self) -> bool:
        """Where it stands; false: it closed the pipe, which is looked at no more."""
        line = os.read(self._reports, 4096)
        if not line:
            os.close(self._reports)
            self._reports = None
            return False
        self.paused_at = json.loads(line)
        return True

    def go_on(self, jump: float = 0) -> None:
        """Lets it leave its pause, where it is in one, its clock moved by `jump` seconds."""
        if self.paused_at and self.wait(0) != "ended":
            with contextlib.suppress(BrokenPipeError):
                os.write(self._opens, b"%d\n" % jump)

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Sends a signal, to the whole group as a terminal does."""
        if self.wait(0) != "ended":
            (os.killpg if group else os.kill)(self.pid, number)

    def others(self) -> list[int]:
        """The living processes of its session besides itself: those it started."""
        return [pid for pid, session in _sessions() if session == self.pid and pid != self.pid]


def _sessions() -> list[tuple[int, int]]:
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session, *_ = file.read_text().rpartition(") ")[2].split()
        except OSError:  # it has gone
            continue
        if state not in "ZX":
            found.append((int(file.parent.name), int(session)))
    return found


def _watch(root: Path, report: int, gate: int, pause: int | None, trace: Path | None) -> None:
    """Counts this process's changes of files below `root`; it stands still at one of them."""
    owner, count, below = os.getpid(), 0, f"{root}{os.sep}"
    lines = None if trace is None else os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(line: str) -> None:
        if lines is not None:
            os.write(lines, f"{line}\n".encode())

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event == "open":
            path, mode, flags = arguments
            if not (set(mode or "") & set("wax+") or (flags or 0) & WRITING):
                return
        elif event in CHANGES:
            path = arguments[CHANGES[event]]
        else:
            return
        if os.getpid() != owner or isinstance(path, int):  # a forked loader worker; a descriptor
            return
        path = os.fsdecode(path)
        if not path.startswith(below):
            return
        count += 1
        line = f"{event} {path.removeprefix(below)}"
        note(line)
        if count == pause:
            os.write(report, json.dumps(line).encode())
            if jump := int(os.read(gate, 32) or 0):  # nothing, once the campaign is gone
                move_clock(jump)

    sys.addaudithook(hook)
    atexit.register(lambda: note(f"{time.process_time()}"))
