"""The commands of one run: which is next, whether it ended well, what it said."""

import contextlib
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.campaign.home import Home
from tests.campaign.order import Order
from tests.campaign.program import LONGEST, Program

PLACES = re.compile(r"(?<!\w)/(?:[^\s/'\"]+/)+")  # folders of this machine, in what is said
ORPHANS = 15.0  # seconds in which all that a killed program started is gone


class Failed(Exception):
    """A run cannot be brought to its end, and why."""


class Commands:
    """Starts them in a home, and judges how they end.

    Args:
        order: The run.
        home: Where it works.
        workers: Processes that load the images.

    Attributes:
        programs: All that were started.
    """

    def __init__(self, order: Order, home: Home, *, workers: int):
        self.home = home
        self.scenario = order.what
        self.programs: list[Program] = []
        self._values = {
            "home": home.root, "images": order.images, "seed": order.training_seed,
            "workers": workers,
        }  # fmt: skip
        self.first = self._filled(self.scenario.words)
        self.resume = self._filled(self.scenario.resume)

    def _filled(self, words: Sequence[str]) -> list[str]:
        return [word.format(**self._values) for word in words]

    @property
    def next(self) -> list[str]:
        """What a person types now: the first command until there is something to continue."""
        typed = self.home.root / "run" / ".hydra" / "overrides.yaml"
        begun = typed.is_file() and typed.stat().st_size > 0
        return self.resume if self.resume and begun else self.first

    def start(self, words: Sequence[str], **how: Any) -> Program:
        self.programs.append(Program(words, self.home, **how))
        return self.programs[-1]

    def prepare(self) -> None:
        """Runs what the scenario needs beforehand."""
        for words in self.scenario.before:
            self.end_well(self.start(self._filled(words)))

    def start_beside(self) -> Program | None:
        """Starts what nobody kills, where the scenario has it."""
        words = self._filled(self.scenario.beside)
        return self.start(words) if words else None

    def end_well(self, program: Program) -> None:
        """Waits for a program that nobody kills.

        Raises:
            Failed: It does not end, or not well.
        """
        self._await(program)
        if program.end.code:
            raise Failed(f"refused: {' '.join(program.words)}: {self.said(program)}")

    def finish(self) -> None:
        """Lets the run come to its end.

        Raises:
            Failed: It does not.
        """
        for _ in range(2):
            words = self.next
            program = self.start(words)
            self._await(program)
            if self.has_finished(program, words):
                return
        raise Failed("it is never finished")

    def has_finished(self, program: Program, words: Sequence[str]) -> bool:
        """Whether a command that nobody killed ended the run; false: it has to be begun anew.

        Raises:
            Failed: It was refused, though something was there to continue.
        """
        said = self.said(program)
        if program.end.code == 0 or "is finished" in said:
            return True
        if words == self.resume and not self.has_trained:
            shutil.rmtree(self.home.root / "run")
            return False
        raise Failed(f"refused: {said}")

    def meet(self, stopped: Program) -> list[str]:
        """Types the command that continues while a process still has the run; what is wrong.

        It must be refused, and name that process.
        """
        words, lock = self.next, self.home.root / "run" / ".lock"
        has_it = lock.is_file() and f'"pid": {stopped.pid}}}' in lock.read_text()
        if words != self.resume or not has_it:
            return []
        program = self.start(words)
        self._await(program)
        said = self.said(program, longest=1000)
        refused = program.end.code == 1 and f"process {stopped.pid} " in said
        return [] if refused else [f"a second process was let into the run: {said[:200]}"]

    @property
    def has_trained(self) -> bool:
        """Whether there is something that must not be lost."""
        return any(self.home.root.glob("run/steps/*/checkpoints/*.ckpt"))

    @property
    def is_worn_out(self) -> bool:
        """Whether a search would give up a point of its grid at one more death, the third."""
        database = self.home.root / "study" / "study.db"
        if not database.is_file():
            return False
        with contextlib.closing(sqlite3.connect(database)) as connection:
            deaths = (
                "select count(*) from trials join trial_user_attributes using (trial_id) "
                "where key = 'point' and state != 'COMPLETE' group by value_json"
            )
            with contextlib.suppress(sqlite3.Error):  # killed before the tables were there
                return any(count >= 2 for (count,) in connection.execute(deaths))
        return False

    @property
    def lacks_parts(self) -> bool:
        """Whether the run ended, but says itself that something is missing."""
        record = self.home.root / "run" / "metrics.json"
        return record.is_file() and '"missing"' in record.read_text()

    @property
    def progress(self) -> str:
        """How far it is: the last epoch, or what is there."""
        files = [path for path in self.home.root.rglob("*") if path.is_file()]
        ended = f"{sum(path.name == 'metrics.json' for path in files)} runs ended"
        tables = [p for p in files if p.name == "metrics.csv" and "csv" not in p.parts]
        lines = max(tables, key=_changed).read_text().splitlines() if tables else []
        epoch = "/".join(lines[-1].split(",")[:3]) if lines else f"{len(files)} files"
        return f"{epoch}, {ended}"

    def said(self, program: Program, longest: int = 200) -> str:
        """The last line of a program; that it left a traceback."""
        with self.home.said.open(errors="replace") as file:
            file.seek(program.said_from)
            text = file.read().split("\n$ python ")[0].replace(str(self.home.root), "HOME")
        text = PLACES.sub(".../", text)
        last = text.strip().rsplit("\n", 1)[-1]
        traceback = "(traceback) " if "Traceback (most recent call last)" in text else ""
        return f"{traceback}{last[:longest]}"

    def await_orphans(self) -> None:
        """Waits until all that the killed programs started is gone.

        Raises:
            Failed: It lives on.
        """
        limit = time.monotonic() + ORPHANS
        while left := [pid for program in self.programs for pid in program.others()]:
            if time.monotonic() > limit:
                names = {Path(f"/proc/{pid}/cmdline").read_text() for pid in left}
                raise Failed(f"{len(left)} processes live on after {ORPHANS:.0f} s: {names}")
            time.sleep(0.1)

    def end_all(self) -> None:
        """Kills whatever still runs."""
        for program in self.programs:
            program.send(signal.SIGKILL, group=True)
            program.wait(LONGEST)

    def _await(self, program: Program) -> None:
        if program.wait(LONGEST) != "ended":
            program.send(signal.SIGKILL, group=True)
            program.wait(LONGEST)
            raise Failed(f"it took more than {LONGEST:.0f} s: {self.said(program)}")


def _changed(path: Path) -> float:
    return path.stat().st_mtime
