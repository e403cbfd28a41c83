"""`sweep.parallel=n`: n processes at work on one study, each with one trial at a time."""

import os
import signal
import traceback
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from datamodules.workers import end_with
from lightning_modules.config import COMPOSING
from lightning_modules.errors import ConfigError
from lightning_modules.search.failure_rate import FailureRate
from lightning_modules.search.opened_study import close_study
from lightning_modules.search.storage import open_study
from lightning_modules.search.worker import Worker


def run_study(root: DictConfig, launcher: Launcher) -> None:
    """Runs a search in this process, or in as many as may have a trial at once.

    Raises:
        ConfigError: the study cannot be worked on, or its workers were killed.
        SystemExit: it was interrupted.
    """
    settings = root.hydra.sweeper
    count = min(settings.n_jobs, settings.n_trials)
    if hasattr(launcher, "joblib"):
        launcher.joblib["n_jobs"] = 1  # a worker has one job: no processes that wait for others
    if count == 1:
        Worker(root, launcher).work()
        return
    close_study(open_study(root))  # what is refused is refused once
    _Workers(root, launcher, count).run()


class _Workers:
    """Processes that are forked before torch is imported here: threads do not outlive a fork.

    One that is killed, for want of memory perhaps, has another one in its place; as many times as
    there are processes, so that a trial that kills each cannot do so for ever.
    """

    def __init__(self, root: DictConfig, launcher: Launcher, count: int) -> None:
        self.root, self.launcher = root, launcher
        self.context = get_context("fork")
        numbers = self.context.Array("q", 2)
        lock: Any = numbers.get_lock()
        self.failures = FailureRate(root.hydra.sweeper.max_failure_rate, numbers, lock)
        self.running: dict[Any, tuple[int, Connection]] = {}  # the place and messages of each
        self.count, self.killed = count, 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Starts the workers and returns when all have ended; with this process they end too.

        Raises:
            BaseException: what ended one of them.
        """
        try:
            for place in range(self.count):
                self._start(place)
            while self.running:
                ended = wait([worker.sentinel for worker in self.running])
                for worker in [one for one in self.running if one.sentinel in ended]:
                    self._take_leave(worker)
        except KeyboardInterrupt:
            for worker in self.running:
                os.kill(worker.pid, signal.SIGINT)  # who had it from the terminal has had it
            for worker in self.running:
                worker.join()
            name = self.root.hydra.sweeper.study_name
            self.failure = SystemExit(f"interrupted; the same command continues the study {name}")
        finally:
            for worker in self.running:
                worker.kill()
        if self.failure is not None:
            raise self.failure from None

    def _start(self, place: int) -> None:
        messages, sender = self.context.Pipe(duplex=False)
        arguments = (self.root, self.launcher, self.failures, place == 0, sender)
        worker = self.context.Process(target=_work, args=arguments)
        worker.start()
        sender.close()
        self.running[worker] = place, messages

    def _take_leave(self, worker: Any) -> None:
        place, messages = self.running.pop(worker)
        worker.join()
        if worker.exitcode < 0:
            self.killed += 1
            how = signal.Signals(-worker.exitcode).name
            if self.killed <= self.count:
                print(f"note     a worker was ended by {how}; another one takes its place")
                self._start(place)
            else:
                self.failure = self.failure or ConfigError(
                    f"{self.killed} workers were ended from outside ({how}), often for want of "
                    "memory; the same command continues the study, with less sweep.parallel."
                )
        elif worker.exitcode:
            self.failure = self.failure or (messages.recv() if messages.poll() else SystemExit(1))
        messages.close()


def _work(
    root: DictConfig, launcher: Launcher, failures: FailureRate, waits: bool, sender: Connection
) -> None:
    """The life of a worker."""
    end_with(os.getppid())
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        Worker(root, launcher, failures, waits=waits).work()
    except (KeyboardInterrupt, SystemExit):
        raise SystemExit(1) from None  # whoever sent it says so
    except (*COMPOSING, OSError) as error:
        sender.send(error)
        raise SystemExit(1) from None
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None


def _interrupt_once(number: int, frame: Any) -> NoReturn:
    """Ctrl-C reaches a worker from the terminal and from its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
