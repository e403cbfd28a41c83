"""An int8 network is saved as one ONNX file and comes back as it was."""

import pytest
import torch
import yaml

from compression import CompressionError, Context
from compression.cost.macs import count_macs, count_params
from compression.quantization.int8_network import Int8Network
from compression.quantization.quantize import Quantize
from compression.recipe import Entry, Recipe
from lightning_modules.deployment.formats import format_named
from lightning_modules.deployment.inference_model import metadata_of
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_network, save_network


@pytest.mark.slow
def test_round_trip_and_export(model_cfg, tmp_path):
    torch.manual_seed(0)
    cfg = model_cfg("blocks/diet_found")
    cfg.blocks = {
        "b1": [1, "Conv", [8, 3, 2]],
        "b2": [1, "GlobalAvgPool", []],
        "b3": [1, "FixedConv", ["num_classes", 1, 1, None, 1, None]],
    }
    network = build_network(cfg, num_classes=3, image_size=[32, 48]).eval()
    network.class_names = ("blue", "green", "red")
    images = torch.randint(0, 256, (20, 3, 32, 48), dtype=torch.uint8)
    context = Context(sample=images, image_size=(32, 48), train_batches=lambda: [(images, None)])
    step = Quantize(images=16, method="minmax")
    entry = Entry.of(step, step.plan(network, context, 0))
    quantised = step.apply(network, entry.plan)
    quantised.recipe = Recipe([entry])
    expected = quantised(images)

    save_network(quantised, tmp_path)
    folder = tmp_path / "model"
    assert sorted(path.name for path in folder.iterdir()) == [
        "network.int8.onnx", "network.yaml", "probe.safetensors", "recipe.json",
    ]  # fmt: skip
    loaded = load_network(tmp_path)
    assert isinstance(loaded, Int8Network) and torch.equal(loaded(images), expected)
    assert loaded.class_names == ("blue", "green", "red") and loaded.image_size == (32, 48)
    assert loaded.recipe == quantised.recipe
    macs, params = count_macs(network, [32, 48]), count_params(network)
    assert (count_macs(loaded, [32, 48]), count_params(loaded)) == (macs, params)
    told = yaml.safe_load((folder / "network.yaml").read_text())
    assert told["cost"] == {"macs": macs, "params": params}
    save_network(loaded, tmp_path / "again")
    assert torch.equal(load_network(tmp_path / "again")(images), expected)

    with pytest.raises(CompressionError, match="takes images of 32 x 48 pixels .*, not 32 x 32"):
        loaded(images[..., :32])
    with pytest.raises(ConfigError, match="an int8 network, whose file takes images of 32 x 48"):
        load_network(tmp_path, any_size=True)

    metadata = metadata_of(loaded, resize_mode="stretch")
    path = tmp_path / "network.onnx"
    format_named("onnx").write(loaded, path, metadata)
    model = format_named("onnx").open_file(path, threads=1)
    torch.testing.assert_close(torch.from_numpy(model(images.numpy())), expected.softmax(1))
    assert model.metadata == metadata
    with pytest.raises(ConfigError, match="export it with format=onnx"):
        format_named("torch_export").write(loaded, tmp_path / "a.pt2", metadata)

    content = bytearray((folder / "network.int8.onnx").read_bytes())
    content[-1] ^= 1
    (folder / "network.int8.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match=r"network\.int8\.onnx was changed"):
        load_network(tmp_path)
