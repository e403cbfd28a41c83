"""`scripts/predict.py`: the evaluation's predictions, and one sentence for each mistake."""

import csv
import json

import numpy as np
import pytest

from lightning_modules.errors import USER_ERRORS
from scripts import predict
from tests.conftest import needs_extra


def call(*words):
    predict.main([*map(str, words)])


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_are_those_of_the_evaluation(saved, folder, tmp_path, monkeypatch, capsys):
    import torch

    from lightning_modules import deployment
    from lightning_modules.config.composing import config_over
    from lightning_modules.deployment.predictions import PredictionStats
    from lightning_modules.evaluation.predictions import predict as predict_split
    from lightning_modules.networks import load_network
    from lightning_modules.runs.data import make_data

    seen = []
    plain = deployment.summary
    monkeypatch.setattr(
        deployment, "summary", lambda stats, *rest: seen.append(stats) or plain(stats, *rest)
    )
    out = tmp_path / "p.csv"
    call(saved, folder / "val", "--all", "--out", out, "--batch", 256)
    data = make_data(config_over(saved, []))
    data.prepare_data()
    expected_predictions = predict_split(load_network(saved), data.val_dataloader())
    found = rows(out)
    by_file = {row["file"]: row for row in found}
    assert len(found) == len(expected_predictions.labels) == 18
    for item, probabilities in zip(
        data.items("val"), expected_predictions.probabilities, strict=True
    ):
        row = by_file[item.path.split("/val/")[1]]
        assert row["class"] == data.class_names[probabilities.argmax()]
        expected = [f"{value:.6f}" for value in probabilities]  # exactly, as they are written
        assert [row[name] for name in data.class_names] == expected
        assert row["probability"] == f"{probabilities.max():.6f}"
    (stats,) = seen
    assert isinstance(stats, PredictionStats) and stats.images == 18 and not stats.unreadable
    assert 0 < stats.inference_seconds <= stats.seconds and torch.is_tensor(
        expected_predictions.logits
    )
    assert f"classified  18 images of {folder / 'val'}, 0 skipped" in capsys.readouterr().out


def test_a_submission(saved, folder, tmp_path, capsys):
    (folder / "val" / "blue" / "broken.png").write_bytes(b"no image")
    out = tmp_path / "s.json"
    call(saved, folder / "val", "--format", "submission", "--out", out)
    shown = capsys.readouterr().out
    assert "broken.png cannot be decoded (it is not an image of a known format)" in shown
    assert "18 images" in shown and "1 skipped" in shown
    content = json.loads(out.read_text())
    assert list(content) == ["inference", "time", "macs"]
    assert len(content["inference"]) == 18 and "blue/0.png" in content["inference"]
    assert set(content["inference"].values()) <= {"blue", "green", "red"}
    from compression.cost.macs import count_macs
    from lightning_modules.networks import load_network

    assert content["macs"] == count_macs(load_network(saved), [20, 28], "leaderboard2021")
    assert content["time"] > 0 and [p.name for p in tmp_path.glob("*s.json*")] == ["s.json"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "suffix"),
    [
        ("torch_export", "pt2"),
        pytest.param("openvino", "xml", marks=needs_extra("openvino")),
        pytest.param("executorch", "pte", marks=[needs_extra("executorch"), pytest.mark.slow]),
    ],
)
def test_an_exported_file_gives_the_same_classes(
    form, suffix, saved, folder, tmp_path, monkeypatch
):
    from scripts import export

    file = tmp_path / f"network.{suffix}"
    words = [str(saved), f"format={form}", f"out={file}", "images=7"]
    monkeypatch.setattr("scripts.predict.cores", lambda: 1)  # as in the export: see executorch
    export.main(words)
    report = json.loads((tmp_path / f"network.{suffix}.json").read_text())
    assert report["images"] == 7 and report["compared_on"].startswith("validation images of")
    assert report["top1_agreement"] == 1 and report["resize_mode"] == "pad"
    call(saved, folder / "val", "--out", tmp_path / "a.csv")
    call(file, folder / "val", "--out", tmp_path / "b.csv")
    ours, theirs = rows(tmp_path / "a.csv"), rows(tmp_path / "b.csv")
    assert [(r["file"], r["class"]) for r in ours] == [(r["file"], r["class"]) for r in theirs]
    chances = [np.array([float(r["probability"]) for r in some]) for some in (ours, theirs)]
    np.testing.assert_allclose(*chances, atol=2e-6)
    with pytest.raises(USER_ERRORS, match="an exported file has no configuration to change"):
        call(file, folder / "val", "data.resize_mode=crop")


def test_data_that_is_gone_is_said(saved, folder, capsys):
    from lightning_modules.config.composing import config_over
    from lightning_modules.deployment.run_images import validation_images
    from lightning_modules.networks import load_network

    network = load_network(saved)
    images, source = validation_images(saved, config_over(saved, []), network, 4)
    assert images.shape == (4, 3, 20, 28) and source == "validation images of data=image_folder"
    folder.rename(folder.with_name("elsewhere"))
    images, source = validation_images(saved, config_over(saved, []), network, 4)
    assert images.shape == (64, 3, 20, 28) and images.std() > 70
    assert source == "drawn noise images, for the run's data is not there"
    assert f"\nno data     The data folder {folder} " in capsys.readouterr().out


def test_a_folder_that_fills(saved, folder, tmp_path, monkeypatch, capsys):
    def looks(watched):
        yield sorted(str(path) for path in watched.rglob("*.png"))[:2]
        yield []
        (watched / "late.png").write_bytes(b"no image")
        yield [str(watched / "late.png"), str(watched / "red" / "5.png")]
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_modules.deployment.folder_prediction.new_images", looks)
    call(saved, folder / "val", "--watch", "--out", tmp_path / "w.csv")
    assert [row["file"] for row in rows(tmp_path / "w.csv")] == [
        "blue/0.png", "blue/1.png", "red/5.png",
    ]  # fmt: skip
    out = capsys.readouterr().out
    assert "late.png cannot be decoded" in out and "classified  3 images, 1 skipped" in out


def test_one_image_several_and_folders(saved, folder, tmp_path, monkeypatch, capsys):
    from PIL import Image

    every, out = tmp_path / "all.csv", tmp_path / "p.csv"
    call(saved, folder / "val", "--out", every)
    classes = {row["file"]: row["class"] for row in rows(every)}
    call(saved, folder / "val" / "red" / "3.png", "--out", out)
    assert [(r["file"], r["class"]) for r in rows(out)] == [("3.png", classes["red/3.png"])]
    assert f"classified  1 images of {folder / 'val' / 'red'}, 0" in capsys.readouterr().out
    monkeypatch.chdir(folder / "val")
    Image.open(folder / "val" / "red" / "1.png").save(
        folder / "val" / "x=1 (é).webp", lossless=True
    )
    places = ["red/1.png", "x=1 (é).webp", "./green", "blue/../red/1.png", "red/0.png"]
    call(saved, *places, "--out", out)
    greens = [f"green/{n}.png" for n in range(6)]
    assert [row["file"] for row in rows(out)] == ["red/1.png", "x=1 (é).webp", *greens, "red/0.png"]
    assert [r["class"] for r in rows(out) if r["file"] in classes] == [
        classes[r["file"]] for r in rows(out) if r["file"] in classes
    ]
    call(saved, "red/1.png", "green/1.png", "--format", "submission", "--out", tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["inference"] == {
        name: classes[name] for name in ("red/1.png", "green/1.png")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["RUN", "TEXT"], r"notes\.txt cannot be decoded \(it is not an image of a known format\)"),
        (["RUN", "VAL", "ABSENT"], "absent does not exist; name existing ones"),
        (["RUN", "VAL", "VAL", "--watch"], "--watch looks at one folder"),
        (["RUN", "EMPTY"], "has no images"),
        (["RUN", "ABSENT"], "The image folder .* does not exist"),
        (["ABSENT", "VAL"], "does not exist; give a run directory"),
        (["PICKLE", "VAL"], "neither a run directory nor an exported file"),
        (["EMPTY", "VAL"], "not a finished run"),
        (["RUN"], "1 given"),
        (["RUN", "VAL", "--batch", "0"], "--batch 0"),
        (["RUN", "VAL", "--watch", "--format", "submission"], "only --format csv can"),
        (["RUN", "VAL", "data.resize_modes=pad"], "resize_modes"),
        (["BROKEN", "VAL"], "cannot be run by onnxruntime"),
        (["RUN", "UNREADABLE"], "None of the images can be read"),
    ],
)
def test_mistakes(words, says, saved, folder, tmp_path, monkeypatch):
    import pickle

    from hydra.errors import HydraException

    for name in ("empty", "unreadable"):
        (tmp_path / name).mkdir()
    (tmp_path / "network.pth").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "unreadable" / "a.jpg").write_bytes(b"no image")
    places = {
        "RUN": saved, "VAL": folder / "val", "EMPTY": tmp_path / "empty",
        "ABSENT": tmp_path / "absent", "PICKLE": tmp_path / "network.pth",
        "BROKEN": tmp_path / "broken.onnx", "UNREADABLE": tmp_path / "unreadable",
        "TEXT": tmp_path / "notes.txt",
    }  # fmt: skip
    with pytest.raises((*USER_ERRORS, HydraException), match=says):
        call(*(places.get(w, w) for w in words), "--out", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
