"""What channels are worth: importances by name, by `_target_`, as an object, and own ones."""

import numpy as np
import pytest
import torch
from torch import nn

from compression import Context, Prune, compress, registry
from compression.errors import CompressionError
from compression.pruning import Importance
from compression.pruning.channel_groups import Channels
from compression.pruning.importance import L2
from compression.pruning.settings import IMPORTANCES
from compression.pruning.tracing import trace_channels


class Largest(Importance):
    """All that a user has to write."""

    def of_weights(self, weight):
        return weight.abs() ** 8


class Biased(Importance):
    """By the bias of each layer, with settings and a name of its own."""

    name = "bias"
    normalized = False

    def __init__(self, sign: int = 1, power: float = 1.0) -> None:
        self.sign, self.power = sign, power

    def slices(self, network, channels, context):
        biases = {n: p for n, p in network.named_parameters() if n.endswith("bias")}
        return {(name, 0): self.sign * bias**self.power for name, bias in biases.items()}


class Backwards(Importance):
    """The last channels matter least; numbers are given in the order of the axes."""

    def score(self, network, channels, context, round):
        return -np.arange(channels.trace.variables, dtype=float)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
    ).eval()  # fmt: skip
    layers[1].weight.data.uniform_(0.5, 1.5)
    layers[0].bias.data = torch.linspace(1, 2, 16)
    layers[1].bias.data = layers[0].bias.data.clone()
    return layers


IMAGES = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
BATCHES = [(IMAGES, torch.tensor([0, 1, 2, 0]))]


def plan_by(importance, **settings) -> dict:
    step = Prune(ratio=0.5, importance=importance, **settings)
    _, recipe = compress(network(), [step], sample=IMAGES, batches=BATCHES)
    return recipe.entries[0].plan


def kept(plan: dict) -> list[int]:
    return plan["kept"][plan["axes"]["0.weight"]["0"]]


@pytest.mark.parametrize("name", [name for name in IMPORTANCES.paths if name != "auto"])
def test_a_name_a_target_and_an_object_are_the_same(name):
    path = IMPORTANCES.paths[name].replace(":", ".")
    part = IMPORTANCES.part(name, "importance")
    plan = plan_by(name)
    assert plan == plan_by({"_target_": path}) == plan_by(part)
    assert part.name == name and plan["why"] == f"{name}, global: 0.5 of the channels"
    assert len(kept(plan)) == 8


def plan_without(importance, **settings) -> dict:
    step = Prune(ratio=0.5, importance=importance)
    return compress(network(), [step], sample=IMAGES, **settings)[1].entries[0].plan


UNLABELED = [(IMAGES, torch.full((4,), -1))]


def test_auto_is_taylor_where_training_images_have_labels():
    plan = plan_by("auto")
    assert plan == plan_by("taylor") and plan["why"].startswith("taylor, global: ")
    assert Prune.describe(plan)[0].endswith("(taylor, global: 0.5 of the channels)")
    assert "(taylor, " in Prune.describe_layers(plan)["0"]
    for given in ({}, {"batches": UNLABELED}, {"val_batches": BATCHES}):
        assert plan_without("auto", **given) == plan_without("l2", **given)
        assert plan_without("auto", **given)["why"].startswith("l2, global: ")
    assert Prune().importance.name == "auto"  # the default


def test_auto_is_l2_where_a_weight_is_frozen():
    frozen = network()
    frozen[0].requires_grad_(False)
    _, recipe = compress(frozen, [Prune(ratio=0.5)], sample=IMAGES, batches=BATCHES)
    assert recipe.entries[0].plan["why"].startswith("l2, global: ")


def test_a_scan_says_what_auto_took(tmp_path):
    assert scans("auto", tmp_path) == scans("taylor", tmp_path)  # found again


def test_auto_scores_as_what_it_takes():
    layers, auto = network(), IMPORTANCES.part("auto", "importance")
    channels = Channels(trace_channels(layers, (12, 12)))
    for batches, name in ((lambda: BATCHES, "taylor"), (None, "l2")):
        context = Context(sample=IMAGES, image_size=(12, 12), train_batches=batches)
        taken = IMPORTANCES.part(name, "importance")
        scores = [each.score(layers, channels, context, 0) for each in (auto, taken)]
        np.testing.assert_array_equal(*scores)


def test_gradients_that_are_not_finite():
    images, labels = BATCHES[0]
    bad = torch.where(torch.arange(len(images)).view(-1, 1, 1, 1) == 0, torch.nan, images)
    says = r"prune.importance=taylor: the gradients of \S+ are not all finite"
    with pytest.raises(CompressionError, match=says):
        compress(network(), [Prune(ratio=0.5)], sample=IMAGES, batches=[(bad, labels)])


def test_scores_of_layers_are_scaled_where_they_differ_by_layer():
    parts = {name: IMPORTANCES.part(name, "importance") for name in IMPORTANCES.paths}
    assert {name for name, part in parts.items() if part.normalized} == {"auto", "l1", "l2", "fpgm"}


def test_an_own_importance_of_weights():
    layers = network()
    both = layers[0].weight.flatten(1), layers[5].weight.T  # each channel's slices on both axes
    score = sum(slices.abs().pow(8).sum(1) for slices in both)
    plan = plan_by(Largest())
    assert kept(plan) == sorted(score.topk(8).indices.tolist())
    assert plan["why"].startswith("Largest, global: ")
    assert plan == plan_by({"_target_": f"{__name__}.Largest"})


def test_an_own_importance_of_slices_and_of_channels():
    assert kept(plan_by(Biased())) == list(range(8, 16))
    node = {"_target_": f"{__name__}.Biased", "sign": -1}
    assert kept(plan_by(node)) == list(range(8))
    assert plan_by(node)["why"] == "bias, global: 0.5 of the channels"
    assert kept(plan_by(Backwards(), scope="uniform")) == list(range(8))


def test_a_class_without_a_name_of_its_own_is_called_as_in_its_file():
    class Mine(L2):
        pass

    assert (Mine.name, L2.name, Importance.name) == ("Mine", "l2", "importance")


def scans(importance, folder) -> set[str]:
    step = Prune(target={"macs": 0.7}, importance=importance, ratios="sensitivity", round_to=1)
    _, _ = compress(network(), [step], sample=IMAGES, batches=BATCHES, scans=folder)
    (file,) = folder.glob("*/figures.json")
    return set(file.read_text().split("channels by ")[1:])


def test_own_importances_of_one_name_share_no_scan(tmp_path):
    """Their code and settings may differ, and what they gave then is kept in a file."""
    first = scans(Biased(), tmp_path)
    assert scans(Biased(), tmp_path) == first  # the same scores: all of it is found again
    other = scans(Biased(sign=-1), tmp_path)
    assert len(other) == 2 * len(first)
    assert all(said.startswith("bias (scores ") for said in other)
    assert len(scans("l1", tmp_path)) == 3 * len(first)
    assert scans("l1", tmp_path) == scans(IMPORTANCES.part("l1", "importance"), tmp_path)


class Scores:
    def score(self):
        return None


class Narrow(Importance):
    def of_weights(self, weight):
        return weight.abs().sum(1)


class Short(Importance):
    def slices(self, network, channels, context):
        return {("0.weight", 0): torch.ones(3)}


class Few(Importance):
    def score(self, network, channels, context, round):
        return np.ones(3)


class Failing(Importance):
    def __init__(self) -> None:
        raise RuntimeError("no scores today")


@pytest.mark.parametrize(
    ("importance", "sentence"),
    [
        (Scores(), f"prune.importance: {__name__}.Scores is no importance: it has no name, norm"),
        (Largest, "Largest is no importance: it is a class and not an object of one"),
        ({"_target_": "builtins.dict"}, "builtins.dict is no importance: it has no score"),
        ({"_target_": "no_such.Thing"}, "prune.importance: no_such.Thing cannot be built: No mod"),
        ({"_target_": f"{__name__}.Failing"}, "Failing cannot be built: no scores today"),
        ({"_target_": f"{__name__}.Largest", "power": 2}, "Largest cannot be built: .*arguments"),
        ({"kind": "l1"}, "has no _target_, which names your class"),
        ("lam", r"prune.importance=lam does not exist \(did you mean lamp\?\); there are auto, l1"),
    ],
)
def test_what_is_no_importance_is_refused_when_the_step_is_built(importance, sentence):
    with pytest.raises(CompressionError, match=sentence):
        Prune(importance=importance)


@pytest.mark.parametrize(
    ("importance", "sentence"),
    [
        (Narrow(), r"prune.importance=Narrow gives scores of the shape \[16, 3, 3\] for the weights"
                   r" 0.weight, which needs \[16, 3, 3, 3\]"),
        (Short(), r"=Short gives scores of the shape \[3\] for axis 0 of 0.weight, .* \[16\]"),
        (Few(), r"=Few gives scores of the shape \[3\] for \d+ channels"),
    ],
)  # fmt: skip
def test_scores_that_do_not_fit_the_network_are_said(importance, sentence):
    with pytest.raises(CompressionError, match=sentence):
        plan_by(importance)


def test_an_installed_package_offers_one_by_name(tmp_path, monkeypatch):
    (tmp_path / "offered.py").write_text(
        "from compression.pruning import Importance\n\n\n"
        "class Cubes(Importance):\n    def of_weights(self, weight):\n"
        "        return weight.abs() ** 3\n"
    )
    info = tmp_path / "offered-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{IMPORTANCES.group}]\ncubes = offered:Cubes\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    try:
        assert plan_by("cubes")["why"].startswith("Cubes, global")
    finally:
        registry._entry_points.cache_clear()
