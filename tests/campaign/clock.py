"""The time of day, moved for the Python code of this process, as by somebody who sets the clock.

No monotonic clock moves, nor what C code reads. libfaketime moves all of them, and so holds up
threads that wait for a time: with it, programs stood still for ever.
"""

import datetime
import time

_moved = 0  # seconds
_time, _time_ns = time.time, time.time_ns
_localtime, _gmtime = time.localtime, time.gmtime


class _Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "_Datetime":
        return super().now(tz) + datetime.timedelta(seconds=_moved)

    @classmethod
    def today(cls) -> "_Datetime":
        return cls.now()


def move_clock(seconds: int) -> None:
    """Moves it by so many seconds, further where it was moved before."""
    global _moved
    _moved += seconds
    if not _moved:
        return
    time.time = lambda: _time() + _moved
    time.time_ns = lambda: _time_ns() + _moved * 10**9
    time.localtime = lambda at=None: _localtime(time.time() if at is None else at)
    time.gmtime = lambda at=None: _gmtime(time.time() if at is None else at)
    datetime.datetime = _Datetime  # for what imports it from now on, such as all of this project
