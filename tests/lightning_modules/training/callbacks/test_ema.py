"""The average of the weights, against a second computation."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_modules.errors import ConfigError
from lightning_modules.training.callbacks.ema import EMA


class Regression(pl.LightningModule):
    """Two Linear and a BatchNorm; notes its weights after each update and at each validation."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
        self.after, self.validated = [], []

    def training_step(self, batch, index):
        return (self.network(batch[0]) - batch[0][:, :1]).square().mean()

    def on_train_batch_end(self, *_):
        self.after.append({k: v.clone() for k, v in self.network.state_dict().items()})

    def validation_step(self, batch, index):
        self.validated.append({k: v.clone() for k, v in self.network.state_dict().items()})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.3)


def fitted(decay, epochs=3):
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.randn(20, 3)), batch_size=5)
    module = Regression()
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[EMA(decay=decay)], logger=False, accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, loader, loader)
    return module


def averaged(states, decay):
    average = {k: v.double() for k, v in states[0].items()}
    for n, state in enumerate(states[1:], start=1):
        d = min(decay, (1 + n) / (10 + n))
        average = {k: d * v + (1 - d) * state[k].double() for k, v in average.items()}
    return average


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_network_leaves_with_the_average_of_weights_and_statistics(decay):
    module = fitted(decay)
    expected = averaged(module.after, decay)
    for key, value in module.network.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value.double(), expected[key], atol=1e-6), key
    assert module.network[1].num_batches_tracked == 12
    assert not torch.allclose(module.network[0].weight, module.after[-1]["0.weight"])


def test_validation_sees_the_average_and_training_goes_on_from_the_weights():
    module = fitted(0.9, epochs=2)
    expected = averaged(module.after[:4], 0.9)
    for key, value in module.validated[0].items():
        if value.is_floating_point():
            assert torch.allclose(value.double(), expected[key], atol=1e-6)
    plain = Regression()
    torch.manual_seed(0)
    images = torch.randn(20, 3)
    plain.load_state_dict({f"network.{k}": v for k, v in module.after[3].items()})
    optimizer = plain.configure_optimizers()
    plain.training_step((images[:5],), 0).backward()
    optimizer.step()
    assert torch.equal(plain.network[0].weight, module.after[4]["0.weight"])


@pytest.mark.parametrize("decay", [0, 1, -0.1, 1.5])
def test_impossible_decays(decay):
    with pytest.raises(ConfigError, match=r"must be between 0 and 1"):
        EMA(decay=decay)
