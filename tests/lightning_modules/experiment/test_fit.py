"""A fit, interrupted and resumed, ends with the weights of an uninterrupted one, bit for bit."""

import csv

import pytest
import pytorch_lightning as pl
import torch

from datamodules.loading import data_loader
from datamodules.loading.worker_loader import worker_settings
from lightning_modules.experiment import initial_network
from lightning_modules.experiment.fit import fit
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stages import stages_of
from lightning_modules.runs.data import make_data
from lightning_modules.training.callbacks.checkpoints import BEST, LAST, read_checkpoint
from tests.conftest import draw_folder

SMALL = [
    "data=image_folder", "data.image_size=32", "data.batch_size=6", "model.units=[1,1,1]",
    "trainer.max_epochs=5", "trainer.memory_format=contiguous", "logger=none",
]  # fmt: skip


class Stop(pl.Callback):
    """Ends a fit as a kill would, as far as files are concerned."""

    def __init__(self, *, epoch: int, hook: str = "on_train_batch_start") -> None:
        self.epoch = epoch
        setattr(self, hook, self._stop)

    def _stop(self, trainer, *_):
        if trainer.current_epoch == self.epoch:
            raise Killed


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture
def context(homes, photos, compose_config):
    """A context of a run of its own in the folder `name`."""

    def made(name, *overrides):
        cfg = compose_config(*SMALL, f"data.root={photos}", *overrides)
        data = make_data(cfg)
        data.prepare_data()
        data.setup()
        return RunContext(cfg, data, homes / name)

    return made


def entered(context):
    pl.seed_everything(context.cfg.seed, verbose=False)
    return initial_network(context.cfg, context.data)


def trained(context, *, resume=False):
    """The weights after the first stage, the epoch they are of, and the network."""
    network = entered(context)
    epoch = fit(
        network, context, stages_of(context.cfg)[0], resume_state={"round": 0}, resume=resume
    )
    return {key: value.clone() for key, value in network.state_dict().items()}, epoch


def rows(context):
    with (context.folder / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def stopped_and_resumed(context, overrides, **stop):
    words = [f"+callbacks.stop.{key}={value}" for key, value in stop.items()]
    with pytest.raises(Killed):
        trained(context("killed", *overrides, f"+callbacks.stop._target_={__name__}.Stop", *words))
    return context("killed", *overrides)


SETTINGS = {
    "plateau and EMA": [
        "scheduler=plateau", "scheduler.patience=0", "scheduler.monitor=val/loss",
        "scheduler.mode=min", "callbacks=ema", "optimizer=sgd",
    ],
    "restarts, freezing and EMA": [
        "scheduler=cosine_restarts", "scheduler.cycle_epochs=1.5", "callbacks=[ema,freeze]",
        "callbacks.freeze.epochs=3", "optimizer.layer_decay=0.9",
    ],
    "epochs, factors and accumulation": [
        "scheduler=multi_step", "scheduler.milestones=[1,3]", "optimizer=nadam",
        "optimizer.lr_factors={*:0.5,head:1}", "trainer.accumulate_grad_batches=4",
        "trainer.gradient_clip_val=0.5", "callbacks=freeze", "callbacks.freeze.epochs=2",
    ],
    "mixed precision": [
        "scheduler=step", "scheduler.step_size=2", "optimizer=lion", "trainer.keep=best",
        "trainer.precision=bf16-mixed",
    ],
    "warm-up": ["scheduler=cosine", "scheduler.warmup_epochs=2", "optimizer=radam"],
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "restarts, freezing and EMA",
        "epochs, factors and accumulation",
        pytest.param("plateau and EMA", marks=pytest.mark.slow),
        pytest.param("mixed precision", marks=pytest.mark.slow),
        pytest.param("warm-up", marks=pytest.mark.slow),
    ],
)
def test_resumed_fits_equal_uninterrupted_ones(context, name):
    overrides = SETTINGS[name]
    whole = context("whole", *overrides)
    expected, epoch = trained(whole)
    for number in (2, 4):
        again = stopped_and_resumed(context, overrides, epoch=number)
        found, same = trained(again, resume=True)
        assert same == epoch
        assert rows(again) == rows(whole)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("workers", "persistent"),
    [
        (2, True),
        *(
            pytest.param(workers, persistent, marks=pytest.mark.slow)
            for workers, persistent in [(0, True), (1, True), (1, False), (2, False)]
        ),
    ],
)
def test_a_resume_is_exact_with_loader_workers(context, monkeypatch, workers, persistent):
    """What is drawn by weight, and half an epoch left each time, make it harder."""
    settings = worker_settings(workers) | {"persistent_workers": persistent}
    monkeypatch.setattr(data_loader, "worker_settings", lambda number: settings)
    overrides = [
        f"data.num_workers={workers}", "sampling=balanced", "trainer.limit_train_batches=4",
        "trainer.max_epochs=4",
    ]  # fmt: skip
    whole = context("whole", *overrides)
    expected, epoch = trained(whole)
    again = stopped_and_resumed(context, overrides, epoch=2)
    found, same = trained(again, resume=True)
    assert same == epoch == 3
    assert rows(again) == rows(whole)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.slow
def test_a_fit_killed_after_its_last_epoch_delivers_the_average_too(context):
    overrides = ["callbacks=ema"]
    expected, _ = trained(context("whole", *overrides))
    again = stopped_and_resumed(context, overrides, epoch=5, hook="on_train_end")
    found, epoch = trained(again, resume=True)
    assert epoch == 4
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_stopped_fit_is_not_trained_further_by_a_resume(context):
    overrides = [
        "callbacks=early_stopping", "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.monitor=val/loss", "callbacks.early_stopping.mode=min",
        "optimizer=sgd", "optimizer.lr=3", "trainer.max_epochs=20",
    ]  # fmt: skip
    whole = context("whole", *overrides)
    expected, epoch = trained(whole)
    assert epoch + 1 == len(rows(whole)) < 20
    losses = [float(row["val/loss"]) for row in rows(whole)]
    assert losses[-1] >= losses[-2]
    again = stopped_and_resumed(context, overrides, epoch=epoch + 1, hook="on_train_end")
    found, same = trained(again, resume=True)
    assert same == epoch
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.slow
def test_the_best_epoch_is_remembered_over_a_resume(context):
    """The kill comes right after the epoch that was the best so far was written."""
    settings = ["trainer.keep=best", "optimizer=sgd", "optimizer.lr=1", "trainer.max_epochs=6"]
    for seed in range(9):  # until one whose best epoch is not the last
        overrides = [*settings, f"seed={seed}"]
        whole = context(f"whole{seed}", *overrides)
        expected, epoch = trained(whole)
        if epoch < 5:
            break
    scores = [float(row["val/f1"]) for row in rows(whole)]
    assert epoch == scores.index(max(scores)) < 5
    again = stopped_and_resumed(context, overrides, epoch=epoch + 1)
    found, same = trained(again, resume=True)
    assert same == epoch
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_more_epochs_on_a_resume_stretch_the_schedule(context):
    overrides = ["scheduler=cosine", "scheduler.warmup_epochs=1"]
    again = stopped_and_resumed(context, overrides, epoch=3)
    again.cfg.trainer.max_epochs = 8
    trained(again, resume=True)
    rates = [float(row["lr"]) for row in rows(again)]
    assert len(rates) == 8
    assert rates[3] > 0.5 * rates[2]
    assert rates[7] < 0.02 * rates[3]


def test_checkpoints_hold_the_average_and_the_weights_in_training(context):
    whole = context("whole", "callbacks=ema")
    final, _ = trained(whole)
    folder = whole.checkpoints(stages_of(whole.cfg)[0])
    last, best = read_checkpoint(folder, LAST), read_checkpoint(folder, BEST)
    assert {*last["state_dict"]} == {*last["current_model_state"]} == {*best["state_dict"]}
    same = [
        torch.equal(last["state_dict"][f"network.{key}"], value) for key, value in final.items()
    ]
    assert all(same)
    different = [
        not torch.equal(last["current_model_state"][f"network.{key}"], value)
        for key, value in final.items()
        if value.is_floating_point() and "pixels" not in key
    ]
    assert all(different)


def test_the_plateau_follows_what_it_watches(context):
    run = context(
        "run", "scheduler=plateau", "scheduler.patience=0", "scheduler.factor=0.5",
        "optimizer=sgd", "optimizer.lr=0.1", "trainer.max_epochs=8",
    )  # fmt: skip
    trained(run)
    best, rate = -1.0, 0.1
    for row in rows(run):
        score = float(row["val/f1"])
        rate = rate if score > best * (1 + 1e-4) else rate / 2
        best = max(best, score)
        assert float(row["lr"]) == pytest.approx(rate)
    assert rate < 0.1


def test_a_fit_trains_what_comes_in_eval_mode(context):
    run = context("run", "trainer.max_epochs=1")
    network = initial_network(run.cfg, run.data).eval()
    before = {k: v.clone() for k, v in network.named_buffers() if k.endswith("running_mean")}
    fit(network, run, stages_of(run.cfg)[0])
    after = dict(network.named_buffers())
    assert all(not torch.equal(after[key], value) for key, value in before.items())
    assert not network.training


class Witness(pl.Callback):
    seen = []

    def on_train_batch_start(self, trainer, module, batch, index):
        self.seen.append((trainer.current_epoch, batch[0].clone()))


def test_the_same_batches_are_learnt_by_heart(context):
    Witness.seen.clear()
    run = context(
        "run", "debug=overfit", "trainer.max_epochs=12", "loss.label_smoothing=0",
        f"+callbacks.witness._target_={__name__}.Witness",
    )  # fmt: skip
    trained(run)
    assert len(Witness.seen) == 36
    first = [images for epoch, images in Witness.seen if epoch == 0]
    last = [images for epoch, images in Witness.seen if epoch == 11]
    assert all(torch.equal(a, b) for a, b in zip(first, last, strict=True))
    losses = [float(row["train/loss"]) for row in rows(run)]
    assert losses[-1] < 0.3 * losses[0]
