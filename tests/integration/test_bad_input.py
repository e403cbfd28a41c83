"""Each kind of mistake, typed by a user: one sentence, exit code 1, nothing left behind."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import draw_folder, run_command


def refused(*words, homes):
    """Runs a command that must be refused; returns its sentence."""
    done = run_command(*words, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return sentence_of(done.stdout, done.stderr.splitlines(), homes)


def refused_before_torch(*words, homes, monkeypatch):
    """The same of a command that must not even import torch."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # Python lists its imports on stderr
    done = run_command(*words, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    listed = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert "omegaconf" in {line.split()[-1] for line in listed}
    assert "torch" not in {line.split()[-1] for line in listed}
    said = [line for line in done.stderr.splitlines() if line not in listed]
    return sentence_of(done.stdout, said, homes)


def sentence_of(stdout, said, homes):
    """The only sentence on stderr, its last line; nothing is left behind."""
    assert "Traceback" not in stdout + "\n".join(said)
    lines = [line for line in said if line.startswith("error: ")]
    assert len(lines) == 1, said
    assert said[-1] == lines[0]
    for left in ("model", "metrics.json", "last_started", "last_finished"):
        assert not list((homes / "outputs").rglob(left)), left
    return lines[0]


def prepare(kind, tmp_path):
    """Makes the data of one kind of mistake; returns the words to type."""
    root = tmp_path / "photos"
    if kind == "empty":
        root.mkdir()
    if kind in ("class_without_images", "other_classes", "weights", "ddp"):
        draw_folder(root)
    if kind == "class_without_images":
        shutil.rmtree(root / "val" / "red")
        (root / "val" / "red").mkdir()
    if kind == "other_classes":
        (root / "val" / "red").rename(root / "val" / "rot")
    return ["data=image_folder", f"data.root={root}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words", "sentence"),
    [
        (
            "missing",
            [],
            "photos does not exist: set data.root to a folder with root/[train/]",
        ),
        ("empty", [], "photos holds no class folders: it should look like"),
        ("class_without_images", [], "val/red has no images"),
        ("other_classes", [], "different classes (only in train: red; only in val: rot)"),
        ("weights", ["model.weights=/nowhere.pth"], "/nowhere.pth: there is no such file"),
        ("weights", ["model=resnett"], "There is no model=resnett; there are: alexnet,"),
        ("weights", ["model=resnet", "model.variant=resnet19"], "did you mean resnet18?"),
        ("weights", ["trainer.max_epoch=3"], "no key trainer.max_epoch; did you mean max_epochs?"),
        ("weights", ["from_run=last", "+compression=tucker"], "'last' names no run"),
        ("ddp", ["-m", "seed=0,1", "trainer.strategy=ddp"], "cannot run inside a sweep"),
    ],
)
def test_what_the_configuration_shows(homes, tmp_path, monkeypatch, kind, words, sentence):
    typed = ["run.py", *prepare(kind, tmp_path), *words]
    found = refused_before_torch(*typed, homes=homes, monkeypatch=monkeypatch)
    assert sentence in found
    assert not list((homes / "outputs").rglob("*")) if (homes / "outputs").exists() else True


SLOW = pytest.mark.slow  # each of them builds a network


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(
            ["model=timm", "model.name=resnet50x"],
            "timm has no network 'resnet50x'; did you mean",
            marks=SLOW,
        ),
        pytest.param(
            ["model=vit", "data.image_size=72"],
            "vit_b_16 takes square images with sides that are",
            marks=SLOW,
        ),
        pytest.param(
            ["model=inception", "model.input_size=null"],
            "inception_v3: The network cannot take",
            marks=SLOW,
        ),
        pytest.param(
            ["loss=arcface", "model=squeezenet"],
            "squeezenet1_1 ends in classifier.3 (AdaptiveAvg",
            marks=SLOW,
        ),
        pytest.param(
            ["auxiliary=classifiers", "auxiliary.classifiers.at={features.stage7: 1}"],
            "auxiliary.classifiers.at=features.stage7: The network has no module",
            marks=SLOW,
        ),
        pytest.param(
            ["optimizer.lr_factors={body.outptu:2}"],
            "'body.outptu'; the nearest names are body.out",
            marks=SLOW,
        ),
        pytest.param(
            ["callbacks=freeze", "callbacks.freeze.patterns=[body.featurs]"],
            "are body.features",
            marks=SLOW,
        ),
        pytest.param(
            ["+compression=[tucker,svd]", "compression.svd.ratio=1"],
            "compression.svd, after tucker: svd by ratio 1 changes no layer of this network",
            marks=SLOW,
        ),
        pytest.param(
            ["+compression=prune", "compression.prune.target.params=0.001"],
            "compression.prune: target.params=0.001 cannot be reached",
            marks=SLOW,
        ),
        pytest.param(
            ["score.split=test"],
            "score.split=test needs data with a labelled test split",
            marks=SLOW,
        ),
    ],
)
def test_what_only_the_libraries_know(homes, tmp_path, words, sentence):
    draw_folder(tmp_path / "photos")
    typed = ["run.py", "data=image_folder", f"data.root={tmp_path / 'photos'}", *words]
    found = refused(*typed, homes=homes)
    assert sentence in found
    cached = [path for path in (homes / "cache").rglob("*") if path.is_file()]
    assert not cached or "score" in words[0], "images were read before the network was checked"
    assert not list((homes / "outputs").rglob("*"))


COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 40}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 30, 30]}],
    "categories": [{"id": 1, "name": "Clear plastic bottle"}],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "Get TACO with `python scripts/download.py taco root="),
        ("{not json", "JSON"),
        (json.dumps({"images": []}), "annotations"),
        (
            json.dumps({**COCO, "images": [{**COCO["images"][0], "file_name": "../a.jpg"}]}),
            "../a.jpg",
        ),
    ],
)
def test_annotation_files(homes, tmp_path, monkeypatch, content, sentence):
    root = tmp_path / "taco"
    root.mkdir()
    if content is not None:
        (root / "annotations.json").write_text(content)
    typed = ["run.py", "data=taco", f"data.root={root}"]
    assert sentence in refused_before_torch(*typed, homes=homes, monkeypatch=monkeypatch)


@pytest.mark.slow
def test_weights_of_another_shape_name_the_keys(homes, folder):
    torch.save({"features.init_block.conv.weight": torch.zeros(8, 3, 3, 3)}, homes / "w.pth")
    found = refused(
        "run.py", "data=image_folder", f"data.root={folder}", f"model.weights={homes}/w.pth",
        homes=homes,
    )  # fmt: skip
    assert "features.init_block.conv.weight 8x3x3x3 there and 6x3x3x3 here" in found
    assert not list((homes / "outputs").glob("*/*"))


def truncated(folder):
    """Breaks an image; the words of a run that reads it."""
    victim = folder / "train" / "red" / "3.png"
    victim.write_bytes(victim.read_bytes()[:200])
    return ["run.py", "data=image_folder", f"data.root={folder}", "debug=fast", "logger=none",
            "latency.backend=null", "data.image_size=32"]  # fmt: skip


def test_a_truncated_image_is_named(homes, folder):
    found = refused(*truncated(folder), homes=homes)
    assert "train/red/3.png" in found


@pytest.mark.slow
def test_a_truncated_image_is_skipped_on_demand(homes, folder):
    words = truncated(folder)
    done = run_command(*words, "data.max_bad_images=1")
    assert "train/red/3.png" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_loss_that_is_no_number(homes, folder):
    words = ["data=image_folder", f"data.root={folder}", "data.image_size=32", "data.batch_size=6"]
    done = run_command(
        "run.py", *words, "optimizer=sgd", "optimizer.lr=1e30", "logger=none", check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    sentence = done.stderr.splitlines()[-1]
    assert "The loss became" in sentence
    assert "00_train, epoch" in sentence
    assert "learning rate" in sentence
    assert not list((homes / "outputs").rglob("metrics.json"))


@pytest.mark.parametrize("kind", ["no_model", "tampered", "not_a_folder"])
def test_run_directories(homes, folder, kind):
    from lightning_modules.networks import build_network, save_network

    run = homes / "run"
    run.mkdir()
    if kind == "tampered":
        model = {"name": "m", "_target_": "lightning_modules.networks.shufflenet_v1.ShuffleNetV1"}
        network = build_network({**model, "width": 0.25}, num_classes=3, image_size=32)
        network.class_names = ("blue", "green", "red")
        save_network(network, run)
        (run / ".hydra").mkdir()
        composed = run_command("run.py", "--cfg", "job", f"data.root={folder}").stdout
        (run / ".hydra" / "config.yaml").write_text(composed)
        weights = run / "model" / "weights.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    name = str(run) if kind != "not_a_folder" else str(homes / "nowhere")
    found = refused(
        "scripts/evaluate.py", name, "data=image_folder", f"data.root={folder}", homes=homes
    )
    expected = {
        "no_model": "is not a finished run: it has no model/network.yaml",
        "tampered": "weights.safetensors was changed",
        "not_a_folder": "does not exist",
    }
    assert expected[kind] in found


@pytest.mark.slow
def test_an_older_folder_of_the_user_is_never_removed(homes, folder):
    mine = homes / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep")
    bad = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    bad.save(folder / "train" / "red" / "x.png")
    (folder / "train" / "red" / "x.png").write_bytes(b"no image")
    refused(
        "run.py", "data=image_folder", f"data.root={folder}", f"hydra.run.dir={mine}",
        "logger=none", homes=homes,
    )  # fmt: skip
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]
