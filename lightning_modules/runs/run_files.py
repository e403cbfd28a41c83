"""What a run keeps of its data: `splits.csv`, `exclude.csv`, where the images lay; needs no torch.

A configuration says what was typed: paths that led somewhere from the directory of that day.
"""

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf._utils import get_yaml_loader
from omegaconf.errors import OmegaConfBaseException

from datamodules.splits import read_split_file
from lightning_modules.errors import ConfigError
from lightning_modules.files import DAMAGE, read_yaml

RECORD = "splits.csv"  # which image was in which split
EXCLUDED = "exclude.csv"  # what `data.exclude` named
DEPENDS_ON = "depends_on.json"  # what it was begun with besides its configuration
# Keys of `data` that name a file or folder, and may do so from the directory of that day.
PATHS = ("root", "source.root", "split.file", "exclude", "source.classes", "source.class_map")

LOADER = get_yaml_loader()  # of configurations: 1e-3 is a number
STAGES, RESULT = "steps", "result.json"  # a run's stages; in the folder of one that is done


def run_of(folder: Path) -> Path:
    """The run that a folder with a saved network belongs to: itself, or that whose stage it is."""
    is_stage = folder.parent.name == STAGES and (folder.parents[1] / ".hydra").is_dir()
    return folder.parents[1] if is_stage else folder


def find_record(run: Path) -> Path | None:
    """The record of a run, else that of the study whose trial it is; None where there is none."""
    places = (run, run.parent.parent)  # STUDY/trials/7
    return next((folder / RECORD for folder in places if (folder / RECORD).is_file()), None)


def lead_to_data(cfg: DictConfig, run: Path) -> None:
    """Makes the paths of a saved configuration's data lead where they led when the run began.

    Args:
        cfg: as it was saved; changed where relative paths lead elsewhere, or nowhere, now.
        run: the run directory.
    """
    with open_dict(cfg):
        if (run / EXCLUDED).is_file():
            OmegaConf.update(cfg, "data.exclude", str(run / EXCLUDED))
        for key, path in _elsewhere(cfg, run):
            OmegaConf.update(cfg, f"data.{key}", path)


def _elsewhere(cfg: DictConfig, run: Path) -> Iterator[tuple[str, str]]:
    """Keys of `data`, and the absolute paths that they meant."""
    record, start = find_record(run), _start(run)
    root = None if record is None else read_split_file(record).root
    for key in PATHS:
        typed = OmegaConf.select(cfg, f"data.{key}", throw_on_resolution_failure=False)
        if not isinstance(typed, str) or typed.startswith("~") or Path(typed).is_absolute():
            continue
        if key == "root" and root is not None:
            meant = Path(root)
        elif start is not None and not Path(typed).exists():
            meant = Path(start, typed)
        else:
            continue
        if meant.exists() and Path(typed).resolve() != meant.resolve():
            yield key, str(meant)


def _start(run: Path) -> str | None:
    """The directory that the run was started in; a teacher trained on the way does not say it."""
    path = run / ".hydra" / "hydra.yaml"
    stored = read_settings(path) if path.is_file() else OmegaConf.create()
    start = OmegaConf.select(stored, "hydra.runtime.cwd", throw_on_resolution_failure=False)
    return start if isinstance(start, str) and "\0" not in start else None


def read_settings(path: Path) -> DictConfig:
    """A configuration that Hydra stored in a run.

    Raises:
        ConfigError: it is damaged.
    """
    content = read_yaml(path, loader=LOADER)
    try:
        if isinstance(content, dict):
            return OmegaConf.create(content)
    except (OmegaConfBaseException, *DAMAGE):  # it holds what no configuration can
        pass
    raise ConfigError(f"{path} cannot be read; the run is damaged.")
