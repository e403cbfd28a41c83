"""The whole contract of a step, with one that records what is asked of it."""

import csv

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from compression import Step
from lightning_modules.experiment import initial_network
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stage_run import run_stage
from lightning_modules.experiment.stages import Stage
from lightning_modules.runs.data import make_data

calls = []


class Shrink(Step):
    """Sets a hook while fine-tuning, and takes a unit away in each round."""

    name = "shrink"
    rounds = 2

    def plan(self, network, context, round):
        calls.append(f"plan {round}")
        assert context.entry_cost["macs"] > context.entry_cost["params"] > 0
        assert context.sample.dtype == torch.uint8
        assert set(context.evaluate(network)) == {"val/f1", "val/accuracy", "val/loss"}
        return {"unit": f"body.features.stage{round + 1}.unit2"}

    @staticmethod
    def restructure(network, plan):
        network.set_submodule(plan["unit"], nn.Identity())
        return network

    def apply(self, network, plan):
        calls.append("apply")
        smaller = super().apply(network, plan)
        smaller.fine_tuning = True
        return smaller

    def penalty(self, network):
        calls.append("penalty")
        return 1e-4 * sum(p.abs().sum() for p in network.parameters())

    def finish(self, network):
        calls.append("finish")
        assert network.fine_tuning
        del network.fine_tuning
        return network


@pytest.fixture
def context(homes, folder, compose_config):
    cfg = compose_config(
        "data=image_folder", f"data.root={folder}", "data.image_size=32", "data.batch_size=36",
        "model.units=[2,2,1]", "trainer.memory_format=contiguous", "logger=none",
    )  # fmt: skip
    data = make_data(cfg)
    data.prepare_data()
    data.setup()
    return RunContext(cfg, data, homes / "run")


def test_a_step_is_prepared_planned_applied_tuned_and_finished(context):
    calls.clear()
    network = initial_network(context.cfg, context.data)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    stage = Stage("01_shrink", Shrink(), epochs=2, prepare_epochs=1)
    smaller, result = run_stage(stage, network, context, [])
    # One batch an epoch: the penalty acts in the preparation and in all rounds but the last.
    assert calls == [
        *["penalty", "plan 0", "apply"], *["penalty", "penalty", "plan 1", "apply"], "finish"
    ]  # fmt: skip
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert isinstance(smaller.body.features.stage1.unit2, nn.Identity)
    assert isinstance(smaller.body.features.stage2.unit2, nn.Identity)
    assert [entry.plan["unit"][-12:] for entry in smaller.recipe.entries] == [
        "stage1.unit2", "stage2.unit2"
    ]  # fmt: skip
    assert len(result["surgery"]) == 2
    assert result["after"]["cost/params"] < result["before"]["cost/params"]
    with (context.folder / "metrics.csv").open() as file:
        rounds = [int(row["round"]) for row in csv.DictReader(file)]
    assert rounds == [-1, 0, 0, 1, 1]


def test_a_done_stage_is_loaded_and_not_repeated(context, monkeypatch):
    network = initial_network(context.cfg, context.data)
    stage = Stage("00_train", None, epochs=1)
    trained, result = run_stage(stage, network, context, [])
    monkeypatch.setattr("lightning_modules.experiment.stage_run.fit", None)
    again, same = run_stage(stage, network, context, [])
    assert same == result
    images = next(iter(context.data.val_dataloader()))[0]
    assert torch.equal(again(images), trained(images))


class Ends(pl.Callback):
    def on_train_epoch_end(self, trainer, module):
        trainer.should_stop = True


def test_fits_that_end_early_are_recorded_also_over_a_resume(context, monkeypatch):
    context.cfg.callbacks = {"ends": {"_target_": f"{__name__}.Ends"}}
    network = initial_network(context.cfg, context.data)
    stage = Stage("01_shrink", Shrink(), epochs=2)

    def killed(*_, **__):
        raise ZeroDivisionError

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("lightning_modules.experiment.stage_run.save_network", killed)
        run_stage(stage, network, context, [])
    _, result = run_stage(stage, network, context, [])
    assert result["ended"] == [
        f"round {n}: ended after epoch 1 of 2: a callback asked for it" for n in (1, 2)
    ]
    assert result["updates"] == 2
    assert len(result["surgery"]) == 2


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(context):
    from lightning_modules.errors import ConfigError
    from lightning_modules.training.callbacks.checkpoint_files import read_checkpoint

    context.cfg.loss = {"_target_": f"{__name__}.GoesWrong"}
    context.cfg.trainer.memory_format = "contiguous"
    stage = Stage("00_train", None, epochs=5)
    with pytest.raises(
        ConfigError, match=r"loss became nan in 00_train, epoch 2, update \d+, lear"
    ):
        run_stage(stage, initial_network(context.cfg, context.data), context, [])
    kept = read_checkpoint(context.checkpoints(stage))
    assert kept["epoch"] == 1
    assert all(t.isfinite().all() for t in kept["state_dict"].values())
    assert not (context.folder / "steps" / "00_train" / "model").exists()


class GoesWrong(nn.CrossEntropyLoss):
    """No number from the third batch on."""

    calls = 0

    def forward(self, logits, labels):
        self.calls += 1
        return super().forward(logits, labels) * (float("nan") if self.calls > 2 else 1)


def test_a_step_that_loses_too_much_is_marked_and_ends_the_run():
    from types import SimpleNamespace

    from lightning_modules.experiment.experiment import _require_accepted
    from lightning_modules.experiment.stage_run import _too_much_lost

    def lost(allowed, after):
        stage = SimpleNamespace(name="01_quantize", step=SimpleNamespace(max_f1_drop=allowed))
        return _too_much_lost(stage, {"val/f1": 0.8}, {"val/f1": after})

    assert lost(None, 0.1) is None and lost(0.02, 0.79) is None and lost(0.0, 0.9) is None
    sentence = lost(0.02, 0.75)
    assert "01_quantize lost 0.0500 of macro-F1 (0.8000 to 0.7500)" in sentence
    _require_accepted({"steps": [{"name": "00_train"}]})
    with pytest.raises(SystemExit, match="more than max_f1_drop=0.02"):
        _require_accepted({"steps": [{}, {"rejected": sentence}]})
