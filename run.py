"""Train, distil, compress and search small image classifiers: `python run.py --help`."""
# ruff: noqa: E402  # Ctrl-C is met before anything is imported, which takes seconds

import os
import signal
import sys


def leave(*_: object) -> None:
    """Ends the program at Ctrl-C, as long as nothing has begun: libraries are half imported."""
    runs = sys.modules.get("lightning_modules.runs.run_directory")
    getattr(runs, "leave_nothing", lambda: None)()
    os.write(2, b"interrupted\n")
    os._exit(130)


if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave)

import gc
from typing import Any

import hydra
from omegaconf import DictConfig

from lightning_modules.config import command_line
from lightning_modules.experiment import multirun, plain_sweeper
from lightning_modules.runs import job_process, run_directory
from lightning_modules.search import study
from lightning_modules.slurm import register_launcher_defaults

gc.disable()  # until the checks passed: what is composed and imported by then stays
run_directory.register_resolvers()
study.register_sweeper_defaults()
register_launcher_defaults()
plain_sweeper.register_plain_sweeper()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> Any:
    """Runs one composed experiment and hands its objective(s) to the sweeper."""
    job_process.follow()
    from lightning_modules.config import check_trial  # pydantic: not for --help

    with multirun.fails_alone():
        check_trial(cfg)
        gc.enable()
        from lightning_modules.experiment import (
            experiment,  # torch and Lightning: only once the checks passed
        )

        if signal.getsignal(signal.SIGINT) is leave:  # from here on a run says how it goes on
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return experiment.run(cfg)


if __name__ == "__main__":
    # Hydra would print its own report and exit; we want the exception, to say it in one sentence.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # Looking for plugins of pydantic among all installed packages takes longer than a check.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    job_process.lead()
    with command_line.report_errors():
        sys.argv[1:] = command_line.expand(sys.argv[1:])
        main()
