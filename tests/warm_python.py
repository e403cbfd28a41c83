"""Programs that start from a Python which has imported the libraries already.

Before the first line of a command's own code runs, four seconds of processor time have gone into
importing torch and Lightning. Here one server imports them once and forks itself for each program,
which so is a process of its own: its arguments, directory, environment, streams, signals and exit
code are those of `python SCRIPT WORDS...`, and nothing of this project is imported when its first
line runs.

Where a process cannot be forked safely (outside Linux, or where a library has started a thread)
nothing is served, and interpreters are started as ever: see `start_command` in `conftest.py`.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

# Those that take long to import, without onnxruntime, which starts a thread.
LIBRARIES = (
    "torch", "torch._dynamo", "torch._functorch.aot_autograd", "torch.export",
    "torch.onnx._internal.exporter._core", "onnxscript.function_libs.torch_lib.ops", "onnx",
    "torch.utils.flop_counter", "torchvision.transforms.v2", "timm", "pytorch_lightning",
    "torchmetrics.classification", "hydra", "albumentations", "cv2", "safetensors.torch", "optuna",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper", "networkx", "tabulate",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "rich.progress", "jinja2", "requests",
)  # fmt: skip
# Variables that an interpreter or a library reads only when it starts (cv2 and torch set others).
READ_AT_START = ("PYTHON", "OMP_", "MKL_", "OPENBLAS_", "MPL", "HF_")
SERVER = "tests/warm_python.py"


class Program:
    """A started program: the part of `subprocess.Popen` that the tests use, with text streams."""

    def __init__(self, report: socket.socket, stdout: int | None, stderr: int | None):
        self._report = report.makefile("r")
        report.close()
        self.stdout, self.stderr = (
            None if descriptor is None else os.fdopen(descriptor) for descriptor in (stdout, stderr)
        )
        self.pid: int = json.loads(self._report.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            ready, _, _ = select.select([self._report], [], [], timeout)
            if not ready:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = json.loads(self._report.readline())
            self._report.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str | None, str | None]:
        streams = (self.stdout, self.stderr)
        with ThreadPoolExecutor(2) as readers:
            read = [None if s is None else readers.submit(s.read) for s in streams]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            out, err = (None if future is None else future.result() for future in read)
        for stream in filter(None, streams):
            stream.close()
        return out, err


class WarmPython:
    """The server, and what a test asks it for; it ends with the process that started it.

    Args:
        root: The project's, where programs start.
        environment: As it was before any test changed it.
    """

    def __init__(self, root: Path, environment: Mapping[str, str]):
        self._environment = _read_at_start(environment)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, SERVER, str(theirs.fileno())],
                cwd=root,
                env={
                    **environment,
                    "NO_ALBUMENTATIONS_UPDATE": "1",  # as datamodules sets it
                    # pandas imports pyarrow where it is installed, whose allocator starts a thread.
                    "JE_ARROW_MALLOC_CONF": "background_thread:false",
                },
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # no terminal, so that the streams are buffered alike
                stderr=subprocess.DEVNULL,
            )
        self._serves = self._requests.recv(16) == b"ready"
        atexit.register(self.close)

    def close(self) -> None:
        """Ends the server, and waits for it."""
        self._requests.close()
        self._process.wait(60)

    def can_start(self, words: Sequence[str], env: Mapping[str, str]) -> bool:
        """Whether that is a script, in an environment that starts Python as the server's did."""
        script = words[0].endswith(".py")
        return self._serves and script and _read_at_start(env) == self._environment

    def start(
        self, words: Sequence[str], env: Mapping[str, str], stdout: int, stderr: int
    ) -> Program:
        """Starts `python WORDS...` in the project's root; the streams are named as for `Popen`."""
        report, theirs = socket.socketpair()
        given = [os.open(os.devnull, os.O_RDWR)]
        ours = []
        for wanted in (stdout, stderr):
            reading = writing = None
            if wanted == subprocess.PIPE:
                reading, writing = os.pipe()
            ours.append(reading)
            same = {subprocess.DEVNULL: 0, subprocess.STDOUT: 1}
            given.append(os.dup(given[same[wanted]]) if writing is None else writing)
        with theirs:
            asked = json.dumps({"words": words, "env": dict(env)}).encode()
            socket.send_fds(self._requests, [asked], [*given, theirs.fileno()])
        for descriptor in given:
            os.close(descriptor)
        return Program(report, *ours)


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {key: env[key] for key in env if key.startswith(READ_AT_START)}


def _serve(requests: socket.socket) -> dict:
    """Forks at each request; comes back in the forked processes only, with what is asked."""
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready, _, _ = select.select([requests, *running], [], [])
        for descriptor in ready:
            if descriptor in running:
                pid, report = running.pop(descriptor)
                os.close(descriptor)
                _, status = os.waitpid(pid, 0)
                with contextlib.suppress(OSError):  # nobody asked for its end
                    report.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
                report.close()
        if requests not in ready:
            continue
        message, descriptors, *_ = socket.recv_fds(requests, 1 << 20, 4)
        if not message:
            os._exit(0)
        report = socket.socket(fileno=descriptors.pop())
        if (pid := os.fork()) == 0:
            requests.close()
            report.close()
            for descriptor, (_, other) in running.items():
                os.close(descriptor)
                other.close()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
                os.close(descriptor)
            return json.loads(message)
        report.sendall(b"%d\n" % pid)
        running[os.pidfd_open(pid)] = (pid, report)
        for descriptor in descriptors:
            os.close(descriptor)


def become(asked: dict) -> types.ModuleType:
    """Makes of this process what it would be right after `python WORDS...`; its main module."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, name in enumerate(("stdout", "stderr"), 1):
        # The server's own knows what its file could do, which a pipe cannot (tell).
        given = getattr(sys, name)
        encoding, errors, lines = given.encoding, given.errors, given.line_buffering
        stream = open(descriptor, "w", encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
        stream.reconfigure(line_buffering=lines)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = asked["words"]
    script = Path(sys.argv[0]).absolute()
    sys.path[0] = str(script.parent)
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=str(script), __builtins__=__builtins__, __cached__=None)
    sys.modules["__main__"] = main
    return main


def run_script(main: types.ModuleType) -> NoReturn:
    """Runs a script, and ends as Python does, but leaves the freeing of the libraries out.

    They would be copied for it, since they are shared with the server: half a second.
    """
    code, ended_by = 0, None
    try:
        exec(compile(Path(main.__file__).read_bytes(), main.__file__, "exec"), main.__dict__)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if error.code is not None and code is not error.code:
            print(error.code, file=sys.stderr)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
        if isinstance(error, KeyboardInterrupt):
            ended_by = signal.SIGINT
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if ended_by is not None:
        signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    os._exit(code & 0xFF)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is pytest's, which ends this then
    _server = socket.socket(fileno=int(sys.argv[1]))
    # timm would import it; it makes a folder, which the first program to end would remove.
    sys.modules["wandb"] = None
    for _name in LIBRARIES:
        importlib.import_module(_name)
    del sys.modules["wandb"]
    if sum(1 for _ in Path("/proc/self/task").iterdir()) > 1:
        sys.exit()
    gc.collect()
    gc.freeze()  # so that no program's collection touches, and so copies, these pages
    _server.sendall(b"ready")
    run_script(become(_serve(_server)))
