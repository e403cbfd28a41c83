"""Two processes train as one does, validate every image once, and end alike."""

import csv
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lightning_modules.distillation.teachers import Teacher
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation.metrics import evaluate
from lightning_modules.experiment import initial_network
from lightning_modules.experiment.fit import fit
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stages import stages_of
from lightning_modules.runs.data import make_data
from tests.conftest import draw_folder

SMALL = [
    "data=image_folder", "data.image_size=32", "data.eval_batch_size=5", "model.units=[1,1,1]",
    "trainer.memory_format=contiguous", "trainer.max_epochs=3", "logger=none", "trainer=ddp_sim",
    "data.batch_size=4",
]  # fmt: skip
ONE = ["trainer=cpu", "data.batch_size=8"]  # the same global batch


class Keep(pl.Callback):
    """Writes what each process ends with."""

    def __init__(self, *, folder: str) -> None:
        self.folder = Path(folder)

    def on_fit_end(self, trainer, module):
        self.folder.mkdir(exist_ok=True, parents=True)
        torch.save(module.network.state_dict(), self.folder / f"rank{trainer.global_rank}.pt")


class Fails(pl.Callback):
    """Raises in the second process only."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_rank == 1 and trainer.current_epoch == 1:
            raise ZeroDivisionError("in rank 1")


class Plain(nn.Module):
    """Nothing in it depends on which images share a batch."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2)
        )
        self.output = nn.Linear(16, num_classes)

    def forward(self, images):
        return self.output(self.layers(images).relu().mean((2, 3)))


PLAIN = {"name": "plain", "_target_": f"{__name__}.Plain"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """25 training and 21 validation images: odd numbers of both."""
    root = draw_folder(tmp_path_factory.mktemp("data") / "photos", train=9, val=7)
    for name in ("blue", "green"):
        (root / "train" / name / "0.png").unlink()
    return root


@pytest.fixture
def context(homes, photos, compose_config):
    def made(name, *overrides, model=None):
        cfg = compose_config(*SMALL, f"data.root={photos}", *overrides)
        cfg.model = cfg.model if model is None else model
        data = make_data(cfg)
        data.prepare_data()
        data.setup()
        return RunContext(cfg, data, homes / name)

    return made


def entered(context):
    pl.seed_everything(context.cfg.seed, verbose=False)
    return initial_network(context.cfg, context.data)


def trained(context, **settings):
    network = entered(context)
    fit(network, context, stages_of(context.cfg)[0], resume_state={"round": 0}, **settings)
    return network


def last_row(context):
    with (context.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == context.cfg.trainer.max_epochs
    return {key: float(value) for key, value in rows[-1].items() if "/" in key}


def assert_close(one, two, tolerance):
    for key, value in one.items():
        assert two[key] == pytest.approx(value, abs=tolerance), key


@pytest.mark.slow
def test_two_processes_equal_one_with_the_same_global_batch(context):
    rate = "optimizer.lr=0.01"
    one, two = context("one", rate, *ONE, model=PLAIN), context("two", rate, model=PLAIN)
    teacher = trained(context("teacher", *ONE, "trainer.max_epochs=1", model=PLAIN))
    teachers = [Teacher("t", teacher.requires_grad_(False))]
    expected = trained(one, teachers=teachers).state_dict()
    found = trained(two, teachers=teachers).state_dict()
    start = entered(one).state_dict()
    for key, value in expected.items():
        assert torch.allclose(found[key], value, atol=1e-3), key
    weights = [key for key in expected if key.endswith("weight")]
    assert all((expected[key] - start[key]).abs().max() > 1e-2 for key in weights[-3:])
    assert_close(last_row(one), last_row(two), 1e-3)


@pytest.mark.slow
def test_frozen_norms_equal_one_process_too(context):
    """The norms stand still for good; the layers that then wait for no gradient are no trouble."""
    freeze = [
        "callbacks=freeze", "callbacks.freeze.epochs=2", "optimizer=sgd", "optimizer.lr=0.01",
        "callbacks.freeze.patterns=['*bn*','*stage1*','*.init_block.*']", "trainer.max_epochs=2",
    ]  # fmt: skip
    expected = trained(context("one", *freeze, *ONE)).state_dict()
    found = trained(context("two", *freeze)).state_dict()
    for key, value in expected.items():
        assert torch.allclose(found[key].double(), value.double(), atol=1e-3), key


@pytest.mark.slow
@pytest.mark.parametrize("average", [False, True])
def test_both_end_alike_and_report_what_one_process_measures(context, homes, average):
    kept = homes / "kept"
    run = context(
        "run", f"callbacks={'ema' if average else 'progress'}",
        f"+callbacks.keep._target_={__name__}.Keep", f"+callbacks.keep.folder={kept}",
    )  # fmt: skip
    network = trained(run)
    states = [torch.load(kept / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    for key, value in network.state_dict().items():
        assert torch.equal(states[0][key], states[1][key]), key
        assert torch.equal(states[0][key], value), key
    assert all(type(m) is not nn.SyncBatchNorm for m in network.modules())
    measured = evaluate(network, run.data.val_dataloader())
    assert sum(len(labels) for _, labels in run.data.val_dataloader()) == 21
    row = last_row(run)
    assert_close(measured, {key: row[key] for key in measured}, 1e-6)


class Stop(pl.Callback):
    """Ends the first process as a mistake would."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_rank == 0 and trainer.current_epoch == 2:
            raise ConfigError("stop")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_resumed_fit_of_two_processes_equals_an_uninterrupted_one(context, workers):
    settings = [
        "callbacks=ema", "scheduler=plateau", "scheduler.patience=0", f"data.num_workers={workers}"
    ]  # fmt: skip
    expected = trained(context("whole", *settings)).state_dict()
    with pytest.raises(ConfigError, match="^stop$"):
        trained(context("cut", *settings, f"+callbacks.stop._target_={__name__}.Stop"))
    cut = context("cut", *settings)
    last = cut.checkpoints(stages_of(cut.cfg)[0]) / "last.ckpt"
    found = trained(cut, resume=last).state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.slow
def test_an_exception_of_the_second_process_ends_both(context):
    run = context("run", f"+callbacks.fails._target_={__name__}.Fails")
    with pytest.raises(
        RuntimeError, match=r"device 1 failed:\n(.|\n)*ZeroDivisionError: in rank 1"
    ):
        trained(run)
    assert not torch.distributed.is_initialized()
