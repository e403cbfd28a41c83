"""A process is known by its host, number and start time."""

import os
import subprocess
import sys

from lightning_modules.runs.processes import lives, start_of, this_process


def test_this_process_lives_and_another_start_time_does_not():
    me = this_process()
    assert me["pid"] == os.getpid() and lives(me)
    assert lives({**me, "start": "earlier"}) is False  # the number was given again
    assert lives({**me, "host": "elsewhere"}) is None
    assert lives(None) is False


def test_a_process_that_ended_does_not_live():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = {**this_process(), "pid": child.pid, "start": start_of(child.pid)}
    assert lives(owner) and owner["start"] != this_process()["start"]
    child.kill()
    while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) is None:
        pass
    assert lives(owner) is False  # a zombie has ended
    child.wait()
    assert lives(owner) is False
