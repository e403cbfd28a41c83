"""TrashNet from a local server: the archive continued, unpacked whole, repaired."""

import io
import shutil
import zipfile
from zipfile import ZipFile

import pytest

from datamodules.downloads import trashnet
from datamodules.downloads.trashnet import PUBLISHED, download_trashnet
from datamodules.errors import DataError
from datamodules.sources.image_folder import IMAGE_SUFFIXES
from tests.datamodules.downloads.conftest import image_bytes
from tests.file_server import Reply

CLASSES = {"glass": 4, "metal": 3, "paper": 5}


def zipped(members) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def members_of(classes=CLASSES):
    """As the official archive: images in class folders, and what macOS adds."""
    members = {"dataset-resized/": b"", "dataset-resized/.DS_Store": b"x" * 60}
    for name, count in classes.items():
        for number in range(1, count + 1):
            file = f"{name}/{name}{number}.jpg"
            members[f"dataset-resized/{file}"] = image_bytes((64, 48), seed=len(members))
            members[f"__MACOSX/dataset-resized/{file.replace('/', '/._')}"] = b"Mac OS X"
    return members


@pytest.fixture
def served(server):
    return server.add("/dataset-resized.zip", zipped(members_of()))


def tree(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def expected_tree():
    return {
        name.removeprefix("dataset-resized/"): content
        for name, content in members_of().items()
        if name.startswith("dataset-resized/") and name.endswith(".jpg")
    }


def test_download_continue_and_unpack(server, served, tmp_path, limits):
    server.replies["/dataset-resized.zip"] = [Reply(drop_after=9_000), Reply(drop_after=7_000)]
    report = download_trashnet(tmp_path, url=served, limits=limits())
    assert (report.total, report.fetched, report.missing) == (12, 12, {})
    assert report.root == tmp_path / "dataset-resized"
    assert tree(report.root) == expected_tree()
    assert [request.range for request in server.log] == [None, "bytes=9000-", "bytes=16000-"]
    left = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")}
    assert left == {"dataset-resized", "dataset-resized.zip"}


def test_a_second_call_fetches_nothing_and_repairs(server, served, tmp_path, limits):
    root = download_trashnet(tmp_path, url=served, limits=limits()).root
    (root / "mine").mkdir()
    (root / "mine" / "a.jpg").write_bytes(b"kept")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.jpg")}
    assert download_trashnet(tmp_path, url=served, limits=limits()).fetched == 0
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.jpg")} == before
    shutil.rmtree(root / "metal")
    (root / "glass" / "glass1.jpg").write_bytes(b"half")
    assert download_trashnet(tmp_path, url=served, limits=limits()).fetched == 4
    changed = bytearray((root / "paper" / "paper2.jpg").read_bytes())
    changed[-50] ^= 255
    (root / "paper" / "paper2.jpg").write_bytes(changed)
    assert download_trashnet(tmp_path, url=served, limits=limits()).fetched == 0
    assert download_trashnet(tmp_path, url=served, verify=True, limits=limits()).fetched == 1
    assert tree(root) == {**expected_tree(), "mine/a.jpg": b"kept"}
    assert len(server.log) == 1


def test_a_damaged_archive_is_fetched_anew(server, served, tmp_path, limits):
    (tmp_path / "dataset-resized.zip").write_bytes(server.files["/dataset-resized.zip"][:-9])
    server.replies["/dataset-resized.zip"] = [Reply(body=b"<html>"), Reply(body=b"PK\x03\x04")]
    report = download_trashnet(tmp_path, url=served, limits=limits())
    assert tree(report.root) == expected_tree() and len(server.log) == 3


@pytest.mark.parametrize(
    ("change", "said", "requests"),
    [
        ({"../evil.jpg": b"x"}, "would leave the folder", 1),
        ({"dataset-resized/glass/../../../evil.jpg": b"x"}, "would leave the folder", 1),
        ({"dataset-resized/glass/a.exe": b"x"}, "is not dataset-resized/<class>/<image>", 1),
        ({"elsewhere/glass/a.jpg": b"x"}, "is not dataset-resized/<class>/<image>", 1),
        ({"dataset-resized/a.jpg": b"x"}, "is not dataset-resized/<class>/<image>", 1),
        ({"dataset-resized/glass/a.jpg": bytes(30 * 2**20)}, "would unpack to", 1),
        ({"dataset-resized/glass/a.jpg": b"<html>"}, "glass/a.jpg of .* is a web page", 1),
        (None, "it holds no images", 1),
        (b"not a zip", "it is no whole zip archive", 3),
    ],
)
def test_archives_that_are_refused(server, tmp_path, limits, change, said, requests):
    content = change if isinstance(change, bytes) else zipped({**members_of(), **(change or {})})
    if change is None:
        content = zipped({"dataset-resized/.DS_Store": b"x"})
    root = tmp_path / "deep" / "root"
    with pytest.raises(DataError, match=said):
        download_trashnet(root, url=server.add("/a.zip", content), limits=limits())
    assert len(server.log) == requests
    assert not (root / "dataset-resized").exists()
    assert not [p for p in tmp_path.rglob("*") if "evil" in p.name or p.name.endswith(".part")]


def test_the_published_counts_are_those_of_the_paper():
    assert sum(PUBLISHED.values()) == 2527 and len(PUBLISHED) == 6
    assert ".jpg" in IMAGE_SUFFIXES


@pytest.mark.parametrize("lost", [0, 1])
def test_the_official_archive_has_them_all(server, tmp_path, limits, monkeypatch, lost):
    members = members_of({**CLASSES, "glass": CLASSES["glass"] - lost})
    url = server.add("/official.zip", zipped(members))
    monkeypatch.setattr(trashnet, "URL", url)
    monkeypatch.setattr(trashnet, "PUBLISHED", CLASSES)
    if not lost:
        assert download_trashnet(tmp_path, url=url, limits=limits()).total == 12
        return
    with pytest.raises(DataError, match="holds 3 glass, 3 metal, 5 paper; TrashNet has 12 images"):
        download_trashnet(tmp_path, url=url, limits=limits())
    assert not (tmp_path / "dataset-resized").exists()


def test_a_place_that_cannot_be_written(served, tmp_path, limits):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/root cannot be written \(Not a directory\)"):
        download_trashnet(tmp_path / "file" / "root", url=served, limits=limits())


def test_no_archive(server, tmp_path, limits):
    with pytest.raises(DataError, match=r"dataset-resized.zip could not be had .* 404 Not Found"):
        download_trashnet(tmp_path, url=server.url("/none"), limits=limits())
    assert "404 Not Found" in (tmp_path / "missing.csv").read_text()
