"""What can be done with a network, and why not the rest: answers before any training."""

from itertools import islice

import pytest
import torch
from torch import nn

from lightning_modules.deployment import supported
from lightning_modules.networks import Network
from lightning_modules.networks.network import Pixels
from tests.fixtures.cases.networks import NETWORKS, Body

ALL = (
    *("cost", "train", "prune", "prune_layers", "prune_weights", "tucker", "cp", "svd"),
    *("spatial_svd", "quantize", "quantize_aware", "onnx", "torch_export", "openvino"),
    *("executorch", "latency"),
)
UNPACKAGED = {"quantize_aware", "openvino", "executorch"}  # need packages that may be missing


def network_of(body: nn.Module) -> Network:
    torch.manual_seed(0)
    return Network(pixels=Pixels(), body=body, num_classes=6, image_size=(64, 64)).eval()


def answers(body: nn.Module, first: int | None = None) -> dict[str, tuple[str, str]]:
    found = islice(supported(network_of(body)), first)  # what is not asked for is not tried
    return {each.name: (each.answer, each.reason) for each in found}


class Idle(Body):
    """By values to one of two layers, of which the other gets no gradient."""

    def __init__(self):
        super().__init__()
        self.plus, self.minus = nn.Conv2d(32, 32, 1), nn.Conv2d(32, 32, 1)

    def middle(self, x):
        return self.plus(x) if x.mean() > -1 else self.minus(x)


@pytest.mark.slow
def test_a_network_whose_way_depends_on_values():
    found = answers(Idle())
    assert tuple(found) == ALL
    assert found["cost"] == ("yes", "5,472,544 MACs, 17,206 parameters")
    assert found["train"] == (
        "yes",
        "no gradient reaches body.minus.weight, body.minus.bias",
    )
    assert found["prune"][0] == found["tucker"][0] == found["svd"][0] == "yes"
    assert found["svd"][1].startswith("down to 0.82 of the MACs; not by its usual settings (svd by")
    assert found["prune_weights"] == ("yes", "")
    assert found["prune"][1].startswith("down to 0.")
    assert found["prune_layers"][0] == "no"
    assert found["prune_layers"][1].startswith("This network has no unit that prune_layers could")
    for name in ("quantize", "onnx"):
        assert found[name][0] == "no"
        assert "values of tensors" in found[name][1]
    assert found["torch_export"][0] == "no"
    assert found["latency"][0] == "yes"
    assert found["latency"][1].startswith("in eager mode. This network cannot be exported to ONNX")
    assert all(len(reason.splitlines()) <= 1 for _, reason in found.values())


class Broken(Body):
    def middle(self, x):
        return x.detach() if self.training else x


class Overwriting(Body):
    def middle(self, x):
        return x.exp().add_(1).mul_(x.exp_())


def test_what_cannot_be_trained_is_said():
    found = answers(Broken(), 2)
    assert found["train"][0] == "yes"
    assert found["train"][1].startswith(
        "no gradient reaches body.stem.0.weight, body.stem.1.weight"
    )
    answer, reason = answers(Overwriting(), 2)["train"]
    assert answer == "no" and "modified by an inplace operation" in reason


def test_what_is_not_installed_is_said(monkeypatch):
    from lightning_modules.deployment import support

    def missing(name):
        return None if name == "torchao" else object()

    monkeypatch.setattr("compression.quantization.settings.find_spec", missing)
    monkeypatch.setattr(support, "STEPS", _Only("quantize_aware"))
    assert answers(NETWORKS["Shift"](), 3)["quantize_aware"] == (
        "?",
        "quantize_aware needs torchao; install it with: pip install '.[qat]'",
    )


class _Only:
    def __init__(self, name):
        from compression.steps import STEPS

        self.paths = {name: STEPS.paths[name]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "refused", "latency"),
    [
        ("Shift", {"prune_layers", "svd"}, "in onnxruntime"),
        ("DictOutput", {"prune_layers"}, "in onnxruntime"),
        ("InPlaceView", {"prune_layers", "train"}, "in onnxruntime"),
        (
            "LoopsOverBatch",
            {"prune_layers", "svd", "torch_export"},
            "in onnxruntime, one image at a time. ",
        ),
    ],
)
def test_each_format_and_step(name, refused, latency):
    found = answers(NETWORKS[name]())
    told = {key for key, (answer, _) in found.items() if answer == "no"} - UNPACKAGED
    assert told == refused
    assert all(reason for answer, reason in found.values() if answer != "yes")
    assert found["latency"][1].startswith(latency)
    assert found["onnx"][1].endswith(" bytes")
