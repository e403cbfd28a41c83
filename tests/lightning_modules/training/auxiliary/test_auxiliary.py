"""Auxiliary losses in a training: what they add, where they live, that a resume is exact."""

import copy
import logging

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lightning_modules.errors import ConfigError
from lightning_modules.experiment import initial_network
from lightning_modules.experiment.fit import fit
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stage_run import run_stage
from lightning_modules.experiment.stages import Stage
from lightning_modules.networks import load_network
from lightning_modules.runs.data import make_data
from lightning_modules.training.auxiliary.building import build_auxiliary, check_auxiliary
from lightning_modules.training.callbacks.checkpoint_files import read_checkpoint

BOTH = (
    "auxiliary=[classifiers,reconstruction]",
    "auxiliary.classifiers.at={features.stage1: 0.25, features.stage2: 0.5}",
    "loss@auxiliary.classifiers.loss=class_balanced",
    "auxiliary.reconstruction.at={body.features.stage1: 2.0}",
)


@pytest.fixture
def make_session(homes, folder, compose_config):
    """A context on a small image folder, with auxiliary losses."""

    def make(*overrides, name="run"):
        cfg = compose_config(
            "data=image_folder", f"data.root={folder}", "data.image_size=32", "data.batch_size=12",
            "model.units=[1,1,1]", "trainer.memory_format=contiguous", "logger=none",
            "callbacks={}", *overrides,
        )  # fmt: skip
        data = make_data(cfg)
        data.prepare_data()
        data.setup()
        return RunContext(cfg, data, homes / name)

    return make


@pytest.fixture
def built(make_session):
    """A network and its auxiliary losses."""
    context = make_session(*BOTH)
    network = initial_network(context.cfg, context.data)
    nodes = context.cfg.auxiliary
    return network, build_auxiliary(nodes, network, class_counts=[12, 12, 12], seed=0), context


def batch_of(context):
    return next(iter(context.data.val_dataloader()))


def test_losses_are_weighted_and_added_by_name(built):
    network, auxiliary, context = built
    images, labels = batch_of(context)
    with auxiliary.features as features:
        network.train()(images)
        outputs = dict(features.outputs)
        found = auxiliary(images, labels)
    first, second, third = auxiliary.heads
    stage1, stage2 = outputs["features.stage1"], outputs["features.stage2"]
    expected = 0.25 * first(stage1, images, labels) + 0.5 * second(stage2, images, labels)
    torch.testing.assert_close(found["classifiers"], expected)
    torch.testing.assert_close(found["reconstruction"], 2.0 * third(stage1, images, labels))
    assert list(found) == ["classifiers", "reconstruction"]
    sum(found.values()).backward()
    assert network.body.features.stage1.unit1.dw_conv2.weight.grad.abs().sum() > 0
    assert network.body.features.stage3.unit1.dw_conv2.weight.grad is None
    assert network.body.output.weight.grad is None


def test_heads_are_a_function_of_the_seed_and_draw_nothing_else(built):
    network, auxiliary, context = built
    before = torch.get_rng_state()
    settings = {"class_counts": [12, 12, 12]}
    same = build_auxiliary(context.cfg.auxiliary, network, seed=0, **settings)
    other = build_auxiliary(context.cfg.auxiliary, network, seed=1, **settings)
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in auxiliary.heads[0].state_dict().items():
        assert torch.equal(same.heads[0].state_dict()[key], value)
        assert not torch.equal(other.heads[0].state_dict()[key], value)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["auxiliary=classifiers", "auxiliary.classifiers.at={features.stage7: 1}"],
            r"auxiliary.classifiers.at=features.stage7: The network has no module.*nearest.*stage",
        ),
        (
            ["auxiliary=reconstruction", "auxiliary.reconstruction.at={output: 1}"],
            r"auxiliary.reconstruction.at=output: its output 1 x 3 is no feature map",
        ),
        (
            [
                *("auxiliary=classifiers", "auxiliary.classifiers.at={pixels: 1}"),
                "+auxiliary.classifiers.x=1",
            ],
            r"auxiliary.classifiers.at=pixels: .*AuxiliaryClassifier cannot be built.*'x'",
        ),
    ],
)  # fmt: skip
def test_places_are_checked_before_data_is_read(compose_config, overrides, sentence):
    from lightning_modules.networks import build_network

    cfg = compose_config("model.units=[1,1,1]", *overrides)
    network = build_network(cfg.model, num_classes=3, image_size=32)
    with pytest.raises(ConfigError, match=sentence):
        check_auxiliary(cfg.auxiliary, network)


def test_a_module_that_was_compressed_away_is_left_out(built, caplog):
    network, _, context = built
    network = copy.deepcopy(network)
    network.body.features.stage2 = nn.Identity()
    network.body.features.stage3 = nn.Identity()
    context.cfg.auxiliary.classifiers.at = {"features.stage1": 1.0, "features.stage2.unit1": 1.0}
    network.body.output = nn.Linear(60, 3)
    with caplog.at_level(logging.INFO):
        auxiliary = build_auxiliary(context.cfg.auxiliary, network, class_counts=[1, 1, 1], seed=0)
    assert len(auxiliary.heads) == 2
    assert "auxiliary.classifiers.at=features.stage2.unit1 is left out" in caplog.text


def test_they_are_trained_and_kept_but_not_shipped(make_session):
    context = make_session(*BOTH)
    network = initial_network(context.cfg, context.data)
    trained, result = run_stage(Stage("00_train", None, epochs=1), network, context, [])
    checkpoint = read_checkpoint(context.folder / "steps" / "00_train" / "checkpoints")
    heads = {k: v for k, v in checkpoint["state_dict"].items() if k.startswith("auxiliary.")}
    assert {key.split(".")[2] for key in heads} == {"0", "1", "2"}
    fresh = build_auxiliary(
        context.cfg.auxiliary, trained, class_counts=[12, 12, 12], seed=context.cfg.seed
    ).state_dict()
    assert all(
        not torch.equal(heads[f"auxiliary.{key}"], value)
        for key, value in fresh.items()
        if key.endswith("weight")
    )
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    learnt = sum(len(group["params"]) for group in groups)
    own = [key for key in heads if key.endswith(("weight", "bias"))]
    assert learnt == len(list(network.parameters())) + len(own)
    assert result["after"]["cost/params"] == sum(p.numel() for p in network.parameters())
    loaded = load_network(context.folder / "steps" / "00_train")
    assert set(loaded.state_dict()) == set(network.state_dict())
    assert not any(module._forward_hooks for module in trained.modules())
    table = (context.folder / "metrics.csv").read_text().splitlines()
    row = dict(zip(table[0].split(","), table[1].split(","), strict=True))
    extra = float(row["train/classifiers"]) + float(row["train/reconstruction"])
    assert float(row["train/loss"]) > extra > 0


class Kill(pl.Callback):
    """Ends the process's fit in the middle of its third epoch."""

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        if trainer.current_epoch == 2 and batch_index == 1:
            raise ZeroDivisionError


@pytest.mark.slow
def test_a_resumed_fit_equals_the_uninterrupted_one(make_session):
    stage = Stage("00_train", None, epochs=4)
    results = []
    for name in ("whole", "killed"):
        context = make_session(*BOTH, "loss=f1_focal", "mixing=cutmix", name=name)
        pl.seed_everything(0, verbose=False)
        start = initial_network(context.cfg, context.data)
        network = copy.deepcopy(start)
        if name == "killed":
            context.cfg.callbacks = {"kill": {"_target_": f"{__name__}.Kill"}}
            with pytest.raises(ZeroDivisionError):
                fit(network, context, stage)
            assert read_checkpoint(context.checkpoints(stage))["epoch"] == 1
            context.cfg.callbacks = {}
            torch.manual_seed(99)  # another process has another generator
            network = copy.deepcopy(start)
        last = context.checkpoints(stage) / "last.ckpt"
        fit(network, context, stage, resume=last if name == "killed" else None)
        results.append((network, read_checkpoint(context.checkpoints(stage))))
    (whole, expected), (resumed, found) = results
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    assert expected["state_dict"].keys() == found["state_dict"].keys()
    for key, value in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][key], value), key
    optimizer_state = [c["optimizer_states"][0]["state"] for c in (expected, found)]
    for number, state in optimizer_state[0].items():
        assert all(torch.equal(optimizer_state[1][number][k], v) for k, v in state.items())


class NoNumber(nn.Module):
    """A head whose loss is no number from the second batch on."""

    calls = 0

    def __init__(self, *, shape, num_classes, image_size):
        super().__init__()

    def forward(self, feature, images, targets):
        self.calls += 1
        return feature.mean() * (float("nan") if self.calls > 1 else 1)


def test_an_auxiliary_loss_that_is_no_number_ends_the_fit(make_session):
    node = f"{{_target_: {__name__}.NoNumber, at: {{features.stage1: 1.0}}}}"
    context = make_session(f"+auxiliary.mine={node}")
    with pytest.raises(ConfigError, match="The loss became nan in 00_train, epoch 0, update"):
        fit(initial_network(context.cfg, context.data), context, Stage("00_train", None, epochs=1))
