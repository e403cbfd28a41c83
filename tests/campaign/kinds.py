"""The ways in which a program is killed; each returns once it is dead, and says by what means."""

import random
import signal
import time
from collections.abc import Callable

from tests.campaign.home import Home
from tests.campaign.program import Program

LIMIT = 60.0  # seconds in which a program ends that was told to
HOUR, DAY = 3600.0, 86400.0


class Alive(Exception):
    """A program did not end though it was told to."""


def end_by(kind: str, program: Program, home: Home, draws: random.Random, *, rest: float) -> str:
    """Kills a program that runs or pauses.

    Args:
        kind: One of `KINDS`.
        program: It; at its end it is dead.
        home: Where it works.
        draws: Of what is left to chance.
        rest: Seconds that the program may still need.

    Returns:
        By what means: a signal, a full tmpfs, libfaketime.

    Raises:
        Alive: It had to be killed at last.
    """
    means = KINDS[kind](program, home, draws, rest)
    if program.wait(LIMIT) != "ended":
        program.send(signal.SIGKILL, group=True)
        program.wait(LIMIT)
        raise Alive(f"it still ran {LIMIT:.0f} s after {kind}")
    return means


def _signalled(number: signal.Signals, *, group: bool) -> Callable[..., str]:
    def end(program: Program, home: Home, draws: random.Random, rest: float) -> str:
        program.send(number, group=group)
        program.go_on()
        return "signal"

    return end


def _interrupted_twice(program: Program, home: Home, draws: random.Random, rest: float) -> str:
    program.send(signal.SIGINT, group=True)
    program.go_on()
    time.sleep(draws.choice([0, draws.uniform(0, 0.05), draws.uniform(0, 0.5)]))
    program.send(signal.SIGINT, group=True)
    return "signal"


def _stopped(program: Program, home: Home, draws: random.Random, rest: float) -> str:
    program.send(signal.SIGSTOP)
    program.go_on()
    time.sleep(draws.uniform(0, 0.2))
    program.send(signal.SIGKILL)
    return "signal"


def _disk_full(program: Program, home: Home, draws: random.Random, rest: float) -> str:
    """Some room is left, from nothing to a checkpoint or two."""
    means = home.fill(program.pid, draws.choice([0, 4096, draws.randrange(1 << 14, 1 << 18)]))
    program.go_on()
    return means


def _clock_moved(program: Program, home: Home, draws: random.Random, rest: float) -> str:
    """It jumps, forward or back, while the program works; killed, that goes on by the new time."""
    jump = draws.choice([-90, -HOUR, HOUR, -3 * DAY, 40 * DAY, draws.uniform(-DAY, DAY)])
    home.set_clock(jump)
    if program.paused_at:
        program.go_on(jump)
        program.wait(draws.uniform(0, rest))
    program.send(signal.SIGKILL)
    return "libfaketime"


KINDS: dict[str, Callable[[Program, Home, random.Random, float], str]] = {
    "KILL": _signalled(signal.SIGKILL, group=False),
    "TERM": _signalled(signal.SIGTERM, group=False),
    "INT": _signalled(signal.SIGINT, group=True),
    "INT twice": _interrupted_twice,
    "HUP": _signalled(signal.SIGHUP, group=True),
    "STOP, KILL": _stopped,
    "disk full": _disk_full,
    "clock moved": _clock_moved,
}
CLOCK = "clock moved"  # needs libfaketime in the program
