import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from datamodules.errors import DataError
from datamodules.sources import ImageFolder, archives
from tests.datamodules.sources.test_image_folder_layouts import content, draw, told

JPEG = content("jpeg")
FILES = {
    f"{split}/{name}/{n}.jpg": JPEG
    for split, count in {"train": 3, "valid": 2}.items()
    for name in ("cat", "dog")
    for n in range(count)
}
RIGHT = "train cat 3, dog 3; val cat 2, dog 2"


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def source(path: Path, **settings) -> ImageFolder:
    return ImageFolder(root=str(path), unpacked_dir=str(path.parent / "unpacked"), **settings)


def read(path: Path, **settings) -> str:
    """What an archive holds: by its names, then unpacked."""
    made = source(path, **settings)
    assert not made.is_made
    names = made.check()
    assert not (path.parent / "unpacked").exists()
    made.prepare()
    assert made.is_made and made.check() == names == made.read().class_names
    return told(path, unpacked_dir=str(path.parent / "unpacked"), **settings)


@pytest.mark.parametrize("wrapping", ["", "photos/", "dataset/", "dataset/dataset/", "./"])
def test_zip_files(tmp_path, wrapping):
    path = zipped(tmp_path / "photos.zip", {wrapping + n: data for n, data in FILES.items()})
    assert read(path).split(" | ")[0] == RIGHT


@pytest.mark.parametrize(
    ("name", "mode"),
    [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.tgz", "w:gz"), ("x.tar.bz2", "w:bz2"),
     ("x.tar.xz", "w:xz"), ("without_a_suffix", "w:gz")],
)  # fmt: skip
def test_tar_files(tmp_path, name, mode):
    path = tarred(tmp_path / name, {f"photos/{n}": data for n, data in FILES.items()}, mode)
    assert read(path).split(" | ")[0] == RIGHT


def test_what_systems_add_is_left_out_and_the_rest_looked_into(tmp_path):
    odd = {"__MACOSX/train/cat/._0.jpg": b"x", "train/cat/.DS_Store": b"x", "README.md": b"hello",
           "train/cat/noname": content("png"), "train/cat/notes": b"text"}  # fmt: skip
    for path in (zipped(tmp_path / "a.zip", FILES | odd), tarred(tmp_path / "b.tar", FILES | odd)):
        found = told(path, unpacked_dir=str(tmp_path / "u"))
        source(path).prepare()
        assert found.startswith("train cat 4, dog 3; val cat 2, dog 2")
        assert told(path, unpacked_dir=str(tmp_path / "unpacked")) == (
            "train cat 4, dog 3; val cat 2, dog 2 | left out 2 of no image format, 1 files in "
            "__MACOSX, 1 hidden files"
        )


def test_items_lie_where_it_is_unpacked_and_are_named_by_the_archive(tmp_path):
    path = zipped(tmp_path / "photos.zip", FILES)
    made = source(path)
    made.prepare()
    items = made.read().splits["train"]
    assert [item.group for item in items[:2]] == ["train/cat/0.jpg", "train/cat/1.jpg"]
    assert all(Path(item.path).read_bytes() == JPEG for item in items)
    os.utime(path, (1, 1))
    assert not source(path).is_made  # another file may hold other images


def test_names_of_other_systems(tmp_path):
    path = zipped(tmp_path / "photos.zip", {"Katzen\\ä.jpg": JPEG, "Hunde\\b.jpg": JPEG})
    assert read(path) == "unsplit Hunde 1, Katzen 1"
    raw = zipped(tmp_path / "mac.zip", {"café/a.jpg": JPEG, "thé/b.jpg": JPEG})
    with zipfile.ZipFile(raw) as archive:  # macOS leaves out the flag that says UTF-8
        flagged = [info.flag_bits for info in archive.infolist()]
    assert flagged == [archives.UTF8, archives.UTF8]
    data = bytearray(raw.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + offset + 1] &= ~8
            at = data.find(signature, at + 4)
    raw.write_bytes(bytes(data))
    assert source(raw).check() == ("café", "thé")


def _refusal(path: Path) -> str:
    with pytest.raises(DataError) as by_names:
        source(path).check()
    with pytest.raises(DataError):
        source(path).prepare()
    assert not list((path.parent).glob("unpacked/*/*"))
    message = str(by_names.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize("name", ["../evil.jpg", "cat/../../evil.jpg", "/evil.jpg", "C:/evil.jpg",
                                  "..\\evil.jpg", "C:\\evil.jpg"])  # fmt: skip
def test_members_that_lead_out_of_the_folder(tmp_path, name):
    path = zipped(tmp_path / "photos.zip", {**FILES, name: JPEG})
    assert "outside of its folder" in _refusal(path)
    if "\\" not in name:
        assert "outside of its folder" in _refusal(
            tarred(tmp_path / "x.tar", {**FILES, name: JPEG})
        )
    assert not [p for p in tmp_path.rglob("*") if "evil" in p.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE,
                                  tarfile.FIFOTYPE])  # fmt: skip
def test_links_and_devices(tmp_path, kind):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("cat/x.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    assert "'cat/x.jpg'" in _refusal(path) and "is a link or device" in _refusal(path)


def test_links_in_zip_files(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("cat/x.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert "is a link or device" in _refusal(path)


def test_encrypted_and_repeated_members(tmp_path):
    path = zipped(tmp_path / "photos.zip", FILES)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.find(b"PK\1\2") + 8] |= 1
    path.write_bytes(bytes(data))
    assert "is encrypted" in _refusal(path)
    twice = tarred(tmp_path / "x.tar", FILES)
    with tarfile.open(twice, "a") as archive:
        archive.addfile(tarfile.TarInfo("train/cat/0.jpg"))
    assert "'train/cat/0.jpg' twice" in _refusal(twice)


def test_archives_made_to_fill_a_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 2**20)
    path = zipped(tmp_path / "photos.zip", {**FILES, "train/cat/big.jpg": bytes(2**22)})
    assert "would unpack to" in _refusal(path)
    path = tarred(tmp_path / "x.tar.gz", {**FILES, "train/cat/big.jpg": bytes(2**22)}, "w:gz")
    assert "would unpack to" in _refusal(path)


def test_more_than_the_disk_has_room_for(tmp_path, monkeypatch):
    path = zipped(tmp_path / "photos.zip", FILES)
    usage = archives.shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match="more than the 0.0 GB that are free"):
        source(path).prepare()
    assert not list(tmp_path.glob("unpacked/*/*"))


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.7, 0.98])
@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_archives_that_are_cut_off(tmp_path, name, keep):
    path = tmp_path / name
    mode = "w:gz" if name.endswith("gz") else "w"
    zipped(path, FILES) if name == "x.zip" else tarred(path, FILES, mode)
    data = path.read_bytes()
    used = len(data) if name != "x.tar" else 11 * 1024
    path.write_bytes(data[: int(keep if isinstance(keep, int) else used * keep)])
    assert "cannot be read as an archive" in _refusal(path)


def test_a_damaged_member_is_found_when_it_is_unpacked(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    data[data.find(JPEG) + 20] ^= 0xFF
    path.write_bytes(bytes(data))
    assert source(path).check() == ("cat", "dog")
    with pytest.raises(DataError, match=r"photos\.zip cannot be read .* Bad CRC-32"):
        source(path).prepare()
    assert not list(tmp_path.glob("unpacked/*/*"))


@pytest.mark.parametrize("data", [b"", b"hello", JPEG, b"Rar!\x1a\x07\0", b"7z\xbc\xaf\x27\x1c"])
def test_files_that_are_no_archives(tmp_path, data):
    path = tmp_path / "photos.rar"
    path.write_bytes(data)
    assert "cannot be read as an archive of images (zip, tar, tar.gz)" in _refusal(path)


def test_an_archive_without_class_folders(tmp_path):
    assert "holds no class folders" in _refusal(zipped(tmp_path / "x.zip", {"a.jpg": JPEG}))


def test_settings_hold_in_archives(tmp_path):
    path = zipped(tmp_path / "x.zip", {**FILES, "old/x.jpg": JPEG})
    found = read(path, exclude=["old"])
    assert found == f"{RIGHT} | left out 1 named by data.source.exclude"


def test_folders_and_archives_agree(tmp_path):
    root = tmp_path / "photos"
    draw(root, "{cat,dog,train}*2 photos/{cat,dog,train}*2 x.jpg cat/y.txt=text cat/z=png")
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root))
    assert read(path).replace(str(path), str(root)) == told(root)
