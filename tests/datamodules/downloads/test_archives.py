"""Archives that would do harm, and broken ones, are refused before anything is unpacked."""

import io
import stat
import zipfile
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.downloads import archives
from datamodules.downloads.archives import check_archive, extract_images, files_of
from datamodules.downloads.failure import Failure
from datamodules.errors import DataError
from tests.datamodules.downloads.conftest import image_bytes


def member(name, *, mode=stat.S_IFREG | 0o644):
    info = ZipInfo("placeholder")
    info.filename = name  # the constructor would tidy it
    info.external_attr = mode << 16
    info.create_system = 3
    return info


def write_zip(path, members, *, compression=zipfile.ZIP_STORED):
    with ZipFile(path, "w", compression) as archive:
        for info, content in members:
            archive.writestr(info, content, compress_type=compression)
    return path


def refusal(path):
    with pytest.raises(Failure) as failure:
        check_archive(path)
    return failure.value


def test_clutter_is_left_out(tmp_path):
    names = ["d/a.jpg", "d/.DS_Store", "__MACOSX/d/._a.jpg", "d/._b.jpg", "d/b.jpg"]
    path = write_zip(tmp_path / "a.zip", [(member(name), b"x") for name in names])
    check_archive(path)
    with ZipFile(path) as archive:
        assert list(files_of(archive)) == ["d/a.jpg", "d/b.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        "../a.jpg", "d/../../a.jpg", "/etc/a.jpg", "d/..", "..\\a.jpg", "C:\\a.jpg", "C:a.jpg",
        "\\\\host\\share\\a.jpg", "__MACOSX/../../a.jpg", ".hidden/../../a.jpg",
    ],
)  # fmt: skip
def test_members_that_leave_the_folder(tmp_path, name):
    path = write_zip(tmp_path / "a.zip", [(member("d/a.jpg"), b"x"), (member(name), b"x")])
    failure = refusal(path)
    assert "would leave the folder" in str(failure) and failure.permanent


@given(st.text(alphabet="ab./\\:", min_size=1, max_size=12))
def test_no_name_leaves_the_folder(name):
    """A second, independent reading of names: where the file system would put them."""
    out = io.BytesIO()
    with ZipFile(out, "w") as archive:
        archive.writestr(member(name), b"x")
    with ZipFile(out) as archive:
        try:
            accepted = list(files_of(archive))
        except Failure:
            return
        for kept in accepted:
            assert (Path("/root/folder") / kept).resolve().is_relative_to("/root/folder")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices(tmp_path, kind):
    link = member("d/link.jpg", mode=kind | 0o777)
    failure = refusal(write_zip(tmp_path / "a.zip", [(link, b"/etc/passwd")]))
    assert "'d/link.jpg' is a link or device" in str(failure) and failure.permanent


def test_bombs(tmp_path, monkeypatch):
    zeros = bytes(10 * 2**20)
    path = tmp_path / "a.zip"
    write_zip(path, [(member("d/a.jpg"), zeros)], compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    assert "would unpack to 10,485,760" in str(refusal(path))
    write_zip(path, [(member("d/a.jpg"), zeros)])
    check_archive(path)
    monkeypatch.setattr(archives, "MAX_BYTES", 9 * 2**20)
    assert "would unpack to 10,485,760" in str(refusal(path))
    write_zip(path, [(member(f"d/{n}.jpg"), b"x") for n in range(30)])
    monkeypatch.setattr(archives, "MAX_MEMBERS", 29)
    assert "it holds more than 29 files" in str(refusal(path))


def test_sizes_that_the_headers_hide(tmp_path):
    """The directory says 10 bytes where 10 MB come: no more than said are read, and none kept."""
    path = tmp_path / "a.zip"
    write_zip(path, [(member("d/a.jpg"), bytes(10 * 2**20))], compression=zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    size = (10 * 2**20).to_bytes(4, "little")
    path.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    assert "is damaged" in str(refusal(path)) or "no whole zip" in str(refusal(path))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice(tmp_path):
    path = write_zip(tmp_path / "a.zip", [(member("d/a.jpg"), b"x"), (member("d/a.jpg"), b"y")])
    assert "it holds a member twice" in str(refusal(path))


def test_passwords_and_other_compressions(tmp_path):
    path = write_zip(tmp_path / "a.zip", [(member("d/a.jpg"), b"x")], compression=zipfile.ZIP_BZIP2)
    assert "'d/a.jpg' cannot be unpacked" in str(refusal(path))
    write_zip(path, [(member("d/a.jpg"), b"x")])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the directory's flag of encryption
    path.write_bytes(content)
    assert "'d/a.jpg' cannot be unpacked" in str(refusal(path))


def test_truncated_and_damaged_archives(tmp_path):
    path = write_zip(tmp_path / "a.zip", [(member("d/a.jpg"), image_bytes())])
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        failure = refusal(path)
        assert "it is no whole zip archive" in str(failure) and not failure.permanent
    damaged = bytearray(content)
    damaged[500] ^= 1
    path.write_bytes(damaged)
    assert "'d/a.jpg' is damaged" in str(refusal(path))


def test_images_are_unpacked_whole_or_not_at_all(tmp_path):
    good = image_bytes()
    members = [(member("d/good.jpg"), good), (member("d/bad.jpg"), good[:-300])]
    path = write_zip(tmp_path / "a.zip", members)
    with ZipFile(path) as archive:
        files = files_of(archive)
        with pytest.raises(DataError, match=r"The image d/bad.jpg of .*a.zip cannot be used: it c"):
            list(extract_images(archive, files, tmp_path / "out"))
        assert [p.name for p in (tmp_path / "out").rglob("*.*")] == ["good.jpg"]
        done = list(extract_images(archive, {"x/y.jpg": files["d/good.jpg"]}, tmp_path / "out"))
    assert done == [tmp_path / "out" / "x" / "y.jpg"] and done[0].read_bytes() == good
