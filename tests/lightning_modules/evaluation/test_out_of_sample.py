"""Predictions for images that a run was not trained on, gathered over runs."""

import shutil

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from lightning_modules.errors import ConfigError
from lightning_modules.evaluation import out_of_sample_predictions
from lightning_modules.networks import build_network, save_network
from lightning_modules.registry import build
from lightning_modules.runs import find_records, make_splits

BLOCKS = {
    "b1": [1, "Conv", [8, 3, 2]],
    "b2": [1, "GlobalAvgPool", []],
    "b3": [1, "FixedConv", ["num_classes", 1, 1, None, 1, None]],
}


@pytest.fixture
def leave_run(homes, folder, compose_config):
    """Leaves a finished run of random weights, and gives it and its network."""

    def left(name, *overrides, seed=0, classes=("blue", "green", "red")):
        words = ["data=image_folder", f"data.root={folder}", "data.image_size=24", *overrides]
        cfg = compose_config(*words, "model=blocks/diet_found")
        cfg.model.blocks = BLOCKS
        torch.manual_seed(seed)
        network = build_network(cfg.model, num_classes=3, image_size=[24, 24]).eval()
        network.class_names = classes
        run = homes / "study" / name
        save_network(network, run)
        (run / ".hydra").mkdir()
        OmegaConf.save(cfg, run / ".hydra" / "config.yaml")
        (run / "metrics.json").write_text('{"val/f1": 0.5}')
        splits = make_splits(cfg, record=run / "splits.csv")
        splits.apply(build(cfg.data.source).read(), write=True)
        return network

    return left


def records(homes, *names):
    return find_records([str(homes / "study" / name) for name in names])


def probabilities(network, item):
    pixels = torch.from_numpy(np.array(Image.open(item.path))).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return network(pixels).double().softmax(1)[0].numpy()


def test_folds_cover_every_image_by_the_run_that_never_saw_it(homes, leave_run):
    folds = [f"data.fold={n}" for n in range(3)]
    networks = [leave_run(str(n), fold, "data.num_folds=3", seed=n) for n, fold in enumerate(folds)]
    found = out_of_sample_predictions(records(homes, "0", "1", "2"))
    assert found.notes == ()
    assert len({item.group for item in found.items}) == len(found.items) == 54
    by_fold = np.array([[probabilities(n, item) for n in networks] for item in found.items])
    of_run = np.abs(by_fold - found.probabilities[:, None]).max(2).argmin(1)
    assert np.bincount(of_run).tolist() == [18, 18, 18]
    nearest = by_fold[np.arange(54), of_run]
    assert np.abs(nearest - found.probabilities).max() < 1e-5
    one = out_of_sample_predictions(records(homes, "1"))
    assert {item.group for item in one.items} == {
        item.group for item, run in zip(found.items, of_run, strict=True) if run == 1
    }
    assert one.notes == (
        "36 of 54 images were trained on by each of these runs, so their labels are not checked; "
        "the trials of run.py -m data.fold=0,1,2,3,4 data.num_folds=5 together leave none.",
    )


def test_runs_that_did_not_see_an_image_are_averaged(homes, leave_run, folder):
    shutil.copytree(folder / "val", folder / "test")
    networks = [leave_run(str(n), seed=n) for n in range(2)]
    found = out_of_sample_predictions(records(homes, "0", "1"))
    assert {item.group.split("/")[0] for item in found.items} == {"val", "test"}
    assert len(found.items) == 36 and "36 of 72 images were trained on" in found.notes[0]
    for item, row in list(zip(found.items, found.probabilities, strict=True))[::7]:
        wanted = np.mean([probabilities(network, item) for network in networks], axis=0)
        assert np.abs(row - wanted).max() < 1e-5


def test_images_that_were_trained_on_do_not_count(homes, leave_run):
    """Of a run on everything, and of one that started from another fold's network."""
    leave_run("all", "data.train_on_all=true")
    with pytest.raises(ConfigError, match="None of the 1 runs has images that it was not trained"):
        out_of_sample_predictions(records(homes, "all"))
    folds = ["data.fold=0", "data.num_folds=3"]
    leave_run("0", *folds)
    start = f"from_run={homes / 'study' / '0'}"
    leave_run("same", *folds, start)
    leave_run("other", "data.fold=1", "data.num_folds=3", start)
    leave_run("lost", "data.fold=1", "data.num_folds=3", "from_run=/nowhere/run")
    assert len(out_of_sample_predictions(records(homes, "same")).items) == 18
    with pytest.raises(ConfigError, match="None of the 1 runs has images"):
        out_of_sample_predictions(records(homes, "other"))
    found = out_of_sample_predictions(records(homes, "same", "other", "lost"))
    assert len(found.items) == 18
    assert found.notes[0].endswith(
        "lost is left out: it started from /nowhere/run, and nothing says what that was trained on."
    )


def test_a_record_and_no_new_split_says_what_was_trained_on(homes, leave_run, folder):
    """Images that joined since, or a memory that is gone, make no image new to a run."""
    for split in ("train", "val"):
        (folder / split).rename(folder / f"of_{split}")
    flat = folder.with_name("flat")
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        (flat / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(flat / path.parent.name / f"{number:02d}.png")
    leave_run("0", f"data.root={flat}")
    before = {item.group for item in out_of_sample_predictions(records(homes, "0")).items}
    shutil.rmtree(homes / "cache")
    for name in ("blue", "green", "red"):
        shutil.copy(min((flat / name).iterdir()), flat / name / "new.png")
    assert {item.group for item in out_of_sample_predictions(records(homes, "0")).items} == before


def test_other_classes_are_refused(homes, leave_run):
    leave_run("0")
    leave_run("1", classes=("blue", "grey", "red"))
    with pytest.raises(ConfigError, match="1 knows the classes blue, grey, red, and not blue, gr"):
        out_of_sample_predictions(records(homes, "0", "1"))
