"""How to load and to repeat a run, as commands to copy."""

from pathlib import Path
from typing import Any

from lightning_modules.config import current_words
from lightning_modules.errors import ConfigError
from lightning_modules.files import DAMAGE, read_yaml
from lightning_modules.reporting.report.finished_run import FinishedRun
from lightning_modules.runs import bash_word, command, key_of, trust_word, typed_word

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
    folder, trust = bash_word(run.folder), trust_word(run.folder).strip()
    return [
        command("scripts/evaluate.py", folder, trust),
        command("scripts/predict.py", folder, "images/", trust),
        command("scripts/export.py", folder, "format=onnx", trust),
        command("scripts/benchmark.py", folder, trust),
        command("run.py", "+compression=tucker", typed_word("from_run", run.folder), trust),
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
    try:
        stored = current_words(_read(path) or [], announce=False)
        overrides = [word for word in stored if key_of(word) not in LEFT_OUT]
        where = ((_read(hydra / "hydra.yaml") or {}).get("hydra", {}).get("runtime", {})).get("cwd")
    except DAMAGE:
        raise ConfigError(f"{hydra} cannot be read; the run is damaged.") from None
    repeated = command("run.py", *map(bash_word, overrides))
    return [*([f"cd {bash_word(where)}"] if where else []), repeated]


def _read(path: Path) -> Any:
    return read_yaml(path) if path.is_file() else None
