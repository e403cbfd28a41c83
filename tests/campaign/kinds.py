"""The ways in which a program is killed; each returns once it is dead, and says by what means."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.campaign.home import Home
from tests.campaign.program import Program

LIMIT = 60.0  # seconds in which a program ends that was told to
ASKED = 0.3  # share of the stopped programs that another one meets
HOUR, DAY = 3600, 86400


class Alive(Exception):
    """A program did not end though it was told to."""


@dataclass(frozen=True)
class Attack:
    """What a kind of kill is given.

    Attributes:
        program: It runs, or pauses; at the end it is dead.
        home: Where it works.
        draws: Of what is left to chance.
        rest: Seconds that it may still need.
        meanwhile: Called at times while it is stopped.
    """

    program: Program
    home: Home
    draws: random.Random
    rest: float
    meanwhile: Callable[[], None]


def end_by(kind: str, attack: Attack) -> str:
    """Kills a program by one of `KINDS`; by what means: a signal, a full tmpfs, a clock.

    Raises:
        Alive: It had to be killed at last.
    """
    means = KINDS[kind](attack)
    if attack.program.wait(LIMIT) != "ended":
        attack.program.send(signal.SIGKILL, group=True)
        attack.program.wait(LIMIT)
        raise Alive(f"it still ran {LIMIT:.0f} s after {kind}")
    return means


def _signalled(number: signal.Signals, *, group: bool) -> Callable[[Attack], str]:
    def end(attack: Attack) -> str:
        attack.program.send(number, group=group)
        attack.program.go_on()
        return "signal"

    return end


def _interrupted_twice(attack: Attack) -> str:
    attack.program.send(signal.SIGINT, group=True)
    attack.program.go_on()
    draws = attack.draws
    time.sleep(draws.choice([0, draws.uniform(0, 0.05), draws.uniform(0, 0.5)]))
    attack.program.send(signal.SIGINT, group=True)
    return "signal"


def _stopped(attack: Attack) -> str:
    attack.program.send(signal.SIGSTOP)
    attack.program.go_on()
    time.sleep(attack.draws.uniform(0, 0.2))
    if attack.draws.random() < ASKED:
        attack.meanwhile()
    attack.program.send(signal.SIGKILL)
    return "signal"


def _disk_full(attack: Attack) -> str:
    """Some room is left, from nothing to a checkpoint or two."""
    room = attack.draws.choice([0, 4096, attack.draws.randrange(1 << 14, 1 << 18)])
    means = attack.home.fill(attack.program.pid, room)
    attack.program.go_on()
    return means


def _clock_moved(attack: Attack) -> str:
    """It jumps, forward or back, while the program works; killed, that goes on by the new time."""
    draws = attack.draws
    jump = draws.choice([-90, -HOUR, HOUR, -3 * DAY, 40 * DAY, draws.randrange(-DAY, DAY)])
    attack.home.clock += jump
    if attack.program.paused_at:
        attack.program.go_on(jump)
        attack.program.wait(draws.uniform(0, attack.rest))
    attack.program.send(signal.SIGKILL)
    return "Python's clock"


KINDS: dict[str, Callable[[Attack], str]] = {
    "KILL": _signalled(signal.SIGKILL, group=False),
    "TERM": _signalled(signal.SIGTERM, group=False),
    "INT": _signalled(signal.SIGINT, group=True),
    "INT twice": _interrupted_twice,
    "HUP": _signalled(signal.SIGHUP, group=True),
    "STOP, KILL": _stopped,
    "disk full": _disk_full,
    "clock moved": _clock_moved,
}
