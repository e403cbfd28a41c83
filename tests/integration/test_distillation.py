"""Distillation as a user types it: from stored logits, on inner modules, killed and resumed."""

import hashlib
import json
import os
import signal
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import run_command, start_command

SMALL = [
    "data=image_folder", "data.image_size=32", "data.batch_size=10", "trainer.max_epochs=3",
    "trainer.memory_format=contiguous", "logger=none", "latency.backend=null",
    "model.units=[1,1,1]",
]  # fmt: skip
INNER = [
    "teacher.a.features={features.stage1: layer2, features.stage2: layer3}",
    "distillation=[soft_targets,hints,relational]",
    "distillation.alpha={schedule: cosine, from: 0.9, to: 0.3}",
    "distillation.terms.relational.features=[features.stage2]",
]  # fmt: skip


@pytest.fixture
def teachers(homes, compose_config):
    """Two saved networks that know the folder's classes; the words that name them."""
    from lightning_modules.networks import build_network, save_network

    words = []
    options = {"a": ["model=resnet", "model.variant=resnet18"], "b": ["model=squeezenet"]}
    for name, option in options.items():
        torch.manual_seed(len(name))
        network = build_network(compose_config(*option).model, num_classes=3, image_size=32)
        network.class_names = ("blue", "green", "red")
        save_network(network.eval(), homes / name)
        words.append(f"+teacher.{name}.run={homes / name}")
    return words


def start(folder, run, *words):
    return run_command("run.py", *SMALL, f"data.root={folder}", f"hydra.run.dir={run}", *words)


def weights(run):
    return hashlib.sha256((run / "model" / "weights.safetensors").read_bytes()).hexdigest()


@pytest.mark.slow
def test_stored_logits_make_the_same_student_as_live_teachers(homes, folder, teachers):
    aggregation = "distillation.aggregation=confidence_weighted"
    words = [*teachers, aggregation, "+teacher.b.temperature=2"]
    stored = start(folder, homes / "stored", *words, "distillation.cache=2")
    start(folder, homes / "live", *words, "distillation.augmentation_repeats=2")
    assert weights(homes / "stored") == weights(homes / "live")
    for repeat in (1, 2):
        for name in "ab":
            told = f"Teacher {name} looks at augmentation {repeat} of 2 of 36 images"
            assert told in stored.stdout
    assert "taught by a, b" in stored.stdout

    again = start(folder, homes / "again", *words, "distillation.cache=2", "optimizer.lr=1e-4")
    assert "looks at augmentation" not in again.stdout
    assert weights(homes / "again") != weights(homes / "stored")


def kill_in_epoch(run, folder, words, *, epoch):
    given = [*SMALL, f"data.root={folder}", f"hydra.run.dir={run}", *words]
    process = start_command("run.py", *given, stdout=subprocess.DEVNULL)
    limit, table = time.time() + 300, run / "metrics.csv"
    while process.poll() is None and time.time() < limit:
        if table.is_file() and f"00_train,0,{epoch}," in table.read_text():
            break
        time.sleep(0.002)
    assert process.poll() is None, process.stderr.read()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


@pytest.mark.slow
def test_projections_train_resume_and_are_never_shipped(homes, folder, teachers):
    words = [teachers[0], *(f"+{INNER[0]}", *INNER[1:])]
    run = homes / "whole"
    start(folder, run, *words)
    saved = load_file(run / "model" / "weights.safetensors")
    assert all(key.startswith(("pixels.", "body.")) for key in saved)
    checkpoint = torch.load(
        run / "steps" / "00_train" / "checkpoints" / "last.ckpt", weights_only=True
    )
    trained = [key for key in checkpoint["state_dict"] if key.startswith("pairs.")]
    assert len(trained) == 4  # weight and bias of two projections
    columns = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/labels", "train/soft_targets", "train/hints", "train/relational"} <= set(columns)

    killed = homes / "killed"
    kill_in_epoch(killed, folder, words, epoch=1)
    run_command("run.py", f"resume={killed}")
    assert weights(killed) == weights(run)
    figures = [json.loads((r / "metrics.json").read_text())["val/f1"] for r in (run, killed)]
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        pytest.param(
            "{features.stage9: layer3}",
            "student: The network has no module 'features.stage9'",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "{features.stage2: fc}",
            "the student gives N x 120 x 2 x 2, the teacher N x 3: no",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_modules_that_cannot_be_compared(homes, folder, teachers, features, sentence):
    done = run_command(
        "run.py", *SMALL, f"data.root={folder}", teachers[0], "distillation=hints",
        f"+teacher.a.features={features}", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert sentence in done.stderr.splitlines()[-1]
    assert not list((homes / "outputs").rglob("metrics.json"))


OWN = '''
"""A distillation term on logits, one on modules, and an aggregation of one's own."""

from lightning_modules.distillation import FeatureTerm, LogitTerm, ParameterFreeLoss


class Squared(LogitTerm):
    """The mean squared difference of probabilities."""

    def divergence(self, log_student, targets, labels):
        return (log_student.exp() - targets).square().sum(dim=1).mean()


class Means(FeatureTerm):
    """The squared difference of what two modules give on average."""

    def comparison(self, student, teacher):
        return ParameterFreeLoss(lambda ours, theirs: (ours.mean() - theirs.mean()).square())


def first(logits, scaled, weights, labels):
    """The first teacher alone."""
    return scaled[0].softmax(dim=1)


def hard(logits, scaled, weights, labels):
    """The first teacher's class alone, which is no distribution over N x C."""
    return scaled[0].argmax(dim=1)
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The file of somebody outside this package, where Python finds it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "own_losses.py").write_text(OWN)
    paths = [str(tmp_path / "outside"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.slow
def test_terms_and_an_aggregation_of_ones_own(homes, folder, teachers, own):
    run = homes / "run"
    words = [
        teachers[0],
        f"+{INNER[0]}",
        "distillation.aggregation={_target_: own_losses.first}",
        "+distillation.terms.squared._target_=own_losses.Squared",
        "+distillation.terms.means={_target_: own_losses.Means, weight: 2.0}",
        "~distillation.terms.soft_targets",
        "trainer.max_epochs=1",
        "report=false",
        "pictures=false",
    ]
    start(folder, run, *words)
    header, *rows = (run / "metrics.csv").read_text().splitlines()
    columns = header.split(",")
    assert {"train/squared", "train/means"} <= set(columns)
    assert "train/soft_targets" not in columns
    squared = [float(row.split(",")[columns.index("train/squared")]) for row in rows]
    assert all(0 < value < 16 * 2 for value in squared)  # T^2 times at most 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["+distillation.terms.first._target_=own_losses.first"],
            "distillation.terms.first: own_losses.first cannot be built",
        ),
        (
            ["+distillation.terms.text._target_=builtins.dict"],
            "distillation.terms.text: builtins.dict is no distillation term; derive your class",
        ),
        (
            ["distillation.aggregation={_target_: own_losses.hard}"],
            "distillation.aggregation: own_losses.hard fails on two images' logits: it gives (2,)",
        ),
    ],
)
def test_what_is_no_term_is_said_before_a_teacher_is_trained(homes, folder, own, words, sentence):
    done = run_command(
        "run.py", *SMALL, f"data.root={folder}", "+teacher=resnet18", *words, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert sentence in done.stderr.splitlines()[-1]
    assert not list((homes / "outputs").rglob("metrics.json"))
    assert not (homes / "outputs" / "teachers").exists()
