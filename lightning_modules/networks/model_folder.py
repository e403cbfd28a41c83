"""The folder `model/` of a run: finding it, and replacing it whole."""

import shutil
from pathlib import Path

from lightning_modules.errors import ConfigError
from lightning_modules.networks.description import FILE

FOLDER = "model"


def find_folder(run_or_model_dir: str | Path) -> Path:
    """The `model/` of a run directory, or the directory itself where it is one.

    Raises:
        ConfigError: there is no saved network.
    """
    given = Path(run_or_model_dir).expanduser()
    for folder in (given / FOLDER, given):
        if (folder / FILE).is_file() or (folder.name == FOLDER and folder.is_dir()):
            return folder
    raise ConfigError(
        f"{given} holds no saved network: a run directory has a folder model/ with {FILE} in it, "
        f"which is written when the run has finished."
    )


def replace_folder(part: Path, folder: Path) -> None:
    """Put `part` in the place of `folder`, which is never seen half-written."""
    old = folder.with_name(f"{part.name}.old")
    if folder.exists():
        folder.replace(old)
    try:
        part.replace(folder)
    except OSError:
        if old.exists():
            old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
