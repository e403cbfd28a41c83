import hashlib
import pickle
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torchvision
from PIL import Image

from datamodules.errors import DataError
from datamodules.sources.cifar import CIFAR10, CIFAR100, Cifar
from datamodules.splits.splits import Splits


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """The address of a local server of tmp_path."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def published(tmp_path, monkeypatch, served):
    """Publishes a small archive of the authors' form at a local address; gives its pixels."""

    def publish(variant):
        dataset = getattr(torchvision.datasets, variant)
        names, key = (CIFAR10, "labels") if variant == "CIFAR10" else (CIFAR100, "fine_labels")
        rng = np.random.default_rng(0)
        folder = tmp_path / dataset.base_folder
        folder.mkdir()
        pixels = {}
        for attribute in ("train_list", "test_list"):
            listed = []
            for file, _ in getattr(dataset, attribute):
                labels = [*range(len(names)), 3]
                data = rng.integers(0, 256, (len(labels), 3, 32, 32), dtype=np.uint8)
                pixels.setdefault(attribute[:-5], []).append(data)
                content = pickle.dumps({"data": data.reshape(-1, 3072), key: labels})
                (folder / file).write_bytes(content)
                listed.append([file, hashlib.md5(content).hexdigest()])
            monkeypatch.setattr(dataset, attribute, listed)
        content = pickle.dumps({dataset.meta["key"]: list(names)})
        (folder / dataset.meta["filename"]).write_bytes(content)
        meta = {**dataset.meta, "md5": hashlib.md5(content).hexdigest()}
        archive = tmp_path / "published.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, arcname=dataset.base_folder)
        monkeypatch.setattr(dataset, "meta", meta)
        monkeypatch.setattr(dataset, "url", f"{served}/published.tar.gz")
        monkeypatch.setattr(dataset, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
        return {split: np.concatenate(parts) for split, parts in pixels.items()}

    return publish


@pytest.mark.parametrize(
    ("variant", "names", "train"), [("CIFAR10", CIFAR10, 55), ("CIFAR100", CIFAR100, 101)]
)
def test_downloaded_once_and_read_as_images(published, tmp_path, variant, names, train):
    pixels = published(variant)
    source = Cifar(root=str(tmp_path / "data"), variant=variant)
    assert not source.is_made
    assert source.check() == tuple(sorted(names))
    source.prepare()
    assert source.is_made
    assert [path.name for path in (tmp_path / "data" / variant.lower()).iterdir()].count(
        "archive"
    ) == 0
    index = source.read()
    assert index.class_names == source.check()
    assert len(index.splits["unsplit"]) == train
    assert len(index.splits["test"]) == len(names) + 1
    first = next(i for i in index.splits["unsplit"] if i.path.endswith(f"{names[0]}/00000.png"))
    assert index.class_names[first.label] == names[0]
    assert np.array_equal(np.asarray(Image.open(first.path)).transpose(2, 0, 1), pixels["train"][0])
    # A second call needs no archive.
    (tmp_path / "published.tar.gz").unlink()
    source.prepare()
    assert set(Splits().apply(index).splits) == {"train", "val", "test"}


def test_an_archive_that_was_changed_is_refused(published, tmp_path, monkeypatch):
    published("CIFAR10")
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", "0" * 32)
    source = Cifar(root=str(tmp_path / "data"))
    with pytest.raises(DataError, match=r"CIFAR10 cannot be downloaded from .*corrupted"):
        source.prepare()
    assert not source.is_made


def test_no_network_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    with pytest.raises(DataError, match=r"cannot be downloaded from http://127.0.0.1:9.*try again"):
        Cifar(root=str(tmp_path)).prepare()


def test_unknown_variant(tmp_path):
    with pytest.raises(
        DataError, match="data.source.variant=CIFAR20 does not exist; there are CIFAR10, CIFAR100"
    ):
        Cifar(root=str(tmp_path), variant="CIFAR20")
