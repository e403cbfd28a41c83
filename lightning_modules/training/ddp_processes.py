"""More processes for one fit: they start with it, end with it, and none outlives a failure.

How Lightning keeps them equal meanwhile stands at the end.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from lightning_modules.errors import USER_ERRORS, ConfigError

NOTICE = 5.0  # seconds that a failed process may take to end after its failure was felt here
GRACE = 15.0  # seconds after another process's failure in which this one must have felt it
STARTED, SENTENCE, TRACE = "started", "sentence", "trace"
IDENTITY = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
SHARED_CORES = "OMP_NUM_THREADS"  # Lightning gives each process its part


@contextlib.contextmanager
def other_ranks(work: Callable[..., Any], *arguments: Any, count: int) -> Iterator[None]:
    """Runs `work(*arguments)` in `count` new processes while the block runs here, as rank 0.

    The environment tells each process who it is, as `torchrun` would. When one fails, all end, and
    the block raises what the failed one raised.

    Args:
        work: a function of a module.
        arguments: what can be pickled.
        count: may be 0.

    Raises:
        ConfigError: a process ended by a user's mistake, or was killed.
        RuntimeError: it ended by another exception, whose trace this one holds.
    """
    if count == 0:
        yield
        return
    payload, threads, left = _pickled(work, arguments), torch.get_num_threads(), threading.Event()
    with _identity(LOCAL_RANK=0, WORLD_SIZE=count + 1, MASTER_PORT=_free_port()):
        ranks = [_Rank(number, payload) for number in range(1, count + 1)]
        threading.Thread(target=_guard, args=(ranks, left), daemon=True).start()
        try:
            for rank in ranks:
                rank.await_start()
            yield
            for rank in ranks:
                rank.await_end()
        except (*USER_ERRORS, KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:
            raise _awaited_failure(ranks) or error from error
        finally:
            for rank in ranks:
                rank.process.kill()
                rank.process.join(NOTICE)
            if distributed.is_initialized():
                distributed.destroy_process_group()
            torch.set_num_threads(threads)
            left.set()


class _Rank:
    """One of the other processes, as this one sees it."""

    def __init__(self, number: int, payload: bytes) -> None:
        self.number = number
        context = multiprocessing.get_context("spawn")  # CUDA and threads do not outlive a fork
        self.messages, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=_main, args=(payload, os.getpid(), sender))
        with _identity(LOCAL_RANK=number):
            self.process.start()
        sender.close()

    def await_start(self) -> None:
        """Returns when the process has imported what it needs; raises its failure."""
        wait([self.messages, self.process.sentinel])
        if not self.messages.poll() or self._read()[0] != STARTED:
            self.process.join()
            raise self.failure() or RuntimeError("A training process ended before it began.")

    def await_end(self) -> None:
        """Returns when the process has done its work, which ends with ours; raises its failure."""
        self.process.join(GRACE)
        failure = self.failure()
        if failure is not None:
            raise failure

    def failure(self) -> Exception | None:
        """Why the process has ended, unless it is running or has done its work."""
        code = self.process.exitcode
        if code in (None, 0):
            return None
        kind, text = self._read()
        if kind == SENTENCE:
            return ConfigError(text)
        if kind == TRACE:
            return RuntimeError(f"The training process of device {self.number} failed:\n{text}")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ConfigError(
            f"The training process of device {self.number} was ended from outside ({how}), often "
            "for want of memory; continue from the last whole epoch with resume=last."
        )

    def _read(self) -> tuple[str, str]:
        """The newest message of the process."""
        last = ("", "")
        with contextlib.suppress(EOFError, OSError):
            while self.messages.poll():
                last = self.messages.recv()
        return last


def _main(payload: bytes, parent: int, sender: Connection) -> None:
    """The life of another process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; rank 0 decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    warnings.simplefilter("ignore")  # rank 0 says them
    try:
        work, arguments = pickle.loads(payload)
        sender.send((STARTED, ""))
        work(*arguments)
        if distributed.is_initialized():
            distributed.destroy_process_group()
    except BaseException as error:
        sentence = isinstance(error, USER_ERRORS)
        sender.send((SENTENCE, str(error)) if sentence else (TRACE, traceback.format_exc()))
        os._exit(1)
    os._exit(0)  # an orderly end may wait for other processes, or abort in a thread of gloo


def _end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone, by a kill for example."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _guard(ranks: Sequence[_Rank], left: threading.Event) -> None:
    """Ends this process when it waits for one that has failed, as on an accelerator it would."""
    while not left.wait(0.5):
        if any(rank.process.exitcode not in (None, 0) for rank in ranks) and not left.wait(GRACE):
            print(f"error: {_failure(ranks)}", file=sys.stderr, flush=True)
            os._exit(1)


def _awaited_failure(ranks: Sequence[_Rank]) -> Exception | None:
    """The failure that was felt here, once its process has ended; None where it is our own."""
    ended = wait([rank.process.sentinel for rank in ranks], NOTICE)
    for rank in ranks:
        if rank.process.sentinel in ended:
            rank.process.join(NOTICE)  # the sentinel falls a little before the end
    return _failure(ranks)


def _failure(ranks: Sequence[_Rank]) -> Exception | None:
    return next((why for rank in ranks if (why := rank.failure()) is not None), None)


def _pickled(*content: Any) -> bytes:
    """By value: what multiprocessing itself would do with tensors is to share their memory."""
    try:
        return pickle.dumps(content)
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"This fit cannot be given to other processes ({error}); use trainer.devices=1."
        ) from error


@contextlib.contextmanager
def _identity(**values: int) -> Iterator[None]:
    """Environment variables by which `torch.distributed` knows a process, for a while."""
    before = {name: os.environ.get(name) for name in (*IDENTITY, SHARED_CORES)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "NODE_RANK": "0"}
    os.environ |= {name: str(value) for name, value in values.items()}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ddp_strategy(name: str) -> DDPStrategy:
    """One process a device; gradients are means over them.

    Args:
        name: of `trainer.strategy`: auto, ddp or ddp_find_unused_parameters_true.
    """
    return DDPStrategy(
        find_unused_parameters=name == "ddp_find_unused_parameters_true",
        # `RankBuffers` does it, once an epoch and not at each batch: a validation batch must not
        # wait for other processes, whose last one may already be over.
        broadcast_buffers=False,
    )


class RankBuffers(pl.Callback):
    """Sends the buffers of the first process to the others before each validation.

    Parameters are equal on all of them, for all take the same steps; BatchNorm statistics follow
    each process's own images. The first one's are saved, so they are what must be validated.
    Placed after an average of the weights, it sends the average's.
    """

    @torch.no_grad()
    def on_validation_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Sends the buffers."""
        for buffer in module.buffers():
            distributed.broadcast(buffer, src=0)
