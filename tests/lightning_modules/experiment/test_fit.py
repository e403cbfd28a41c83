"""A fit, interrupted and resumed, ends with the weights of an uninterrupted one, bit for bit."""

import contextlib
import csv
import itertools
import os
import re

import pytest
import pytorch_lightning as pl
import torch

from datamodules.loading import data_loader
from datamodules.loading.worker_loader import worker_settings
from lightning_modules.errors import ConfigError
from lightning_modules.experiment import initial_network
from lightning_modules.experiment.fit import FitRecord, fit
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stages import stages_of
from lightning_modules.runs.data import make_data
from lightning_modules.training.callbacks.checkpoint_files import (
    BEST,
    LAST,
    newest_checkpoint,
    read_checkpoint,
)
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


def trained(context, *, resume=False, record=None):
    """The weights after the first stage, the epoch they are of, and the network."""
    network, stage = entered(context), stages_of(context.cfg)[0]
    found = newest_checkpoint(context.checkpoints(stage)) if resume else None
    path = found and found.path
    epoch = fit(network, context, stage, resume_state={"round": 0}, resume=path, record=record)
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
        pytest.param("epochs, factors and accumulation", marks=pytest.mark.slow),
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


def killed_at(context, number):
    """Trains in another process that is killed before its `number`-th renaming; whether it was."""
    if (pid := os.fork()) == 0:
        plain, left = os.replace, iter(range(number))

        def replace(*paths):
            if next(left, None) is None:
                os._exit(9)
            plain(*paths)

        os.replace = replace
        with contextlib.suppress(BaseException):
            trained(context)
            os._exit(0)
        os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("moments", ["some", "all"])
def test_a_kill_between_any_two_renamings_changes_nothing(context, moments, every):
    """Between the table, `best.ckpt` and `last.ckpt` of an epoch, say; the folder moves, too."""
    overrides = [
        "callbacks=[ema,early_stopping]", "callbacks.early_stopping.patience=2", "optimizer=sgd",
        "optimizer.lr=1", "trainer.keep=best", "trainer.max_epochs=4", "scheduler=plateau",
        f"trainer.check_val_every_n_epoch={every}", "sampling=sqrt",
    ]  # fmt: skip
    whole = context("whole", *overrides)
    said = FitRecord()
    expected, epoch = trained(whole, record=said)
    number = 3
    while killed_at(context(f"killed{number}", *overrides), number):
        moved = context(f"moved{number}", *overrides)
        context(f"killed{number}", *overrides).folder.rename(moved.folder)
        again = FitRecord()
        found, same = trained(moved, resume=True, record=again)
        assert (same, again) == (epoch, said)
        assert rows(moved) == rows(whole)
        assert all(torch.equal(found[key], expected[key]) for key in expected), number
        number += 1 if moments == "all" else 9
    assert number > 20


ENDS = {
    "early stopping": (
        ["callbacks=early_stopping", "callbacks.early_stopping.patience=1",
         "optimizer=sgd", "optimizer.lr=1e-9"],
        r"ended after epoch 2 of 9: early stopping: val/f1 was not better than \d\.\d{4} 1 times "
        r"in a row \(patience=1\)",
    ),
    "a threshold": (
        ["callbacks=early_stopping", "+callbacks.early_stopping.stopping_threshold=0.1"],
        r"ended after epoch 1 of 9: early stopping: val/f1 reached stopping_threshold=0\.1",
    ),
    "max_time": (
        ["+trainer.max_time=00:00:00:00"], "ended after epoch 0 of 9: max_time: the time of 0:00:00"
    ),
    "max_steps": (["+trainer.max_steps=7"], "ended after epoch 2 of 9: max_steps: 7 weight"),
    "a callback": (
        [f"+callbacks.ends._target_={__name__}.Ends"], "ended after epoch 2 of 9: a callback asked"
    ),
}  # fmt: skip


class Ends(pl.Callback):
    def on_train_epoch_end(self, trainer, module):
        trainer.should_stop = trainer.current_epoch == 1


@pytest.mark.parametrize("reason", ENDS)
def test_a_fit_that_ends_early_says_why_once_and_is_not_trained_further(context, caplog, reason):
    overrides, words = ENDS[reason]
    overrides = [*overrides, "trainer.max_epochs=9"]
    run, said = context("run", *overrides), FitRecord()
    with caplog.at_level("INFO"):
        expected, epoch = trained(run, record=said)
    (sentence,) = said.ended
    assert re.match(words, sentence)
    assert caplog.messages.count(f"  {sentence}") == 1
    table = rows(run) if epoch >= 0 else []
    if reason == "max_time":
        return
    again = FitRecord()
    found, same = trained(context("run", *overrides), resume=True, record=again)
    assert (same, again, rows(run)) == (epoch, said, table)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_fit_of_all_epochs_says_nothing(context):
    said = FitRecord()
    trained(context("run", "trainer.max_epochs=1"), record=said)
    assert said == FitRecord(updates=6, ended=[])


def test_only_what_was_validated_is_shown_and_counts(context, caplog):
    """Every second epoch; the last one is none of them."""
    overrides = [
        "trainer.check_val_every_n_epoch=2", "callbacks=[progress,early_stopping]",
        "callbacks.early_stopping.patience=1", "callbacks.early_stopping.monitor=val/loss",
        "callbacks.early_stopping.mode=min", "optimizer=sgd", "optimizer.lr=0.3",
        "trainer.max_epochs=19", "scheduler=plateau", "scheduler.patience=0",
    ]  # fmt: skip
    run = context("run", *overrides)
    with caplog.at_level("INFO"):
        _, epoch = trained(run)
    table = rows(run)
    validated = [row for row in table if row["val/f1"]]
    assert [int(row["epoch"]) % 2 for row in validated] == [1] * len(validated)
    assert all((row["val/f1"] == "") == (int(row["epoch"]) % 2 == 0) for row in table)
    assert all(row["train/loss"] for row in table)
    lines = [line for line in caplog.messages if line.startswith("  epoch ")]
    assert ["val/f1" in line for line in lines] == [bool(row["val/f1"]) for row in table]
    losses = [float(row["val/loss"]) for row in validated]
    assert losses[-1] >= min(losses[:-1]) and int(validated[-1]["epoch"]) == epoch
    assert all(later < min(losses[:n]) for n, later in enumerate(losses[1:-1], start=1))
    best = read_checkpoint(run.checkpoints(stages_of(run.cfg)[0]), BEST)
    scores = {int(row["epoch"]): float(row["val/f1"]) for row in validated}
    assert scores[best["epoch"]] == max(scores.values())
    for before, row in itertools.pairwise(table):  # the rate changes where it was measured only
        assert row["val/f1"] or row["lr"] == before["lr"]


def test_a_best_epoch_needs_a_validated_one(compose_config):
    words = ["trainer.keep=best", "trainer.check_val_every_n_epoch=3", "trainer.max_epochs=3"]
    stages_of(compose_config(*words))
    step = ["+compression=tucker", "compression.tucker.fine_tuning.epochs=2"]
    with pytest.raises(ConfigError, match=r"01_tucker has 2 epochs, so none would be validated"):
        stages_of(compose_config(*words, *step))


def test_a_damaged_best_epoch_is_not_delivered(context):
    overrides = ["trainer.keep=best", "trainer.max_epochs=2"]
    with pytest.raises(Killed):
        trained(
            context(
                "run", *overrides, f"+callbacks.stop._target_={__name__}.Stop",
                "+callbacks.stop.epoch=2", "+callbacks.stop.hook=on_train_end",
            )
        )  # fmt: skip
    run = context("run", *overrides)
    folder = run.checkpoints(stages_of(run.cfg)[0])
    (folder / "best.ckpt").write_bytes((folder / "best.ckpt").read_bytes()[:-9])
    with pytest.raises(ConfigError, match=r"best\.ckpt is damaged: .* delete .*, and resume"):
        trained(run, resume=True)
