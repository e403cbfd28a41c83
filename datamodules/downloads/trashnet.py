"""TrashNet: 2,527 photographs of waste on white, in six classes.

Thung and Yang, "Classification of Trash for Recyclability Status", Stanford CS 229, 2016.
"""

import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

from datamodules.downloads.archives import check_archive, extract_images, files_of
from datamodules.downloads.failure import Failure
from datamodules.downloads.fetching import Target
from datamodules.downloads.limits import Limits
from datamodules.downloads.many_files import fetch_one
from datamodules.downloads.root_folder import Report, sole_writer
from datamodules.errors import DataError, unwritable
from datamodules.files import build_once
from datamodules.sources import image_suffixes
from datamodules.workers import report_progress

URL = "https://github.com/garythung/trashnet/raw/master/data/dataset-resized.zip"
ARCHIVE = "dataset-resized.zip"
FOLDER = "dataset-resized"
PUBLISHED = {
    "cardboard": 403,
    "glass": 501,
    "metal": 410,
    "paper": 594,
    "plastic": 482,
    "trash": 137,
}


def download_trashnet(
    root: Path, *, url: str = URL, verify: bool = False, limits: Limits
) -> Report:
    """Fetch the archive, and unpack from it what is not there yet.

    The archive stays: what lacks in the folder later is unpacked again without a network.

    Args:
        root: the folder to fill: `dataset-resized/<class>/<image>` and the archive.
        url: of the archive; with another than the published one, any classes and counts are taken.
        verify: compare the checksums of the images that are there too.
        limits: of tries, seconds, bytes.

    Raises:
        DataError: the archive cannot be had or used, or the disk cannot be written.
    """
    with sole_writer(root):
        path, folder = root / ARCHIVE, root / FOLDER
        if not _is_good(path):
            fetch_one(Target(url, path, _check), limits=limits, job="trashnet")
        with ZipFile(path) as archive:
            images = images_of(archive)
            if url == URL:
                _require_published(path, images)
            fetched = _unpack(archive, images, folder, verify=verify)
    return Report(root=folder, total=len(images), fetched=fetched)


def images_of(archive: ZipFile) -> dict[Path, ZipInfo]:
    """`<class>/<image>` -> member.

    Raises:
        Failure: the archive is unsafe, or holds anything but images in class folders.
    """
    images = {}
    for name, info in files_of(archive).items():
        top, *rest = PurePosixPath(name).parts
        if top != FOLDER or len(rest) != 2 or Path(name).suffix.lower() not in image_suffixes():
            raise Failure(f"its member {name!r} is not {FOLDER}/<class>/<image>", permanent=True)
        images[Path(*rest)] = info
    if not images:
        raise Failure("it holds no images", permanent=True)
    return images


def _check(path: Path) -> None:
    check_archive(path)
    with ZipFile(path) as archive:
        images_of(archive)


def _is_good(path: Path) -> bool:
    try:
        _check(path)
    except (Failure, OSError):
        return False
    return True


def _require_published(path: Path, images: Mapping[Path, ZipInfo]) -> None:
    found = Counter(name.parts[0] for name in images)
    if found != PUBLISHED:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
        raise DataError(
            f"{path} holds {counts}; TrashNet has {sum(PUBLISHED.values())} images in "
            f"{len(PUBLISHED)} classes: remove it to fetch it again, or take it as it is with "
            "url=ADDRESS of your own."
        )


def _unpack(archive: ZipFile, images: Mapping[Path, ZipInfo], folder: Path, *, verify: bool) -> int:
    """Fill the folder; returns how many images were not there."""

    def unpack(files: Mapping[Path, ZipInfo], into: Path) -> None:
        paths = extract_images(archive, files, into)
        for _ in report_progress(paths, total=len(files), job="trashnet: unpacking"):
            pass

    if not folder.is_dir():
        build_once(folder, lambda part: unpack(images, part))
        return len(images)
    lacking = {
        name: info
        for name, info in images.items()
        if not _is_there(folder / name, info, verify=verify)
    }
    if lacking:
        try:
            unpack(lacking, folder)
        except OSError as error:
            raise unwritable(folder, error) from error
    return len(lacking)


def _is_there(path: Path, info: ZipInfo, *, verify: bool) -> bool:
    if not path.is_file() or path.stat().st_size != info.file_size:
        return False
    return not verify or zlib.crc32(path.read_bytes()) == info.CRC
