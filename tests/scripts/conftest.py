"""A finished run on a folder of small pictures, made without training."""

import pytest
from omegaconf import OmegaConf


@pytest.fixture
def saved(homes, folder, compose_config):
    """A saved network, its run directory and its data; the weights are random."""
    import torch

    from lightning_modules.networks import build_network, save_network

    overrides = ["data=image_folder", f"data.root={folder}", "data.image_size=[20,28]"]
    cfg = compose_config(
        *overrides, "data.resize_mode=pad", "model=blocks/diet_found", "logger=none"
    )
    cfg.model.blocks = {
        "b1": [1, "Conv", [8, 3, 2]],
        "b2": [1, "GlobalAvgPool", []],
        "b3": [1, "FixedConv", ["num_classes", 1, 1, None, 1, None]],
    }
    torch.manual_seed(0)
    network = build_network(cfg.model, num_classes=3, image_size=[20, 28]).eval()
    network.class_names = ("blue", "green", "red")
    run = homes / "run"
    save_network(network, run)
    (run / ".hydra").mkdir()
    OmegaConf.save(cfg, run / ".hydra" / "config.yaml")
    return run
