"""Frozen layers stand still and are in eval mode; then all learn."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.training.callbacks.freezing import Freezing


class Body(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, images):
        return self.fc(self.drop(self.norm(self.stem(images)).mean((2, 3))))


class Module(pl.LightningModule):
    """Keeps the network's state and modes at the end of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        model = {"name": "body", "_target_": f"{__name__}.Body"}
        self.network = build_network(model, num_classes=3, image_size=8)
        self.states, self.modes = [self.state()], []

    def state(self):
        return {key: value.clone() for key, value in self.network.state_dict().items()}

    def training_step(self, batch, index):
        self.modes.append({n: m.training for n, m in self.network.named_modules()})
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def on_train_epoch_end(self):
        self.states.append(self.state())
        self.with_state = {id(p) for p in self.trainer.optimizers[0].state}

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01, weight_decay=0.1)


def fitted(*, frozen, patterns=None, epochs=3):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (12, 3, 8, 8), dtype=torch.uint8)
    loader = DataLoader(TensorDataset(images, torch.arange(12) % 3), batch_size=6)
    module = Module()
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[Freezing(epochs=frozen, patterns=patterns)],
        logger=False, accelerator="cpu", enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, loader)
    return module


def changed(module, epoch):
    before, after = module.states[epoch], module.states[epoch + 1]
    return {key for key in before if not torch.equal(before[key], after[key])}


def test_only_the_head_learns_at_first():
    module = fitted(frozen=2)
    assert changed(module, 0) == changed(module, 1) == {"body.fc.weight", "body.fc.bias"}
    assert {"body.stem.weight", "body.norm.weight", "body.norm.running_mean"} <= changed(module, 2)


def test_frozen_layers_are_in_eval_mode_and_dropout_is_not_theirs():
    module = fitted(frozen=1, epochs=2)
    first, last = module.modes[0], module.modes[-1]
    assert not first["body.norm"]
    assert not first["body.stem"]
    assert first["body.fc"]
    assert first["body.drop"]
    assert all(last.values())


def test_patterns_choose_what_is_frozen():
    module = fitted(frozen=1, epochs=1, patterns=["body.stem", "head"])
    assert not changed(module, 0) & {"body.stem.weight", "body.fc.weight", "body.fc.bias"}
    assert {"body.norm.weight", "body.norm.running_mean"} <= changed(module, 0)


def test_frozen_weights_get_no_moments_and_the_network_leaves_trainable():
    module = fitted(frozen=1, epochs=1)
    assert module.with_state == {id(p) for p in module.network.body.fc.parameters()}
    assert all(p.requires_grad for p in module.network.parameters())
    assert all(m.training for m in module.network.modules())


def test_what_never_learns_is_not_thawed():
    class Fixed(Freezing):
        def on_fit_start(self, trainer, module):
            module.network.body.stem.requires_grad_(False)
            super().on_fit_start(trainer, module)

    freezing = Fixed(epochs=1)
    module = Module()
    freezing.on_fit_start(SimpleNamespace(world_size=1), module)
    freezing.on_fit_end(None, module)
    assert not module.network.body.stem.weight.requires_grad
    assert module.network.body.norm.weight.requires_grad


def test_a_pattern_without_a_layer():
    with pytest.raises(ConfigError, match=r"'body.stemm'; the nearest names are body.stem"):
        Freezing(epochs=1, patterns=["body.stemm"]).frozen_layers(Module().network)
