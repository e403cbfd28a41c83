import hashlib
import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from compression import CompressionError, compress
from compression.factorization.tucker import Tucker
from compression.quantization.int8_network import Int8Network
from lightning_modules.errors import ConfigError
from lightning_modules.networks import (
    build_network,
    load_network,
    load_recipe,
    save_network,
    set_image_size,
)
from lightning_modules.networks.description import _own_sha256
from tests.conftest import ROOT

IN_A_NEW_PROCESS = """
import pickle, sys, torch
from safetensors.torch import load_file
def refuse(*args, **kwargs):
    raise AssertionError("something was unpickled")
pickle.load = pickle.loads = torch.load = pickle.Unpickler = refuse
from lightning_modules.networks import load_network
stored = load_file(sys.argv[2])
network = load_network(sys.argv[1])
assert torch.equal(network(stored["images"]), stored["logits"])
assert network.class_names == ("blue", "green", "red") and network.image_size == (32, 48)
"""

IN_A_HOUSE_WHERE_FILES_MOVED = """
import importlib.abc, importlib.util, sys, torch
from safetensors.torch import load_file
moved = {
    "lightning_modules.networks.elsewhere": "lightning_modules/networks/shufflenet_v1.py",
    "compression.elsewhere": "compression/factorization/tucker.py",
}
gone = ("lightning_modules.networks.shufflenet_v1", "compression.factorization.tucker")
class Moved(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in gone:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return importlib.util.spec_from_file_location(name, moved[name]) if name in moved else None
sys.meta_path.insert(0, Moved())
from compression.steps import STEPS
from lightning_modules.networks import load_network
from lightning_modules.runs.saved_model import NETWORKS, SavedNetwork
NETWORKS["shufflenet_v1"] = SavedNetwork("lightning_modules.networks.elsewhere.ShuffleNetV1")
STEPS.paths["tucker"] = "compression.elsewhere:Tucker"
stored = load_file(sys.argv[2])
network = load_network(sys.argv[1])
assert torch.equal(network(stored["images"]), stored["logits"])
assert type(network.body).__module__ == "lightning_modules.networks.elsewhere"
assert not set(gone) & set(sys.modules)
"""


@pytest.fixture
def tuckered(network, images):
    return compress(network, [Tucker(ratio=0.5)], sample=images, batches=[(images, None)])[0].eval()


@pytest.fixture
def run(tuckered, tmp_path):
    save_network(tuckered, tmp_path / "run", extra={"data": "demo"})
    return tmp_path / "run"


@pytest.mark.parametrize("kind", [pytest.param("network", marks=pytest.mark.slow), "tuckered"])
def test_round_trip_is_exact_in_a_new_process(kind, request, images, tmp_path):
    network = request.getfixturevalue(kind)
    save_network(network, tmp_path)
    logits = network(images).detach()
    loaded = load_network(tmp_path)
    assert torch.equal(loaded(images), logits) and not loaded.training
    assert loaded.model_cfg == {**network.model_cfg, "pretrained": False, "weights": None}
    assert loaded.recipe == network.recipe == load_recipe(tmp_path / "model")
    save_file({"images": images, "logits": logits}, tmp_path / "expected.safetensors")
    words = [sys.executable, "-c", IN_A_NEW_PROCESS, tmp_path, tmp_path / "expected.safetensors"]
    subprocess.run(words, check=True, cwd=ROOT)


def test_a_saved_network_survives_that_files_move(run, tuckered, images, tmp_path):
    expected = tmp_path / "expected.safetensors"
    save_file({"images": images, "logits": tuckered(images).detach()}, expected)
    words = [sys.executable, "-c", IN_A_HOUSE_WHERE_FILES_MOVED, run, expected]
    subprocess.run(words, check=True, cwd=ROOT)


def test_the_size_of_a_loaded_network_is_checked(run, images):
    with pytest.raises(CompressionError, match=r"takes images of 32 x 48 pixels .*any_size=True"):
        load_network(run)(images[..., :32])
    free = load_network(run, any_size=True)
    assert free(images[..., :32]).shape == (len(images), 3)
    assert torch.equal(free(images), load_network(run)(images))


def test_a_loaded_network_is_made_for_another_size(run, images):
    network = set_image_size(load_network(run), [32, 32])
    assert network.image_size == (32, 32)
    assert network(images[..., :32]).shape == (len(images), 3)
    with pytest.raises(CompressionError, match="32 x 32 pixels .*, not 32 x 48"):
        network(images)
    int8 = Int8Network(network, b"graph")
    with pytest.raises(ConfigError, match="An int8 network takes images of 32 x 32 pixels only"):
        set_image_size(int8, 48)
    network.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
    with pytest.raises(CompressionError, match="cannot take images of 48 x 48 pixels"):
        set_image_size(network, 48)


def test_networks_and_steps_are_stored_by_name(run):
    model = yaml.safe_load((run / "model" / "network.yaml").read_text())["model"]
    assert (model["_network_"], model["_version_"]) == ("shufflenet_v1", 1)
    for name in ("network.yaml", "recipe.json"):
        text = (run / "model" / name).read_text()
        assert "lightning_modules" not in text and "compression." not in text


def as_schema_1(content):
    """Makes a description as it was before networks had registered names."""
    content["schema"] = 1
    model = content["model"]
    del model["_network_"], model["_version_"]
    model["_target_"] = "lightning_modules.networks.shufflenet_v1.ShuffleNetV1"


def test_schema_1_is_read(run, tuckered, images):
    path = run / "model" / "recipe.json"
    recipe = json.loads(path.read_text())
    assert [entry["step"] for entry in recipe["entries"]] == ["tucker"]
    recipe["entries"][0]["step"] = "compression.factorization.tucker.Tucker"
    path.write_text(json.dumps({**recipe, "schema": 1}))
    change(run, as_schema_1)
    loaded = load_network(run)
    assert torch.equal(loaded(images), tuckered(images)) and loaded.recipe == tuckered.recipe
    assert loaded.model_cfg == {**tuckered.model_cfg, "pretrained": False, "weights": None}


def test_saves_any_memory_format_and_mode(tuckered, images, tmp_path):
    expected = tuckered(images)
    network = tuckered.train().to(memory_format=torch.channels_last)
    save_network(network, tmp_path)
    assert network.training
    loaded = load_network(tmp_path)
    assert torch.equal(loaded(images), expected)
    assert all(t.is_contiguous() for t in loaded.state_dict().values())


@pytest.mark.parametrize(
    "option",
    [
        "mnasnet",
        "efficientnet",
        "staged",
        pytest.param("robnet_free", marks=pytest.mark.slow),
        "blocks/diet_found",
        "timm",
    ],
)
def test_networks_of_every_maker_come_back(option, model_cfg, tmp_path):
    network = build_network(model_cfg(option), num_classes=3, image_size=32).eval()
    save_network(network, tmp_path, model_cfg=model_cfg(option))
    assert load_network(tmp_path).body.state_dict().keys() == network.body.state_dict().keys()


def test_a_loaded_network_trains_and_saves_again(run, images, tmp_path):
    network = load_network(run).train()
    network(images).sum().backward()
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    save_network(network, run)
    again = load_network(run)
    assert torch.equal(again(images), network.eval()(images))
    assert sorted(p.name for p in run.iterdir()) == ["model"]


def test_an_interrupted_write_leaves_the_earlier_network(run, network, monkeypatch):
    before = (run / "model" / "network.yaml").read_bytes()
    with pytest.raises(ConfigError, match="plain data"):
        save_network(network, run, extra={"a": object()})
    assert (run / "model" / "network.yaml").read_bytes() == before
    assert sorted(p.name for p in run.iterdir()) == ["model"]


def test_nothing_worth_saving(network, tmp_path):
    network.body.output.bias.data[0] = torch.nan
    with pytest.raises(ConfigError, match="NaN"):
        save_network(network, tmp_path)
    network.class_names = ("one",)
    with pytest.raises(ConfigError, match="1 class names"):
        save_network(network, tmp_path)
    assert not list(tmp_path.iterdir())


def change(run, edit, *, rehash=True):
    """Edit network.yaml as somebody would who also knows how to fix the hashes."""
    path = run / "model" / "network.yaml"
    content = yaml.safe_load(path.read_text())
    edit(content)
    if rehash:
        for name in ("recipe.json", "weights.safetensors", "probe.safetensors"):
            found = hashlib.sha256((run / "model" / name).read_bytes()).hexdigest()
            content["sha256"][name] = found
        content["sha256"]["network.yaml"] = _own_sha256(content)
    path.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("name", ["recipe.json", "weights.safetensors", "probe.safetensors"])
def test_a_tampered_or_missing_file_is_named(run, name):
    path = run / "model" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{name} was changed"):
        load_network(run)
    path.unlink()
    with pytest.raises(ConfigError, match=f"{name} is missing"):
        load_network(run)


def test_other_class_names_are_noticed(run):
    change(run, lambda c: c["class_names"].reverse(), rehash=False)
    with pytest.raises(ConfigError, match=r"network\.yaml was changed"):
        load_network(run)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda c: c.update(schema=9), "schema version 9; this installation reads versions 1 and"),
        (lambda c: c["model"].update(_network_="vgg"), "the network 'vgg', which this version doe"),
        (lambda c: c["model"].update(_version_=2), "version 2 of the network shufflenet_v1"),
        (lambda c: c["model"].pop("_network_"), "needs a _target_"),
        (lambda c: c.pop("model"), "lacks model"),
        (lambda c: c["model"].update(units=[2, 1, 1]), "do not match"),
        (lambda c: c["model"].update(width=0.5), "another architecture"),
        (lambda c: c.update(num_classes=4), "do not match"),
        (lambda c: c["model"].update(mean=[0, 0, "${oc.env:HOME}"]), "interpolation"),
        (lambda c: c.update(image_size="big"), "image size"),
    ],
)
def test_a_wrong_description_is_refused(run, edit, says):
    change(run, edit)
    with pytest.raises(ConfigError, match=says):
        load_network(run)


def test_loading_never_downloads(run, monkeypatch):
    from torchvision import models

    download = lambda *_, **__: pytest.fail("a download was tried")  # noqa: E731
    monkeypatch.setattr(models._api.WeightsEnum, "get_state_dict", download)
    other = {"_target_": "lightning_modules.networks.zoo.torchvision_network"}
    other |= {"family": "squeezenet", "variant": "squeezenet1_1", "pretrained": True}
    change(run, lambda c: c.update(model=other))
    with pytest.raises(ConfigError):
        load_network(run)


TARGETS = [
    "os.system",
    "builtins.eval",
    "torch.load",
    "compression_evil.Thing",
    "lightning_modules.networks.saved.os.system",
    "lightning_modules.networks.saved.load_network",
    "compression.recipe.json.loads",
    "compression.onnx.export.export_onnx",
    "lightning_modules.networks.nothing.Here",
    "lightning_modules.networks.timm_zoo.check_name",
    "lightning_modules.networks.blocks.staged.stage_rows",
    {"a": 1},
]


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("nested", [False, True])
def test_foreign_code_is_never_run(run, target, nested, monkeypatch):
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("os.system was called"))
    node = {"_target_": target, "command": "true"}
    change(run, lambda c: c["model"].update({"extra": [{"deep": node}]} if nested else node))
    with pytest.raises(ConfigError, match="not run"):
        load_network(run)


def test_foreign_steps_are_never_run(run):
    path = run / "model" / "recipe.json"
    for step in ("os.system", "compression.step.torch.load", "compression.recipe.Recipe"):
        recipe = {"schema": 1, "entries": [{"step": step, "version": 1, "plan": {}}]}
        path.write_text(json.dumps(recipe))
        change(run, lambda c: None)
        with pytest.raises(ConfigError, match="cannot be replayed"):
            load_network(run)


def test_other_weights_fail_the_probe(run):
    path = run / "model" / "weights.safetensors"
    state = load_file(path)
    state["body.features.init_block.bn.bias"] += 0.5
    save_file(state, path)
    change(run, lambda c: None)
    with pytest.raises(ConfigError, match="probe check failed"):
        load_network(run)


def test_a_pickle_in_disguise_is_refused(run):
    (run / "model" / "weights.safetensors").write_bytes(pickle.dumps({"a": 1}))
    change(run, lambda c: None)
    with pytest.raises(ConfigError, match="no safetensors"):
        load_network(run)


def test_a_directory_without_a_network(tmp_path):
    with pytest.raises(ConfigError, match="a run directory has a folder model/"):
        load_network(tmp_path)
    with pytest.raises(ConfigError, match="holds no saved network"):
        load_network(tmp_path / "absent")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "network.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="incomplete"):
        load_network(tmp_path)


def test_unreadable_yaml(run):
    (run / "model" / "network.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_network(run)


def test_a_trusted_package_may_join(tmp_path, monkeypatch, images):
    code = (
        "from torch import nn\n"
        "class Body(nn.Sequential):\n"
        "    def __init__(self, *, num_classes):\n"
        "        scale = nn.Linear(1, 1).weight.item()  # reads a value: not possible on meta\n"
        "        head = nn.Linear(3, num_classes)\n"
        "        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)\n"
    )
    (tmp_path / "their_package.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    cfg = {"_target_": "their_package.Body"}
    network = build_network(cfg, num_classes=3, image_size=[32, 48]).eval()
    save_network(network, tmp_path)
    with pytest.raises(ConfigError, match=r"their_package\.Body"):
        load_network(tmp_path)
    loaded = load_network(tmp_path, trust=["their_package"])
    assert torch.equal(loaded(images), network(images))


def test_another_account_can_read_what_is_saved(network, tmp_path):
    earlier = os.umask(0o022)
    try:
        folder = save_network(network, tmp_path)
    finally:
        os.umask(earlier)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}
    assert set(modes.values()) == {"0o644"}, modes
    assert folder.stat().st_mode & 0o777 == 0o755


def test_the_bits_in_use_are_saved(tuckered, tmp_path):
    for levels in (12, None):
        tuckered.levels = levels
        folder = save_network(tuckered, tmp_path)
        assert yaml.safe_load((folder / "network.yaml").read_text())["levels"] == levels
        assert load_network(tmp_path).levels == levels
