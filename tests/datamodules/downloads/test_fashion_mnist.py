"""Fashion-MNIST from a local server: its four files continued, checked and kept."""

import hashlib

import pytest

from datamodules.downloads import fashion_mnist
from datamodules.downloads.fashion_mnist import MD5, URL, download_fashion_mnist
from datamodules.errors import DataError
from tests.file_server import Reply

CONTENT = {name: name.encode() * 9_000 for name in MD5}


@pytest.fixture
def served(server, monkeypatch):
    """The address of a folder with four files, whose checksums count as the published ones."""
    published = {name: hashlib.md5(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(fashion_mnist, "MD5", published)
    for name, content in CONTENT.items():
        server.add(f"/files/{name}", content)
    return server.url("/files")


def there(root):
    return {path.name: path.read_bytes() for path in root.iterdir() if path.suffix != ".lock"}


def test_download_continue_and_repair(server, served, tmp_path, limits):
    name = "train-images-idx3-ubyte.gz"
    server.replies[f"/files/{name}"] = [Reply(drop_after=9_000)]
    report = download_fashion_mnist(tmp_path, url=served, limits=limits())
    assert (report.total, report.fetched, report.missing, report.what) == (4, 4, {}, "files")
    assert there(tmp_path) == CONTENT
    assert [r.range for r in server.of(f"/files/{name}")] == [None, "bytes=9000-"]
    server.log.clear()
    assert download_fashion_mnist(tmp_path, url=f"{served}/", limits=limits()).fetched == 0
    (tmp_path / name).write_bytes(b"half")
    assert download_fashion_mnist(tmp_path, url=served, limits=limits()).fetched == 0
    assert not server.log
    report = download_fashion_mnist(tmp_path, url=served, verify=True, limits=limits())
    assert report.fetched == 1 and there(tmp_path) == CONTENT


def test_a_file_of_other_content_is_not_taken(server, served, tmp_path, limits):
    name = "t10k-labels-idx1-ubyte.gz"
    server.replies[f"/files/{name}"] = [Reply(body=b"<html>")] * 3
    report = download_fashion_mnist(tmp_path, url=served, limits=limits())
    (reason,) = report.missing.values()
    assert reason.startswith("its checksum is ") and MD5[name] not in reason
    assert name not in there(tmp_path) and len(server.of(f"/files/{name}")) == 3
    assert reason in (tmp_path / "missing.csv").read_text()


def test_a_place_that_cannot_be_written(served, tmp_path, limits):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/root cannot be written \(Not a directory\)"):
        download_fashion_mnist(tmp_path / "file" / "root", url=served, limits=limits())


def test_the_address_and_checksums_are_those_that_torchvision_knows():
    import torchvision

    dataset = torchvision.datasets.FashionMNIST
    assert dataset.mirrors == [URL] and dict(dataset.resources) == MD5
