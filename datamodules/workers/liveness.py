"""Whether processes that are waited for still do anything, and what is said when one is dead."""

import re
from collections.abc import Iterable
from multiprocessing import active_children
from pathlib import Path

from datamodules.errors import DataError

CHECK_SECONDS = 5  # between two looks at processes that are waited for
SILENT_CHECKS = 120  # looks in a row that see no process do anything, before one gives up: 10 min


class SilenceWatch:
    """Tells processes that are slow from those that will never answer.

    Who waits calls `check` every `CHECK_SECONDS`. As long as a process computes or reads, it is
    waited for without end; where the system does not say, all are. Time alone decides nothing: a
    stopped program looks at nothing either.
    """

    def __init__(self) -> None:
        self._seen: tuple[int, ...] = ()
        self._silent = 0

    def check(self, pids: Iterable[int] | None = None) -> None:
        """Take a look at the processes, by default the children of this one.

        Raises:
            DataError: for `SILENT_CHECKS` looks none of them did anything.
        """
        if pids is None:
            pids = [child.pid for child in active_children() if child.pid is not None]
        seen = tuple(sum((_work_of(pid) for pid in sorted(pids)), ()))
        self._silent = self._silent + 1 if seen and seen == self._seen else 0
        self._seen = seen
        if self._silent >= SILENT_CHECKS:
            minutes = SILENT_CHECKS * CHECK_SECONDS / 60
            raise DataError(
                f"The processes that prepare batches have done nothing for {minutes:.0f} minutes: "
                "see whether the disk of the images still answers, or take data.num_workers=0."
            )


def _work_of(pid: int) -> tuple[int, ...]:
    """What grows while a process works: its processor time, pages and bytes read; () if unknown."""
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        read = re.findall(r"(?:rchar|read_bytes): (\d+)", (folder / "io").read_text())
    except OSError:  # it ended, or this is no Linux
        return ()
    # proc(5): majflt, utime and stime are the fields 12, 14 and 15; the third is the first here.
    return tuple(int(number) for number in (fields[9], fields[11], fields[12], *read))


def death_of(text: str) -> DataError | None:
    """What torch says of a dead worker process, as a sentence; None where it says other things."""
    if "DataLoader worker (pid" not in text and "Pin memory thread exited" not in text:
        return None
    signal = re.search(r"killed by signal: ([\w ]+)", text)
    how = f"was killed ({signal[1]})" if signal else "ended unexpectedly"
    return DataError(
        f"A process that prepares batches {how}, perhaps because the memory was full: free some, "
        "or take fewer of them with data.num_workers=..., none with 0."
    )
