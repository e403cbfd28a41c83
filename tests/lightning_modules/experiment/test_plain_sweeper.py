"""A multirun without a search: texts stay texts, and a trial's folder belongs to its overrides."""

import copy

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import open_dict

from lightning_modules.errors import ConfigError
from lightning_modules.experiment.plain_sweeper import (
    NUMBERED,
    PlainSweeper,
    check_owner,
    register_plain_sweeper,
)

COMPOSED = {}  # composing takes half a second


class Launcher:
    """Leaves what Hydra writes of each trial, and counts them."""

    def __init__(self, folder):
        self.folder, self.trials = folder, []

    def launch(self, job_overrides, initial_job_idx):
        found = []
        for number, words in enumerate(job_overrides, start=initial_job_idx):
            put(self.folder / "trials" / str(number), *words)
            self.trials.append(list(words))
            job = JobReturn()
            job.status, job.return_value = JobStatus.COMPLETED, 0.5
            found.append(job)
        return found


def put(folder, *words):
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(words)))


@pytest.fixture
def multirun(tmp_path, compose_config, monkeypatch):
    """Runs `python run.py -m WORDS...` into one folder; returns the overrides of its trials."""
    root = COMPOSED.get("") or COMPOSED.setdefault("", compose_config(hydra=True))
    root = copy.deepcopy(root)
    with open_dict(root):
        root.hydra.sweep.dir = str(tmp_path / "study")
    assert root.hydra.sweep._get_node("subdir")._value() == NUMBERED

    def run(*words, size=None):
        register_plain_sweeper()
        sweeper = PlainSweeper(max_batch_size=size)
        sweeper.root = sweeper.own.config = root
        sweeper.own.launcher = Launcher(tmp_path / "study")
        sweeper.own.hydra_context = type("Context", (), {"config_loader": None})
        monkeypatch.setattr(sweeper.own, "validate_batch_is_legal", lambda batch: None)
        sweeper.sweep(list(words))
        return sweeper.own.launcher.trials

    return run


def test_quoted_texts_stay_texts(multirun):
    trials = multirun("card.license=choice('ok','nan','1e3')", "card.intended_use='true','null'")
    read = [[one.value() for one in OverridesParser.create().parse_overrides(t)] for t in trials]
    assert read == [[one, other] for one in ("ok", "nan", "1e3") for other in ("true", "null")]


@pytest.mark.parametrize(
    "words",
    [
        ["seed=0,1", "optimizer.lr=0.001"],
        ["optimizer.lr=0.001", "seed=0,1"],  # the same, typed in another order
        ["optimizer.lr=1e-3", "seed=range(0,2)"],  # and otherwise
        ["seed=0,1", "optimizer.lr=0.001", "logger=none", "trust=[mine]"],  # no figure differs
        ["seed=0,1,2", "optimizer.lr=0.001"],  # the third is new
        ["seed=0", "optimizer.lr=0.001"],
    ],
)
@pytest.mark.parametrize("size", [None, 1])
def test_the_same_overrides_continue(multirun, words, size):
    multirun("seed=0,1", "optimizer.lr=0.001")
    assert multirun(*words, size=size)


@pytest.mark.parametrize(
    ("words", "number", "theirs", "ours"),
    [
        (["seed=5,6", "optimizer.lr=0.001"], 0, "seed=0", "seed=5"),
        (["seed=1,0", "optimizer.lr=0.001"], 0, "seed=0", "seed=1"),
        (["seed=1", "optimizer.lr=0.001"], 0, "seed=0", "seed=1"),
        (["seed=0,2", "optimizer.lr=0.001"], 1, "seed=1", "seed=2"),
        (["seed=0,1", "optimizer.lr=0.002"], 0, "optimizer.lr=0.001", "optimizer.lr=0.002"),
        (["optimizer.lr=0.001,0.1", "seed=0,1,2"], 2, None, None),  # first two are the same
        (["seed=0,1"], 0, "optimizer.lr=0.001", "no other override"),
        (
            ["seed=0,1", "optimizer.lr=0.001", "model=resnet"],
            0,
            "no other override",
            "model=resnet",
        ),
        (["seed='0','1'", "optimizer.lr=0.001"], 0, "seed=0", "seed='0'"),
    ],
)
@pytest.mark.parametrize("state", ["begun", "trained", "failed"])
def test_others_are_refused_with_both_named(multirun, tmp_path, words, number, theirs, ours, state):
    multirun("seed=0,1", "optimizer.lr=0.001")
    trials = tmp_path / "study" / "trials"
    name = {"begun": "steps", "trained": "metrics.json", "failed": "failed.txt"}[state]
    for trial in trials.iterdir():
        (trial / name).write_text("{}")
    if theirs is None:  # more values of another key: the third was not there before
        assert len(multirun(*words)) == 6
        return
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError) as refused:
        multirun(*words)
    text = str(refused.value)
    assert f"trials/{number} belongs to a trial with {theirs}" in text
    assert f"gives it {ours}" in text
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_does_not_say_whose_it_is(tmp_path):
    check_owner(tmp_path / "new", ["seed=0"])
    (tmp_path / "steps").mkdir()
    with pytest.raises(ConfigError, match="does not say by which overrides it was begun"):
        check_owner(tmp_path, ["seed=0"])
    put(tmp_path, "seed=0")
    check_owner(tmp_path, ["seed=0"])
    (tmp_path / ".hydra" / "overrides.yaml").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        check_owner(tmp_path, ["seed=0"])


def test_former_words_are_the_same_overrides(tmp_path):
    put(tmp_path, "data.fit=pad")
    check_owner(tmp_path, ["data.resize_mode=pad"])
