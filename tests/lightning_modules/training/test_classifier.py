"""One's own networks of every kind through the product: trained, saved, loaded, counted."""

import logging
import warnings

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from compression.cost import count_macs, count_params
from compression.outputs import auxiliary_outputs
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_network, save_network
from lightning_modules.training.auxiliary.building import build_auxiliary, check_auxiliary
from lightning_modules.training.classifier import Classifier
from lightning_modules.training.first_step import check_trainable
from lightning_modules.training.memory_format import choose_channels_last
from tests.fixtures.cases.networks import NETWORKS

# Parameters that no loss reaches, by kind: PyTorch trains the rest.
HEAD = {"extra.2.weight", "extra.2.bias"}
UNUSED = {"TupleOutput": HEAD, "DictOutput": HEAD}
# Kinds that PyTorch itself cannot train: a layer's input is overwritten before its gradient.
OVERWRITTEN = {
    "InPlaceSlice": r"x\[:, :16\] = self.side\(x\[:, :16\]\)",
    "InPlaceView": r"y.mul_\(self.gate\(x\).sigmoid\(\)\)",
}


def bring(*, kind: str, num_classes: int) -> nn.Module:
    return NETWORKS[kind]()


def own(kind):
    torch.manual_seed(0)
    node = {"_target_": f"{__name__}.bring", "kind": kind, "name": kind}
    return build_network(node, num_classes=6, image_size=64)


def images_of_six_colors(count=12):
    """Images uint8 N x 3 x 64 x 64 and their classes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 6
    images = torch.randint(0, 60, (count, 3, 64, 64), generator=generator)
    images += (labels * 30)[:, None, None, None]
    return images.to(torch.uint8), labels


def fitted(network, *, auxiliary=None, **settings):
    module = Classifier(
        network,
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda module: torch.optim.SGD(module.parameters(), lr=0.01),
        scheduler=lambda optimizer, _: {"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1)},
        num_classes=6,
        auxiliary=auxiliary,
        **settings,
    )
    batches = DataLoader(TensorDataset(*images_of_six_colors()), batch_size=6)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few workers
        trainer.fit(module, batches, batches)
    assert 0 <= trainer.callback_metrics["val/accuracy"] <= 1
    assert trainer.callback_metrics["train/loss"].isfinite()
    return trainer


@pytest.mark.parametrize("kind", sorted(set(NETWORKS) - set(OVERWRITTEN)))
def test_every_kind_is_trained_saved_loaded_and_counted(kind, tmp_path):
    network = own(kind)
    before = {name: tensor.clone() for name, tensor in network.body.named_parameters()}
    fitted(network)
    unchanged = {n for n, t in network.body.named_parameters() if torch.equal(t, before[n])}
    assert unchanged == UNUSED.get(kind, set())
    save_network(network.eval(), tmp_path)
    loaded = load_network(tmp_path, trust=["tests"])
    images, _ = images_of_six_colors(3)
    logits = []
    for each in (network, loaded):
        torch.manual_seed(1)  # of a network that draws at random
        logits.append(each(images))
    assert torch.equal(*logits) and logits[0].shape == (3, 6)
    assert count_macs(loaded, 64) == count_macs(network, 64)
    assert count_params(loaded) == count_params(network)


@pytest.mark.parametrize("kind", OVERWRITTEN)
def test_what_cannot_be_trained_is_refused_by_its_line(kind):
    says = (
        rf"cannot be trained: .*inplace operation.* after .*{OVERWRITTEN[kind]}.*networks.py line"
    )
    with pytest.raises(ConfigError, match=says):
        check_trainable(own(kind), outputs=False)


@pytest.mark.parametrize("kind", sorted(set(NETWORKS) - set(OVERWRITTEN)))
def test_what_no_gradient_reaches_is_said(kind, caplog):
    network = own(kind)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with caplog.at_level(logging.INFO):
        check_trainable(network, outputs=False)
    said = "No gradient reaches extra.2.weight, extra.2.bias: they stay as they are."
    assert caplog.messages == ([said] if kind in UNUSED else [])
    check_trainable(network, outputs=True)
    assert len(caplog.messages) == (kind in UNUSED)
    assert all(torch.equal(network.state_dict()[name], state[name]) for name in state)


@pytest.mark.parametrize("kind", ["Volume", "MixtureOfKernels", "Conv1dNet", "Tied", "WeightNorm"])
def test_memory_formats_survive_tensors_of_other_ranks(kind, tmp_path):
    network = own(kind)
    chosen = choose_channels_last(
        "auto",
        network,
        images_of_six_colors(2),
        loss=nn.CrossEntropyLoss(),
        device=torch.device("cpu"),
        cache_dir=tmp_path,
    )
    assert chosen in (True, False)
    fitted(network, channels_last=True)


@pytest.mark.parametrize("kind", ["TupleOutput", "DictOutput"])
def test_auxiliary_outputs_join_the_loss(kind, compose_config):
    network = own(kind)
    nodes = compose_config(
        "auxiliary=outputs", "auxiliary.outputs.loss.label_smoothing=0"
    ).auxiliary
    losses = build_auxiliary(nodes, network, class_counts=[2] * 6, seed=0)
    images, labels = images_of_six_colors()
    with losses.features:
        network(images)
        found = losses(images, labels)
    (extra,) = auxiliary_outputs(network.body(network.pixels(images))).values()
    expected = 0.4 * nn.functional.cross_entropy(extra, labels)
    torch.testing.assert_close(found, {"outputs": expected}, rtol=0.05, atol=0)  # BatchNorm moved
    before = network.body.extra[2].weight.clone()
    trainer = fitted(network, auxiliary=losses)
    assert not torch.equal(network.body.extra[2].weight, before)
    assert trainer.callback_metrics["train/outputs"] > 0


def test_without_auxiliary_outputs_their_loss_is_refused(compose_config, caplog):
    nodes = compose_config("auxiliary=outputs").auxiliary
    with pytest.raises(ConfigError, match="auxiliary=outputs: the network gives its logits alone"):
        check_auxiliary(nodes, own("ValueBranch"))
    with caplog.at_level(logging.INFO):
        check_auxiliary(nodes, own("TupleOutput"))
        assert not caplog.messages
        check_auxiliary(compose_config().auxiliary, own("TupleOutput"))
    says = "The network's auxiliary outputs (1) take no part in the loss; auxiliary=outputs adds"
    assert caplog.messages[0].startswith(says)


class OnlyInTraining(nn.Module):
    """As torchvision's GoogLeNet with `aux_logits`."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.main, self.other = (nn.Linear(3, num_classes) for _ in range(2))

    def forward(self, x):
        x = x.mean((2, 3))
        return (self.main(x), self.other(x)) if self.training else self.main(x)


def test_heads_that_speak_in_training_only_are_trained(compose_config):
    node = {"_target_": f"{__name__}.OnlyInTraining"}
    network = build_network(node, num_classes=6, image_size=64)
    nodes = compose_config("auxiliary=outputs").auxiliary
    check_auxiliary(nodes, network)
    before = network.body.other.weight.clone()
    fitted(network, auxiliary=build_auxiliary(nodes, network, class_counts=[2] * 6, seed=0))
    assert not torch.equal(network.body.other.weight, before)
