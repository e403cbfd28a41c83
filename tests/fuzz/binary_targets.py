"""Files of bytes: images, idx arrays, archives, Parquet, Arrow, tars of WebDataset."""

import functools
import gzip
import io
import shutil
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from datamodules.decoding import read_crops, read_level_range
from datamodules.downloads.archives import check_archive
from datamodules.downloads.failure import Failure
from datamodules.errors import DataError
from datamodules.sources.coco.photo_header import may_be_turned, read_header
from datamodules.sources.formats import why_no_image
from datamodules.sources.huggingface.huggingface import HuggingFace
from datamodules.sources.idx import IdxFile
from datamodules.sources.image_folder import ImageFolder
from tests.fuzz.inputs import damaged, json_files
from tests.fuzz.target import Target, at

NAMES = [
    "a/0.png", "a/1.png", "b/0.png", "b/1.png", "../out.png", "/out.png", "C:\\out.png",
    "a\\..\\..\\out.png", "a/./b.png", "a//b.png", "a/\x00.png", "a/" * 200 + "deep.png",
    "x" * 300 + ".png", "a/\udce9.png", ".", "..", "", "a", "a/0.PNG", "__MACOSX/a/0.png",
    "a/link.png", "train/a/0.png", "CON", "a/0.png/b.png",
]  # fmt: skip


def picture(
    form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (9, 7), **how: Any
) -> bytes:
    """A small image, encoded."""
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    image = Image.fromarray(noise, "RGBA").convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 17)
    written = io.BytesIO()
    image.save(written, form, **how)
    return written.getvalue()


@functools.cache
def pictures() -> list[bytes]:
    """One of each kind that is read, and bombs."""
    exif = Image.Exif()
    exif[0x0112] = 6
    found = [
        picture(), picture(mode="P"), picture(mode="RGBA"), picture(mode="I;16"), picture(mode="1"),
        picture("JPEG"), picture("JPEG", "CMYK"), picture("JPEG", progressive=True),
        picture("JPEG", "L", size=(40, 33), exif=exif), picture("TIFF"), picture("TIFF", "I;16"),
        picture("TIFF", compression="tiff_lzw"), picture("WEBP"), picture("WEBP", lossless=True),
        picture("BMP"), picture("GIF", "P"), picture("PPM"), picture("PPM", "I;16"),
    ]  # fmt: skip
    return [*found, huge_png(2**31 - 1, 2**31 - 1), huge_png(60_000, 60_000), huge_png(30_000, 30)]


def huge_png(width: int, height: int, content: bytes = b"\0" * 4000) -> bytes:
    """A PNG that says that it is so large."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(content)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


@st.composite
def pngs(draw: Any) -> bytes:
    """PNGs whose checksums are right and whose chunks are not."""
    parts = [[b"IHDR", struct.pack(">IIBBBBB", *draw(st.tuples(
        st.sampled_from((0, 1, 9, 60_000, 2**31)), st.sampled_from((0, 1, 7, 60_000, 2**31)),
        st.sampled_from((1, 2, 4, 8, 16, 3)), st.integers(0, 7), st.just(0), st.just(0),
        st.integers(0, 2))))]]  # fmt: skip
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(
            st.sampled_from((b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"tEXt", b"zTXt"))
        )
        content = draw(st.sampled_from((b"", bytes(300), b"a\0\0" + zlib.compress(bytes(10**6)))))
        parts.append([kind, draw(damaged([content, zlib.compress(bytes(300))]))])
    parts.append([b"IEND", b""])
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def read_picture(path: Path) -> None:
    """As sources, caches and predictions read it."""
    with path.open("rb") as file:
        why_no_image(file)
    read_header(str(path))
    may_be_turned(str(path))
    read_level_range(str(path))
    read_crops(str(path), [None], size=(16, 16), resize_mode="pad")
    read_crops(str(path), [None, (1, 1, 5, 5)], size=(16, 16), resize_mode="crop")


def read_idx(path: Path) -> None:
    """As Fashion-MNIST's files are read."""
    found = IdxFile(path, 3)
    found.require_whole()
    found.array().sum()


def idx_files() -> st.SearchStrategy[bytes]:
    """Arrays, packed or not, and headers that promise more."""
    whole = struct.pack(">4B3I", 0, 0, 8, 3, 3, 4, 5) + bytes(range(60))
    bombs = [
        struct.pack(">4B3I", 0, 0, 8, 3, *shape) + bytes(60)
        for shape in ((2**32 - 1,) * 3, (2**31, 1, 1), (0, 4, 5), (1, 1, 2**32 - 1))
    ]
    bomb = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 1, 4, 5) + bytes(2**26))
    return damaged([whole, gzip.compress(whole), *bombs, *map(gzip.compress, bombs), bomb])


@st.composite
def zips(draw: Any) -> bytes:
    """Zip files with odd members, and damaged ones."""
    written = io.BytesIO()
    content = st.sampled_from((picture(), b"", b"no image", bytes(2**20)))
    method = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))
    with zipfile.ZipFile(written, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of members of one name
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5)):
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            info.compress_type = method
            info.external_attr = draw(
                st.sampled_from((0, 0, 0o644 << 16, 0o120777 << 16, 2**32 - 1))
            )
            archive.writestr(info, draw(content))
    return draw(damaged([written.getvalue()], most=draw(st.integers(0, 3))))


@st.composite
def tars(draw: Any, names: tuple[str, ...] = tuple(NAMES)) -> bytes:
    """Tar files with odd members, and damaged ones."""
    written = io.BytesIO()
    content = st.sampled_from((picture(), b"", b"no image", b'{"label": 1}', b"1", b"[1]", b"{"))
    packing = draw(st.sampled_from(("", "", "gz", "bz2", "xz")))
    form = draw(st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)))
    kinds = st.sampled_from(
        (b"0",) * 6 + (b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"L", b"x")
    )
    with tarfile.open(fileobj=written, mode=f"w:{packing}", format=form) as archive:
        for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=5)):
            info = tarfile.TarInfo(name)
            data = draw(content)
            info.size, info.type, info.linkname = len(data), draw(kinds), "../../etc/passwd"
            try:
                archive.addfile(info, io.BytesIO(data))
            except (ValueError, UnicodeError):  # a name that this form has no room for
                continue
    return draw(damaged([written.getvalue()], most=draw(st.integers(0, 3))))


def read_archive(folder: Path, content: bytes) -> None:
    """As `data.root=FILE.zip`; nothing is unpacked outside of its folder."""
    path = folder / "in" / "archive.zip"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    source = ImageFolder(root=str(path), unpacked_dir=str(folder / "in" / "unpacked"))
    try:
        source.check()
        source.prepare()
        source.read()
    finally:
        shutil.rmtree(folder / "in")
        assert not list(folder.rglob("out*")), "something was unpacked outside of its folder"


def read_downloaded(path: Path) -> None:
    """As a download is looked through."""
    try:
        check_archive(path)
    except Failure as error:
        raise DataError(f"it is refused: {error}") from None


SHARDS = (
    "0.png", "0.cls", "0.json", "1.png", "1.cls", "1.json", "2.jpg", "2.cls", "d/3.png", "d/3.cls",
    "noext", ".", "../4.png", "../4.cls", "4.seg.png", "5.tar", "x" * 300 + ".png", "6.PNG",
)  # fmt: skip


def read_hub(suffix: str) -> Any:
    """As `data=huggingface`, for files of a suffix."""

    def read(folder: Path, content: bytes) -> None:
        home = folder / "in"
        home.mkdir(exist_ok=True)
        (home / f"train{suffix}").write_bytes(content)
        source = HuggingFace(root=str(home), unpacked_dir=str(home / "unpacked"))
        try:
            source.check()
            source.prepare()
            source.read()
        finally:
            shutil.rmtree(home)
            assert not list(folder.rglob("out*")), "something was unpacked outside of its folder"

    return read


@functools.cache
def tables() -> tuple[list[bytes], list[bytes]]:
    """Parquet and Arrow files: of images, of other columns, with odd notes."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    parquet, arrow = [], []
    image = {"bytes": picture(), "path": "a.png"}
    columns: list[dict[str, list[Any]]] = [
        {"image": [image] * 4, "label": [0, 1, 0, 1]},
        {"image": [image, None, {"bytes": None, "path": "/etc/passwd"}], "label": [0, 1, 2]},
        {"image": [picture(), b"", b"x"], "label": ["a", "b", None]},
        {"image": ["a.png", "b.png"], "label": [2**62, -1]},
        {"image": [[1, 2], [3]], "label": [0.5, float("nan")]},
        {"image": [image] * 2, "label": ["../x", "a/b"]},
        {"image": [image] * 2, "label": [[1], [2]]},
        {"x": [1, 2]},
        {"image": [], "label": []},
    ]
    features: list[Any] = [
        None, {"label": {"_type": "ClassLabel", "names": ["a", "b"]}, "image": {"_type": "Image"}},
        {"label": {"_type": "ClassLabel", "names": [1, None]}}, {"label": 3}, [],
        {"label": {"_type": "ClassLabel", "names": "ab"}}, {"label": {"_type": "ClassLabel"}},
    ]  # fmt: skip
    for content in columns:
        for feature in features:
            table = pa.table(content)
            if feature is not None:
                note = json.dumps({"info": {"features": feature}})
                table = table.replace_schema_metadata({"huggingface": note})
            written = io.BytesIO()
            pq.write_table(table, written)
            parquet.append(written.getvalue())
            for open_writer in (pa.ipc.new_file, pa.ipc.new_stream):
                written = io.BytesIO()
                with open_writer(written, table.schema) as writer:
                    writer.write_table(table)
                arrow.append(written.getvalue())
    return parquet, arrow


def read_saved(folder: Path, content: bytes) -> None:
    """The notes of a folder of `save_to_disk`."""
    (folder / "state.json").write_bytes(content)
    source = HuggingFace(root=str(folder), unpacked_dir=str(folder / "unpacked"))
    try:
        source.check()
    finally:
        shutil.rmtree(folder / "unpacked", ignore_errors=True)


def prepare_saved(folder: Path) -> None:
    """Such a folder."""
    (folder / "data-00000-of-00001.arrow").write_bytes(tables()[1][3])
    (folder / "dataset_info.json").write_text('{"features": {}}')


STATE = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "train"}
HUB = ("pyarrow", "datasets")
TARGETS = [
    Target("images", lambda: damaged(pictures()) | pngs(), at("photo.png", read_picture)),
    Target("idx files", idx_files, at("images.idx", read_idx)),
    Target("zip archives", lambda: zips(), read_archive),
    Target("tar archives", lambda: tars(), read_archive),
    Target("downloaded archives", lambda: zips(), at("download.zip", read_downloaded)),
    Target("webdataset tars", lambda: tars(SHARDS), read_hub(".tar")),
    Target("parquet", lambda: damaged(tables()[0]), read_hub(".parquet"), needs=HUB),
    Target("arrow", lambda: damaged(tables()[1]), read_hub(".arrow"), needs=HUB),
    Target("save_to_disk notes", json_files(STATE), read_saved, prepare_saved, needs=HUB),
]
