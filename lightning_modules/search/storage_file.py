"""The file of a study that SQLite stores: whether it is there, and still the same one."""

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from lightning_modules.errors import ConfigError

Identity = tuple[int, int] | None  # device and inode; None where there is no file


def file_of(url: str) -> Path | None:
    """The file behind a URL; None where no file is the database."""
    try:
        parts = make_url(url)
    except ArgumentError:  # opening it says so
        return None
    is_file = parts.get_backend_name() == "sqlite" and parts.database not in (None, "", ":memory:")
    return Path(str(parts.database)).absolute() if is_file and "uri" not in parts.query else None


def identity_of(path: Path | None) -> Identity:
    """What tells a file from another one that takes its place."""
    try:
        return None if path is None else ((found := path.stat()).st_dev, found.st_ino)
    except OSError:
        return None


def check_file(url: str, known: Identity = None) -> None:
    """Refuses a file that is gone; opening it would make an empty one.

    Args:
        url: of the storage.
        known: what the file was when it was opened; by default any file will do.

    Raises:
        ConfigError: it is gone, or another file.
    """
    path = file_of(url)
    if path is None:
        return
    found = identity_of(path)
    if found is None or known not in (None, found):
        what = "is gone" if found is None else "is another file than this search began with"
        raise ConfigError(
            f"The study's storage {path} {what}: put the file back and give the command again, or "
            "begin anew with another hydra.sweep.dir; the folders beside it keep the runs of its "
            "trials, which scripts/report.py shows one by one."
        )
