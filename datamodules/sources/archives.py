"""Archives of images (zip, tar, tar.gz and the like): looked through, then unpacked once."""

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, cast
from zipfile import ZipFile, ZipInfo

from datamodules.errors import DataError
from datamodules.files import build_once
from datamodules.sources.formats import why_no_image
from datamodules.sources.listing import Folder, Sieve
from datamodules.sources.omissions import Omissions

MAX_MEMBERS = 5_000_000
# Beyond the first gigabyte; photographs unpack to their own size, a bomb to hundreds of times it.
MAX_RATIO, ALWAYS_ALLOWED = 100, 2**30
COPIED = 2**20  # bytes at a time
ENCRYPTED = 1  # bit of a zip member's flags
UTF8 = 0x800  # bit of a zip member's flags: its name is not in the old code page 437

# What the libraries end with on damaged bytes.
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    LZMAError,
    EOFError,
    NotImplementedError,
    ValueError,
    IndexError,  # of a member without a name
)
INSTEAD = "Unpack it, and give the folder as data.root"


class Member(NamedTuple):
    """A file in an archive."""

    name: str  # relative, with slashes
    size: int  # of its content, in bytes
    open: Callable[[], BinaryIO]


def unpack(path: Path, folder: Path) -> None:
    """Unpack an archive to a folder, whole or not at all, unless it is there.

    Raises:
        DataError: it is damaged or encrypted, holds links or paths that lead out of the folder,
            would unpack to absurdly much, or the disk is full.
    """
    build_once(folder, partial(_unpack, path))


def list_archive(path: Path, omissions: Omissions, sieve: Sieve) -> tuple[Folder, dict[str, int]]:
    """The tree of images in an archive, as `list_folder` would give it once it is unpacked.

    Folders that are left out are not counted.

    Returns:
        The tree, and the size of each image in bytes, by its path there.

    Raises:
        DataError: as of `unpack`, as far as names and sizes show it.
    """
    root = Folder()
    folders: dict[str, Folder | None] = {"": root}
    sizes = {}
    for member in _members(path):
        above, _, name = member.name.rpartition("/")
        parent = _folder_at(above, folders, sieve)
        if parent is None:
            continue
        reason = sieve.file(name, member.name)
        if reason == "":
            with _readable(path), member.open() as file:
                reason = why_no_image(file)
        if reason is None:
            parent.images.append(name)
            sizes[member.name] = member.size
        else:
            omissions.add(reason, member.name)
    return root, sizes


def _folder_at(path: str, folders: dict[str, Folder | None], sieve: Sieve) -> Folder | None:
    """The tree's folder at a path, made where it is new; None if it is left out."""
    if path not in folders:
        above, _, name = path.rpartition("/")
        parent = _folder_at(above, folders, sieve)
        folders[path] = None
        if parent is not None and sieve.folder(name, path) is None:
            folders[path] = parent.folders[name] = Folder(path)
    return folders[path]


def _unpack(path: Path, folder: Path) -> None:
    from datamodules.workers import report_progress  # rich: only where something is unpacked

    free = shutil.disk_usage(folder).free
    total = 0
    made = set()
    members = _members(path)
    for member in report_progress(members, total=_file_count(path), job=f"Unpacking {path}"):
        total += member.size
        if total > free:
            raise DataError(
                f"{path} unpacks to more than the {free / 1e9:.1f} GB that are free below "
                f"{folder.parent}: free some space, or set data.source.unpacked_dir elsewhere."
            )
        target = folder / member.name
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        with _readable(path):
            source = member.open()
        with target.open("xb") as plain, source:
            while True:
                with _readable(path):
                    content = source.read(COPIED)
                if not content:
                    break
                plain.write(content)


def _file_count(path: Path) -> int | None:
    """Members of a zip file; None of a tar file, which must be read to its end to know them."""
    if not zipfile.is_zipfile(path):
        return None
    with _readable(path), ZipFile(path) as archive:
        return len(archive.infolist())


def _members(path: Path) -> Iterator[Member]:
    """The files of an archive, each looked at before it is given out.

    Raises:
        DataError: the archive is damaged, encrypted or unsafe.
    """
    packed = path.stat().st_size
    seen: set[str] = set()
    total = 0
    for member in _zip_members(path) if zipfile.is_zipfile(path) else _tar_members(path):
        total += member.size
        if member.name in seen:
            raise DataError(f"The archive {path} holds {member.name!r} twice. {INSTEAD}.")
        seen.add(member.name)
        if total > max(MAX_RATIO * packed, ALWAYS_ALLOWED) or len(seen) > MAX_MEMBERS:
            raise DataError(
                f"The archive {path} of {packed:,} bytes would unpack to {len(seen):,} files of "
                f"more than {total:,} bytes, as archives made to fill a disk do. {INSTEAD}."
            )
        yield member


def _zip_members(path: Path) -> Iterator[Member]:
    with _readable(path), ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            fault = zip_fault(info)
            if fault is not None:
                raise DataError(
                    f"The member {info.filename!r} of the archive {path} {fault}. {INSTEAD}."
                )
            name = _safe_name(path, _zip_name(info))
            yield Member(name, info.file_size, cast(Callable, partial(archive.open, info)))


def zip_fault(info: ZipInfo) -> str | None:
    """What forbids to unpack a member of a zip file, in a few words, if anything does."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "is a link or device"
    if info.flag_bits & ENCRYPTED:
        return "cannot be unpacked: it is encrypted"
    return None


def _zip_name(info: ZipInfo) -> str:
    r"""A member's name: macOS writes UTF-8 without saying so, and Windows `\` for `/`."""
    name = info.filename
    if not info.flag_bits & UTF8 and not name.isascii():
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return name.replace("\\", "/")


def _tar_members(path: Path) -> Iterator[Member]:
    with _readable(path), _open_tar(path) as archive:
        for info in archive:
            if info.isdir():
                continue
            name = _safe_name(path, info.name)
            if not info.isreg():
                raise DataError(
                    f"The member {info.name!r} of the archive {path} is a link or device. "
                    f"{INSTEAD}."
                )
            yield Member(name, info.size, cast(Callable, partial(archive.extractfile, info)))
        _require_end(archive)


def _open_tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path)
    except tarfile.ReadError:  # whose text lists what each compression says
        raise tarfile.ReadError("it is none, or its beginning is damaged") from None


def _require_end(archive: tarfile.TarFile) -> None:
    """Refuse what ends without a block of zeros: at a damaged header tarfile just stops."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(tarfile.BLOCKSIZE)
    if not block or any(block):
        raise tarfile.ReadError("it breaks off, or is damaged, after its last readable member")
    while archive.fileobj.read(COPIED):  # to the checksum of a compressed one
        pass


def _safe_name(path: Path, name: str) -> str:
    """The name without `./`.

    Raises:
        DataError: it leads out of the folder that it is unpacked to, on any system.
    """
    parts: Sequence[str] = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or not parts or parts[0].endswith(":"):
        raise DataError(
            f"The member {name!r} of the archive {path} would be unpacked outside of its folder. "
            f"{INSTEAD}."
        )
    return "/".join(parts)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what damaged bytes raise into one sentence."""
    try:
        yield
    except DataError:
        raise
    except (*DAMAGE, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path} cannot be read as an archive of images (zip, tar, tar.gz): {reason}. Give a "
            "whole archive or a folder as data.root."
        ) from error
