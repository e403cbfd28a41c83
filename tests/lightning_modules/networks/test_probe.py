"""The stored input and output: exact, or within what a network spreads that draws at random."""

import logging

import pytest
import torch
from torch import nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.probe import check_probe, make_probe


class Noisy(nn.Module):
    """Drop-out in eval mode, or noise that no generator of torch's decides."""

    def __init__(self, seeds=()) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.seeds = list(seeds)

    def forward(self, images):
        pooled = images.float().mean((2, 3)) / 255
        if not self.seeds:
            return self.fc(nn.functional.dropout(pooled, 0.2, training=True))
        noise = torch.randn(3, generator=torch.Generator().manual_seed(self.seeds.pop()))
        return self.fc(pooled + 0.01 * noise)


def test_drop_out_in_eval_is_drawn_again_and_said(caplog):
    network = Noisy().eval()
    with caplog.at_level(logging.INFO):
        probe = make_probe(network, (8, 8))
    assert "draws random numbers when it predicts: its logits differ by up to" in caplog.text
    state = torch.get_rng_state()
    check_probe(network, probe, tolerance=0)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else draws other numbers for it


def test_other_noise_is_compared_no_closer_than_it_spreads():
    network = Noisy(range(20)).eval()
    probe = make_probe(network, (8, 8))
    assert 0 < probe["spread"] < 0.1
    check_probe(network, probe)
    with torch.no_grad():
        network.fc.bias += 1
    with pytest.raises(ConfigError, match="logits differ from the stored ones"):
        check_probe(network, probe)


def test_a_network_without_noise_is_compared_as_ever(network, caplog):
    with caplog.at_level(logging.INFO):
        probe = make_probe(network, (32, 48))
    assert probe.keys() == {"images", "logits"} and not caplog.text
    check_probe(network, probe, tolerance=0)
    probe["logits"] = probe["logits"] * 1.001
    with pytest.raises(ConfigError, match="logits differ from the stored ones"):
        check_probe(network, probe)
