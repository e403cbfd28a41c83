"""Zip archives from elsewhere: looked through before they are trusted, extracted whole."""

import errno
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

from datamodules.downloads.failure import Failure
from datamodules.downloads.image_checks import check_image
from datamodules.errors import DataError
from datamodules.files import written_beside
from datamodules.sources.archives import zip_fault
from datamodules.workers import map_in_order

MAX_BYTES = 4 * 2**30  # of everything, unpacked
MAX_MEMBERS = 100_000
MAX_RATIO = 100  # unpacked to packed; photographs have 1, a zip bomb hundreds

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile ends with on damaged bytes.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    ValueError,
    IndexError,  # of a member without a name
)


def check_archive(path: Path) -> None:
    """Whether an archive is whole (by its checksums) and does nothing but hold files.

    Raises:
        Failure: it is no zip file, damaged, or unsafe.
    """
    try:
        with ZipFile(path) as archive:
            files_of(archive)
            damaged = archive.testzip()
    except DAMAGE as error:
        raise Failure(f"it is no whole zip archive ({error})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a member that begins before the file does
            raise
        raise Failure("it is no whole zip archive (a member lies outside of it)") from error
    if damaged is not None:
        raise Failure(f"its member {damaged!r} is damaged")


def files_of(archive: ZipFile) -> dict[str, ZipInfo]:
    """The archive's files by name, without folders and what macOS and editors add.

    Raises:
        Failure: a member leaves the folder, is a link or listed twice, or all are absurdly large.
    """
    members = [info for info in archive.infolist() if not info.is_dir()]
    _require_sizes(members)
    for info in members:
        _require_plain(info)
    files = {info.filename: info for info in members if not _is_clutter(info.filename)}
    if len({info.filename for info in members}) < len(members):
        raise Failure("it holds a member twice", permanent=True)
    return files


def extract_images(archive: ZipFile, files: Mapping[Path, ZipInfo], folder: Path) -> Iterator[Path]:
    """Unpack images, each whole or not at all, and decode them.

    Args:
        archive: an open archive.
        files: path below `folder` -> member.
        folder: where they go.

    Returns:
        The paths, as they come.

    Raises:
        DataError: a member is damaged or no image.
        OSError: the disk is full or cannot be written.
    """
    return map_in_order(partial(_extract, archive, folder), files.items())


def _extract(archive: ZipFile, folder: Path, file: tuple[Path, ZipInfo]) -> Path:
    name, info = file
    path = folder / name
    try:
        with written_beside(path) as part:
            with archive.open(info) as packed, part.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
            check_image(part)
    except (*DAMAGE, Failure) as error:
        raise DataError(
            f"The image {info.filename} of {archive.filename} cannot be used: {error}."
        ) from error
    return path


def _require_sizes(members: list[ZipInfo]) -> None:
    plain, packed = sum(i.file_size for i in members), sum(i.compress_size for i in members)
    if len(members) > MAX_MEMBERS:
        raise Failure(f"it holds more than {MAX_MEMBERS:,} files", permanent=True)
    if plain > MAX_BYTES or plain > MAX_RATIO * packed:
        raise Failure(f"its {packed:,} bytes would unpack to {plain:,}", permanent=True)


def _require_plain(info: ZipInfo) -> None:
    """Refuse paths that leave the folder, on any system, and anything but readable files."""
    name = PurePosixPath(info.filename)
    if name.is_absolute() or ".." in name.parts or set(info.filename) & set("\\:"):
        raise Failure(f"its member {info.filename!r} would leave the folder", permanent=True)
    fault = zip_fault(info)
    if info.compress_type not in METHODS:
        fault = "cannot be unpacked"
    if fault is not None:
        raise Failure(f"its member {info.filename!r} {fault}", permanent=True)


def _is_clutter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
