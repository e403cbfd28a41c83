"""`scripts/evaluate.py`: a saved network on the images of its run, and on any others."""

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.errors import USER_ERRORS
from lightning_modules.runs import kept_splits, make_data, saved_config
from scripts import evaluate
from tests.conftest import run_command


def rows_of(printed):
    """(run, split) -> its numbers, from the first table."""
    cells = [[c.strip() for c in re.split("[│|]", line)[1:-1]] for line in printed.splitlines()]
    return {(row[0], row[1]): row[2:] for row in cells if len(row) == 7}


@pytest.fixture
def other(tmp_path):
    """21 red and blue images in class folders, none of them green; some are taken for green."""
    rng = np.random.default_rng(1)
    for name, count in {"red": 12, "blue": 9}.items():
        folder = tmp_path / "other" / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(
                folder / f"{number}.png"
            )
    return tmp_path / "other"


def test_the_runs_own_splits(saved, capsys):
    evaluate.main([str(saved)])
    found = rows_of(capsys.readouterr().out)
    assert [key[1] for key in found] == ["val"] and found[str(saved), "val"][0] == "18"
    evaluate.main([str(saved), "split=train,val"])
    found = rows_of(capsys.readouterr().out)
    assert {key[1]: row[0] for key, row in found.items()} == {"train": "36", "val": "18"}
    with pytest.raises(USER_ERRORS, match=r"there are, with their images: train \(36\), val"):
        evaluate.main([str(saved), "split=test"])
    with pytest.raises(USER_ERRORS, match="split=1 names no splits"):
        evaluate.main([str(saved), "split=1"])


def test_images_of_another_size(saved, capsys):
    evaluate.main([str(saved), "data.image_size=24"])
    assert rows_of(capsys.readouterr().out)[str(saved), "val"][0] == "18"


def test_other_data_is_measured_whole_on_the_classes_it_has(saved, other, monkeypatch):
    # A network that says green, blue, red, red, red, ... in turn.
    said = torch.tensor([1, 0, 2, 2, 2, 1, 0, 2, 2, 2] * 10)

    def predict(network, batches, **_):
        from lightning_modules.evaluation import Predictions

        labels = torch.cat([labels for _, labels in batches])
        return Predictions(torch.nn.functional.one_hot(said[: len(labels)], 3) * 5.0, labels)

    monkeypatch.setattr("lightning_modules.evaluation.predict", predict)
    (split,) = evaluate.evaluate_run(str(saved), ["data=image_folder", f"data.root={other}"])
    assert split.name == "all"
    # Blue comes first: 9 images, said[0:9] has blue twice; red: said[9:21] has red 7 times.
    assert [(row.name, row.support, row.recall) for row in split.classes] == [
        ("blue", 9, pytest.approx(2 / 9)),
        ("red", 12, pytest.approx(7 / 12)),
    ]
    blue, red = 2 * 2 / (9 + 4), 2 * 7 / (12 + 12)
    assert split.metrics["f1"] == pytest.approx((blue + red) / 2)
    assert split.metrics["accuracy"] == pytest.approx(9 / 21)


def test_an_unknown_class_is_refused(saved, other, capsys):
    (other / "red").rename(other / "violet")
    with pytest.raises(USER_ERRORS, match="knows the classes blue, green, red, .* has violet too"):
        evaluate.main([str(saved), "data=image_folder", f"data.root={other}"])
    assert not capsys.readouterr().out


@pytest.mark.slow
def test_from_elsewhere_without_the_cache_after_images_joined(
    saved, homes, folder, compose_config, tmp_path
):
    """No image that was trained on is evaluated: 15 of 36 were."""
    from omegaconf import OmegaConf

    photos = tmp_path / "flat"
    shutil.copytree(folder / "train", photos)
    cfg = compose_config("data=image_folder", f"data.root={photos}", "data.image_size=[20,28]")
    cfg.model = saved_config(saved).model
    OmegaConf.save(cfg, saved / ".hydra" / "config.yaml")
    from lightning_modules.runs import RunSplits

    index = make_data(cfg, RunSplits(cfg, saved)).index
    for number in range(100, 112):
        for name in ("blue", "green", "red"):
            shutil.copy(folder / "val" / name / "0.png", photos / name / f"{number}.png")
    shutil.rmtree(homes / "cache")
    again = kept_splits(cfg, saved).apply(make_data(cfg).source.read())
    assert again.splits["val"] == index.splits["val"] and len(again.new) == 36
    done = run_command("scripts/evaluate.py", str(saved))
    found = rows_of(done.stdout)
    assert {key[1]: row[0] for key, row in found.items()} == {"val": "6", "test": "6"}
    assert f"36 images joined since {saved} and are left out (first: blue/100.png" in done.stdout
    assert "trained on" not in done.stdout
