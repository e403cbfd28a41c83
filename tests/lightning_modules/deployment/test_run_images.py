"""Networks and exported files are judged on their run's images, or on other ones, by one rule."""

import numpy as np
import pytest
from PIL import Image

from lightning_modules.config.composing import config_over
from lightning_modules.deployment.run_images import (
    labeled_split,
    training_images,
    validation_images,
)
from lightning_modules.errors import USER_ERRORS
from lightning_modules.networks import load_network
from tests.scripts.conftest import saved as saved


@pytest.fixture
def other(tmp_path):
    """Nine red and six blue images of one colour each, without splits."""
    for name, count, colour in (("red", 9, (255, 0, 0)), ("blue", 6, (0, 0, 255))):
        folder = tmp_path / "other" / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (28, 20), colour).save(folder / f"{number}.png")
    return tmp_path / "other"


def by_colour(images):
    """Probabilities of blue, green and red that are right."""
    return images.mean(axis=(2, 3))[:, ::-1].astype(np.float32) / 256 + 1e-3


def test_other_data_is_judged_whole(saved, other, capsys):
    cfg = config_over(saved, ["data=image_folder", f"data.root={other}"])
    network = load_network(saved)
    split, f1 = labeled_split(saved, cfg, network)
    assert split == "all" and f1(by_colour) == 1
    # Of 15 images, all called blue: blue has F1 2 * 6 / (15 + 6), red none.
    assert f1(lambda x: np.tile([[0.8, 0.1, 0.1]], (len(x), 1))) == pytest.approx(12 / 21 / 2)
    assert "all has images of 2 of the network's 3 classes" in capsys.readouterr().out
    images, what = validation_images(saved, cfg, network, 5)
    assert images.shape == (5, 3, 20, 28) and what == "images of data=image_folder"
    calibrated = training_images(saved, cfg, network, 4)
    assert {tuple(image[:, 0, 0]) for image in calibrated} == {(255, 0, 0), (0, 0, 255)}
    (other / "red").rename(other / "rot")
    with pytest.raises(USER_ERRORS, match="but data=image_folder has rot too"):
        labeled_split(saved, cfg, network)


def test_the_runs_own_data(saved):
    network = load_network(saved)
    assert labeled_split(saved, config_over(saved, []), network)[0] == "val"
    images = training_images(saved, config_over(saved, []), network, 40)
    assert images.shape == (36, 3, 20, 28)
