"""What a run depends on is recorded, and a change of it refused with its name."""

import json

import pytest
from omegaconf import OmegaConf

from datamodules.sources import Item
from lightning_modules.errors import ConfigError
from lightning_modules.runs import (
    check_before_data,
    dependencies,
    keep_dependencies,
    note_version,
    same_version,
)
from lightning_modules.runs.dependencies import DEPENDS_ON, package_version


@pytest.fixture
def parts(tmp_path):
    """The configuration of a run, its folder and its images."""
    weights, teacher = tmp_path / "w.pth", tmp_path / "teacher" / "model"
    teacher.mkdir(parents=True)
    weights.write_bytes(b"weights")
    (teacher / "weights.safetensors").write_bytes(b"teacher")
    run = tmp_path / "run"
    run.mkdir()
    (run / "teachers.json").write_text(json.dumps({"a": str(teacher.parent), "b": None}))
    content = {
        "resume": None, "model": {"weights": str(weights)}, "from_run": None, "resume_force": False,
        "teacher": {"a": {"model": {}}, "b": {"weights": str(weights)}},
        "cache_dir": str(tmp_path / "cache"),
    }  # fmt: skip
    (tmp_path / "1.png").write_bytes(b"image")
    images = {"train": [Item(str(tmp_path / "1.png"), 0, None, "1.png")]}
    return OmegaConf.create(content), run, images


def change_weights(cfg, folder):
    (folder / "w.pth").write_bytes(b"others")


def remove_weights(cfg, folder):
    (folder / "w.pth").unlink()


def train_the_teacher_anew(cfg, folder):
    (folder / "teacher" / "model" / "weights.safetensors").write_bytes(b"anew")


def replace_an_image(cfg, folder):
    (folder / "1.png").write_bytes(b"other")


CHANGES = [
    (change_weights, "model.weights is another file; teacher.b.weights is another file"),
    (remove_weights, "model.weights is gone; teacher.b.weights is gone"),
    (train_the_teacher_anew, "teacher.a.run is another file"),
    (replace_an_image, r"the train images are others \(1 then, 1 now\)"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_a_change_is_refused_unless_forced(tmp_path, parts, change, said):
    cfg, run, images = parts
    keep_dependencies(cfg, run, images, joined=[])
    before = (run / DEPENDS_ON).read_bytes()
    keep_dependencies(cfg, run, images, joined=[])  # nothing changed
    change(cfg, tmp_path)
    sentence = rf"{run} would not go on as it began: {said}\. Put back .* resume_force=true"
    with pytest.raises(ConfigError, match=sentence):
        keep_dependencies(cfg, run, images, joined=[])
    assert (run / DEPENDS_ON).read_bytes() == before
    if change is not replace_an_image:
        with pytest.raises(ConfigError, match=sentence):
            check_before_data(cfg, run)
    cfg.resume_force = True
    check_before_data(cfg, run)
    keep_dependencies(cfg, run, images, joined=[])
    cfg.resume_force = False
    keep_dependencies(cfg, run, images, joined=[])  # what was accepted is what counts now


def test_images_that_join(parts):
    cfg, run, images = parts
    keep_dependencies(cfg, run, images, joined=["0.png"])
    with pytest.raises(ConfigError, match=r"the unused images are others \(1 then, 2 now\)"):
        keep_dependencies(cfg, run, images, joined=["0.png", "2.png"])
    with pytest.raises(ConfigError, match=r"the test images are others \(0 then, 1 now\)"):
        keep_dependencies(cfg, run, images | {"test": images["train"]}, joined=["0.png"])


def test_another_version(parts, monkeypatch):
    cfg, run, images = parts
    note_version(cfg, run)
    keep_dependencies(cfg, run, images, joined=[])
    assert same_version(run)
    monkeypatch.setattr(dependencies, "package_version", lambda: "9.9")
    said = f"version {package_version()} began it, and this is 9.9"
    with pytest.raises(ConfigError, match=said):
        check_before_data(cfg, run)
    cfg.resume_force = True
    note_version(cfg, run)
    keep_dependencies(cfg, run, images, joined=[])
    assert not same_version(run)  # its saved configuration stays that of another version


def test_a_run_of_an_earlier_version_has_no_record(parts):
    cfg, run, images = parts
    cfg.resume = str(run)
    note_version(cfg, run)
    check_before_data(cfg, run)
    assert not (run / DEPENDS_ON).exists()
    keep_dependencies(cfg, run, images, joined=[])
    assert not same_version(run)
    images["train"].clear()
    with pytest.raises(ConfigError, match=r"the train images are others \(1 then, 0 now\)"):
        keep_dependencies(cfg, run, images, joined=[])


def test_a_damaged_record(parts):
    cfg, run, _ = parts
    for text in ("", "[]", "{"):
        (run / DEPENDS_ON).write_text(text)
        with pytest.raises(ConfigError, match=r"depends_on.json is damaged: remove it"):
            check_before_data(cfg, run)


def test_the_version_is_that_of_the_checkout():
    assert package_version()[0].isdigit()
