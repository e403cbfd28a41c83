"""The process that opens a file before anybody else does: what is wrong with it ends only this one.

It is started by `foreign_file`, with a limit of memory and time, and says in a line of JSON what it
found. Where the library needs no torch for that, none is imported: that saves seconds.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lightning_modules.errors import USER_ERRORS

OF_MEMORY = ("bad_alloc", "bad allocation", "allocate memory", "not enough memory")


def main(arguments: list[str]) -> None:
    """Opens and runs one file.

    Args:
        arguments: the format's name, the file, bytes that it may take, seconds of computing.
    """
    form, path, memory, seconds = arguments[0], Path(arguments[1]), *map(int, arguments[2:4])
    opened = OPENERS[form]() if form in OPENERS else format_opener(form)
    limit(memory, seconds)
    try:
        opened(path)
    except Exception as error:  # the libraries' own have no common base
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError) or any(word in text for word in OF_MEMORY):
            found = "memory", ""
        else:
            found = "sentence" if isinstance(error, USER_ERRORS) else "reason", text
    else:
        found = "sound", ""
    print(f"\n{json.dumps(found)}", flush=True)
    os._exit(0)  # what libraries do at the end of a process is no matter of the file


def limit(memory: int, seconds: int) -> None:
    """Bounds what this process may take from now on.

    Args:
        memory: bytes above those that it has.
        seconds: of computing.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with suppress(OSError):  # on Linux: ended before those who wait for it
        Path("/proc/self/oom_score_adj").write_text("1000")
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))


def onnx_opener() -> Callable[[Path], None]:
    """What opens an ONNX graph, and runs it for one black image where it takes such."""
    import numpy as np
    import onnxruntime

    def opened(path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        images, *others = session.get_inputs()
        sizes = images.shape[1:]
        if others or images.type != "tensor(uint8)" or len(sizes) != 3:
            return  # no network of ours, as will be said
        if all(isinstance(size, int) for size in sizes):
            session.run(None, {images.name: np.zeros((1, *sizes), np.uint8)})

    return opened


def openvino_opener() -> Callable[[Path], None]:
    """The same of an intermediate representation of OpenVINO."""
    import numpy as np
    import openvino

    def opened(path: Path) -> None:
        core = openvino.Core()
        model = core.read_model(path, path.with_suffix(".bin"))
        compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1})
        (images,) = compiled.inputs
        sizes = [size.get_length() for size in list(images.partial_shape)[1:] if size.is_static]
        if images.element_type == openvino.Type.u8 and len(sizes) == 3:
            compiled({images: np.zeros((1, *sizes), np.uint8)})

    return opened


def format_opener(name: str) -> Callable[[Path], None]:
    """What opens a file of another format, and runs it for one black image."""
    from lightning_modules.deployment.formats import format_named

    form = format_named(name)
    form.part.load()  # what is imported is no memory of the file

    def opened(path: Path) -> None:
        form.open_file(path, threads=1).warm_up()

    return opened


OPENERS = {"onnx": onnx_opener, "openvino": openvino_opener}

if __name__ == "__main__":
    main(sys.argv[1:])
