"""Why a network cannot be exported: the operation, the line of its code, or what the library says.

Exporters raise chains of their own exceptions; what a person needs is at the end of the chain.
"""

import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch

# Folders whose lines say nothing of the network.
LIBRARY = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
VALUES = ("GuardOnDataDependentSymNode", "data-dependent", "unbacked", "_local_scalar_dense")
BATCH = ("specialized it to be a constant", "Constraints violated")


def failure(error: BaseException) -> str:
    """Why tracing failed, a clause with the line of the network's own code where it is known."""
    text = describe_chain(error)
    if reads_values(error):
        why = "its forward is data-dependent: values of tensors decide what it does or its shapes"
    elif any(sign in text for sign in BATCH):
        why = "its forward makes the number of images a constant"
    else:
        why = first_line(root_cause(error))
    frames = "".join(
        line for link in _chain(error) for line in traceback.format_tb(link.__traceback__)
    )
    return why + (code_line(text) or code_line(frames))


def reads_values(error: BaseException) -> bool:
    """Whether a network cannot be traced since what it does depends on values of tensors."""
    text = describe_chain(error)
    return any(sign in text for sign in VALUES)


def code_line(trace: str) -> str:
    """The innermost line of a stack trace that is not a library's, in parentheses; else nothing."""
    for filename, number, name, line in reversed(
        re.findall(r'File "([^"]+)", line (\d+), in (\S+)\n +(\S.*)', trace)
    ):
        if not filename.startswith(LIBRARY):
            return f" ({Path(filename).name}:{number}, in {name}: {line.strip()})"
    return ""


def first_line(error: BaseException) -> str:
    """What an exception says, in a line without a full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].strip().rstrip(".")


def describe_chain(error: BaseException) -> str:
    """Types and texts of an exception and of those that caused it."""
    return "\n".join(f"{type(link).__name__}: {link}" for link in _chain(error))


def root_cause(error: BaseException) -> BaseException:
    """The exception at the end of the chain."""
    return list(_chain(error))[-1]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
