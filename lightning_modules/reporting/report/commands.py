"""How to load and to repeat a run, as commands to copy."""

import shlex
from pathlib import Path
from typing import Any

import yaml

from lightning_modules.config import current_words
from lightning_modules.reporting.report.finished_run import FinishedRun
from lightning_modules.runs import key_of, trust_word

# Told by a continuation or by a search, and no part of what is repeated.
LEFT_OUT = ("resume", "trial")
LOADING = """\
from lightning_modules.networks import load_network

network = load_network({folder!r})  # hashes and a stored input are checked
logits = network(images)  # uint8 N x 3 x {height} x {width} -> N x {count}
network.class_names, network.image_size"""


def loading(run: FinishedRun) -> str:
    """Python that loads the network."""
    height, width = run.saved["image_size"]
    count = len(run.saved["class_names"])
    return LOADING.format(folder=str(run.folder), height=height, width=width, count=count)


def using(run: FinishedRun) -> list[str]:
    """Commands that use the network."""
    folder, trust = shlex.quote(str(run.folder)), trust_word(run.folder)
    return [
        f"python scripts/evaluate.py {folder}{trust}",
        f"python scripts/predict.py {folder} images/{trust}",
        f"python scripts/export.py {folder} format=onnx{trust}",
        f"python scripts/benchmark.py {folder}{trust}",
        f"python run.py +compression=tucker from_run={folder}{trust}",
    ]


def rerun(folder: Path) -> list[str]:
    """The command that repeats a run, after one that goes where it was typed.

    Empty for a run that no command of its own started, such as a teacher trained on the way.
    """
    hydra = folder / ".hydra"
    files = (hydra / "resume" / "overrides.yaml", hydra / "overrides.yaml")
    path = next((path for path in files if path.is_file()), None)
    if path is None:
        return []
    stored = current_words(_read(path) or [], announce=False)
    overrides = [word for word in stored if key_of(word) not in LEFT_OUT]
    command = " ".join(["python run.py", *map(quoted, overrides)])
    where = ((_read(hydra / "hydra.yaml") or {}).get("hydra", {}).get("runtime", {})).get("cwd")
    return [*([f"cd {shlex.quote(where)}"] if where else []), command]


def quoted(word: str) -> str:
    """A word for a shell; in double quotes where it has single ones and nothing else to hide."""
    plain = "'" in word and not any(letter in word for letter in '"$`\\!\n')
    return f'"{word}"' if plain else shlex.quote(word)


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
