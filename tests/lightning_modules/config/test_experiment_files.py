"""Experiments that lie in no configuration folder: a study's winner, a file, a name."""

import shutil

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from lightning_modules.config import experiment_files
from lightning_modules.config.command_line import expand
from lightning_modules.config.composing import fresh_config
from lightning_modules.config.experiment_files import take_experiments
from lightning_modules.config.options import CONF
from lightning_modules.errors import ConfigError
from tests.conftest import ROOT

TEXT = """\
# @package _global_
# a comment
defaults:
  - override /model: {model}
  - override /loss: focal

optimizer:
  lr: {lr}
card:
  license: {license}
"""
ROWS = """\
name: mine
_target_: lightning_modules.networks.blocks.network.BlockNetwork
depth_multiple: 1.0
width_multiple: 1.0
blocks:
  stem: {repeat: 1, kind: Conv, out: %d, k: 3, s: 2}
"""


@pytest.fixture
def put(homes, monkeypatch):
    """Writes an experiment; nothing of it stays in Hydra's store."""
    monkeypatch.setattr(experiment_files, "_stored", {})
    Plugins.instance()
    repo = ConfigStore.instance().repo
    monkeypatch.setattr(ConfigStore.instance(), "repo", {k: _copy(v) for k, v in repo.items()})

    def written(path, *, model="resnet", lr=0.5, license="'1e3'", out=None, study=None):
        path = homes / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXT.format(model=model, lr=lr, license=license))
        if out is not None:
            (path.parent / f"blocks_{model.removeprefix('blocks/')}.yaml").write_text(ROWS % out)
        if study is not None:
            (path.parent / "study.json").write_text(f'{{"name": "{study}"}}')
        return path

    return written


def _copy(node):
    return {key: _copy(value) for key, value in node.items()} if isinstance(node, dict) else node


def test_a_file_is_an_experiment(put):
    path = put("my files/best one.yaml")
    for word in (f"experiment={path}", f"experiment='{path}'"):
        assert expand([word, "seed=3"]) == ["experiment=best_one", "seed=3"]
    cfg = fresh_config([f"experiment={path}", "seed=3"])
    assert (cfg.optimizer.lr, cfg.model.name, cfg.loss.gamma, cfg.seed) == (0.5, "resnet", 2.0, 3)
    assert cfg.card.license == "1e3"


def test_a_study_is_its_winner_by_folder_and_by_name(put, homes):
    put("outputs/studies/mine/found_mine.yaml", study="mine")
    put("outputs/studies/mine/found_mine_2.yaml", lr=0.25)
    for word in (homes / "outputs/studies/mine", f"{homes}/outputs/studies/mine/", "mine"):
        assert expand([f"experiment={word}"]) == ["experiment=found_mine"]
    assert expand(["experiment=found_mine"]) == ["experiment=found_mine"]
    assert fresh_config(["experiment=found_mine"]).optimizer.lr == 0.5
    assert fresh_config(["experiment=found_mine_2"]).optimizer.lr == 0.25
    shutil.move(homes / "outputs/studies/mine", homes / "outputs/studies/moved")
    assert fresh_config(["experiment=found_mine"]).optimizer.lr == 0.5
    shutil.move(homes / "outputs", homes / "elsewhere")
    words = [f"outputs_dir={homes}/elsewhere", "experiment=found_mine"]
    assert expand(words) == words
    (homes / "elsewhere/studies/moved/study.json").unlink()
    with pytest.raises(ConfigError, match=r"several .* found_mine\.yaml, found_mine_2\.yaml"):
        expand([f"experiment={homes}/elsewhere/studies/moved"])


def test_an_architecture_has_its_blocks_beside_it(put, homes):
    put("outputs/studies/mine/found_mine.yaml", model="blocks/found_mine", out=16, study="mine")
    assert fresh_config(["experiment=found_mine"]).model.blocks.stem.out == 16
    assert fresh_config(["model=blocks/found_mine"]).model.blocks.stem.out == 16
    moved = homes / "copy"
    moved.mkdir()
    for name in ("found_mine.yaml", "blocks_found_mine.yaml"):
        shutil.copy(homes / "outputs/studies/mine" / name, moved / name)
    (moved / "found_mine.yaml").rename(moved / "best.yaml")
    assert fresh_config([f"experiment={moved}/best.yaml"]).model.blocks.stem.out == 16
    (moved / "blocks_found_mine.yaml").unlink()
    with pytest.raises(ConfigError, match=r"no blocks_found_mine\.yaml lies beside it"):
        expand([f"experiment={moved}/best.yaml"])


def test_several_are_swept_over_also_of_one_name(put, homes):
    one = put("a/found_x.yaml", lr=0.1, model="blocks/found_x", out=8)
    other = put("b/found_x.yaml", lr=0.2, model="blocks/found_x", out=24)
    words = expand(["-m", f"experiment={one},{other},demo", "seed=0,1"])
    assert words == ["-m", "experiment=found_x,found_x_2,demo", "seed=0,1"]
    for name, lr, out in (("found_x", 0.1, 8), ("found_x_2", 0.2, 24)):
        cfg = fresh_config([f"experiment={name}"])
        assert (cfg.optimizer.lr, cfg.model.blocks.stem.out) == (lr, out)
    assert expand(["-m", f"experiment=choice({one},demo)"]) == ["-m", "experiment=found_x,demo"]
    assert expand([f"experiment=[{one}]"]) == ["experiment=[found_x]"]


def test_the_old_places_are_looked_in(put, homes):
    put("found/experiment/found_old.yaml", lr=0.3, model="blocks/found_old")
    (homes / "found/model/blocks").mkdir(parents=True)
    (homes / "found/model/blocks/found_old.yaml").write_text(ROWS % 40)
    cfg = fresh_config(["experiment=found_old"])
    assert (cfg.optimizer.lr, cfg.model.blocks.stem.out) == (0.3, 40)
    # as of an earlier version: the folder knows only its name, `conf` has the experiment
    folder = homes / "outputs/studies/mine"
    folder.mkdir(parents=True)
    (folder / "study.json").write_text('{"name": "mine"}')
    put("conf/experiment/found_mine.yaml")
    folders = [CONF, homes / "conf"]
    assert take_experiments([f"experiment={folder}"], folders) == ["experiment=found_mine"]


def test_a_name_that_means_two_is_refused(put, homes):
    put("conf/experiment/found_mine.yaml", lr=0.1)
    folders, word = [CONF, homes / "conf"], "experiment=found_mine"
    put("outputs/studies/mine/found_mine.yaml", lr=0.1)
    assert take_experiments([word], folders) == [word]
    new = put("outputs/studies/mine/found_mine.yaml", lr=0.2)
    with pytest.raises(ConfigError, match=rf"means .*conf/experiment/found_mine\.yaml and {new}"):
        take_experiments([word], folders)
    assert take_experiments([f"experiment={new}"], folders) == ["experiment=found_mine_2"]
    new.rename(new.parent / "found_other.yaml")
    put("outputs/studies/copy/found_other.yaml", lr=0.3)
    with pytest.raises(ConfigError, match="found_other means several files: .*copy.*mine"):
        take_experiments(["experiment=found_other"], [CONF])


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("nowhere.yaml", r"experiment=nowhere\.yaml: there is no such file"),
        ("no/where", "is neither an option nor a study's folder or a file"),
        ("found_none", "There is no experiment=found_none; there are: demo"),
        ("{}", "holds no winner of a search; python scripts/report.py"),
        ("{}/broken.yaml", "cannot be read as an experiment: "),
        ("{}/list.yaml", "is no experiment: it holds no keys"),
        ("{}/bytes.yaml", "cannot be read as an experiment: "),
        ("{}/broken", "study.json cannot be read; it is damaged"),
    ],
)
def test_what_is_no_experiment(put, homes, word, sentence):
    (homes / "broken").mkdir()
    (homes / "broken/study.json").write_text("{")
    (homes / "broken.yaml").write_text("a: [")
    (homes / "list.yaml").write_text("- a")
    (homes / "bytes.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match=sentence):
        expand([f"experiment={word.format(homes)}"])


def test_options_are_left_as_they_are(put):
    for words in (
        ["experiment=demo"], ["experiment=null"], ["~experiment"], ["experiment=demo,null", "-m"],
        ["model=blocks/diet_found"], ["model=resnet,mnasnet", "-m"], ["experiment=a(b"],
    ):  # fmt: skip
        assert take_experiments(words, [ROOT / "conf"]) == words
