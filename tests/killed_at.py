"""`python tests/killed_at.py NAME NUMBER SCRIPT WORDS...`: `python SCRIPT WORDS...` and a kill.

It comes by SIGKILL before the NUMBER-th renaming that follows the first one to NAME, from 0; all
that the project writes is written beside its place, then renamed.
"""

import os
import runpy
import signal
import sys
from pathlib import Path


def kill_at(name: str, number: int) -> None:
    """Counts the renamings of this process from the first one to a file called `name`."""
    seen, plain, plain_rename = [], os.replace, os.rename

    def counted(rename):
        def renamed(source, target, **places):
            if seen and len(seen) > number:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(source, target, **places)
            if seen or Path(os.fsdecode(target)).name == name:
                seen.append(target)

        return renamed

    os.replace, os.rename = counted(plain), counted(plain_rename)


if __name__ == "__main__":
    _, _name, _number, *sys.argv = sys.argv
    sys.path[0] = str(Path(sys.argv[0]).absolute().parent)
    kill_at(_name, int(_number))
    runpy.run_path(sys.argv[0], run_name="__main__")
