"""Parameters that no gradient reaches are named, those that are frozen are not."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_modules.training.callbacks.gradients import GradientReport


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.lost = nn.Linear(4, 4), nn.Linear(4, 4)
        self.unused, self.frozen = nn.Linear(4, 4, bias=False), nn.Linear(4, 4)
        self.frozen.requires_grad_(False)

    def forward(self, x):
        return self.stem(x) + self.lost(x).detach() + self.frozen(x)


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = Network()

    def training_step(self, batch, index):
        if self.current_epoch == 1:  # as a layer that is let learn later
            self.network.frozen.requires_grad_(True)
        return self.network(batch[0].detach()).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_named_once(caplog, tmp_path):
    module = Module()
    before = {name: value.clone() for name, value in module.network.state_dict().items()}
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        callbacks=[GradientReport()],
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(torch.rand(8, 4)), batch_size=4))
    lines = [record.getMessage() for record in caplog.records if "gradient" in record.getMessage()]
    assert lines == [
        "No gradient reaches lost.weight, lost.bias, unused.weight; training changes none of it."
    ]
    kept = {n for n, v in module.network.state_dict().items() if torch.equal(v, before[n])}
    assert kept == {"lost.weight", "lost.bias", "unused.weight"}
