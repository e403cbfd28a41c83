"""The error of this package, and other errors in words."""

import traceback
from pathlib import Path

# Modules that no network brings: what fails there is said by the line that called them.
PLAIN = (
    "torch.", "importlib", "pkgutil", "inspect", "hydra.", "compression.", "lightning_modules.",
)  # fmt: skip


class CompressionError(ValueError):
    """A compression that cannot be done as asked; the text is one sentence for a person."""


def own_words(error: BaseException) -> str:
    """An error's first line, and the line of somebody's own code that it comes from, if any."""
    text = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else ""
    if not text or isinstance(error, KeyError):  # whose text is a mere key
        text = f"{type(error).__name__} {text}".strip()
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [frame for frame in frames if not frame.f_globals.get("__name__", "").startswith(PLAIN)]
    if not own:
        return text
    code, line = own[-1].f_code, own[-1].f_lineno
    return f"{text} ({code.co_qualname}, {Path(code.co_filename).name} line {line})"
