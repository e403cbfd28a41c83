import copy

import pytest
import torch
from torch import nn

from compression import Context, Recipe, compress
from compression.cost.macs import count_macs, count_params
from compression.errors import CompressionError
from compression.pruning.ablation import loss_increase
from compression.pruning.prune_layers import PruneLayers
from compression.pruning.units import unit_stages
from lightning_modules.networks import build_network, load_network, save_network


class Unit(nn.Module):
    """Residual, of a given strength; `stride` 2 changes the shape."""

    def __init__(self, channels: int, stride: int = 1, strength: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride, padding=1)
        nn.init.constant_(self.conv.weight, strength / channels / 9)
        self.stride = stride

    def forward(self, x):
        y = self.conv(x)
        return x + y if self.stride == 1 else y


def stack(*strengths: float) -> nn.Module:
    units = [Unit(6, 2), *(Unit(6, strength=s) for s in strengths)]
    return nn.Sequential(
        nn.Conv2d(3, 6, 1),
        nn.Sequential(*units),
        nn.Sequential(Unit(6, 2), Unit(6)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    ).eval()


@pytest.fixture
def sample():
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def shufflenet(model_cfg):
    torch.manual_seed(0)
    return build_network(model_cfg("shufflenet_g3"), num_classes=6, image_size=80).eval()


def removed(recipe: Recipe) -> list[str]:
    return [name for entry in recipe.entries for name in entry.plan["removed"]]


def test_the_case_of_record(shufflenet, model_cfg, tmp_path):
    sample = torch.randint(0, 256, (2, 3, 80, 80), dtype=torch.uint8)
    smaller, recipe = compress(shufflenet, [PruneLayers(keep=[2, 5, 2])], sample=sample)
    direct = build_network(
        model_cfg("shufflenet_g3", units=[2, 5, 2]), num_classes=6, image_size=80
    )
    assert count_macs(smaller, 80) == count_macs(direct, 80) < count_macs(shufflenet, 80)
    # Identities take no names away: all that survived has the old name and the old weights.
    state, old = smaller.state_dict(), shufflenet.state_dict()
    assert state.keys() < old.keys() and all(torch.equal(state[k], old[k]) for k in state)
    assert len(state) == len(direct.state_dict())
    assert recipe.summary()[0] == (
        "prune_layers: removed 7 of 16 units (last): [4, 8, 4] -> [2, 5, 2]"
    )
    save_network(smaller, tmp_path)
    assert torch.equal(load_network(tmp_path)(sample), smaller(sample))


@pytest.mark.parametrize(
    ("option", "changes", "counts"),
    [
        ("resnet", {}, [(2, 2), (2, 1), (2, 1), (2, 1)]),
        ("mobilenet_v2", {}, [(2, 1), (3, 2), (4, 3), (3, 2), (3, 2)]),
        ("blocks/cv09_final", {}, [(3, 2), (2, 1), (3, 2), (3, 2)]),
        pytest.param(
            "timm",
            {"name": "convnextv2_atto"},
            [(2, 2), (2, 2), (6, 6), (2, 2)],
            marks=pytest.mark.slow,
        ),
        ("vgg", {}, []),
    ],
)
def test_units_of_real_networks(option, changes, counts, model_cfg):
    from lightning_modules.networks import meta_network

    network = meta_network(model_cfg(option, **changes), num_classes=3, image_size=64)
    stages = unit_stages(network, 64)
    assert [(len(stage.units), len(stage.removable)) for stage in stages] == counts


def test_a_network_may_say_which_units_are_removable(sample):
    network = stack(1, 1, 1)
    network[1].units = lambda: ["2", "3"]
    _, recipe = compress(network, [PruneLayers(remove=["1.2"])], sample=sample)
    assert removed(recipe) == ["1.2"]
    with pytest.raises(CompressionError, match=r"'1\.1'; the nearest names are"):
        compress(network, [PruneLayers(remove=["1.1"])], sample=sample)


def test_choice_by_position(sample):
    network = stack(1, 1, 1)
    for choose, names in [("last", ["1.2", "1.3"]), ("first", ["1.1", "1.2"])]:
        smaller, recipe = compress(
            network, [PruneLayers(keep=[2, 2], choose=choose)], sample=sample
        )
        assert removed(recipe) == names
        assert all(isinstance(smaller.get_submodule(name), nn.Identity) for name in names)


def test_importance_is_the_loss_without_the_unit(sample):
    torch.manual_seed(0)
    network = stack(1.0, 0.01, 3.0)
    labels = torch.tensor([0, 1, 2, 0])
    batches = [(sample, labels), (sample.flip(0)[:2], labels[:2])]
    step = PruneLayers(keep=[3, 2], choose="importance")
    _, recipe = compress(network, [step], sample=sample, batches=batches)
    assert removed(recipe) == ["1.2"]
    # The figure in the plan is that of the network which really lacks the unit.
    without = PruneLayers.restructure(copy.deepcopy(network), {"removed": ["1.2"]})
    images, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    losses = [nn.functional.cross_entropy(n(images), targets).item() for n in (without, network)]
    grew = recipe.entries[0].plan["loss_increase"]["1.2"]
    assert grew == pytest.approx(losses[0] - losses[1], abs=1e-6)
    assert recipe.layers() == [
        ("prune_layers", "1.2", f"removed (importance); the loss grew by {grew:.4f} without it")
    ]
    assert isinstance(network[1][2], Unit)
    with pytest.raises(CompressionError, match="measured on data, and there is none"):
        loss_increase(network, ["1.1"], Context(sample=sample, image_size=(16, 16)))


@pytest.mark.parametrize("measure", ["macs", "params"])
def test_target(shufflenet, measure):
    sample = torch.zeros(1, 3, 80, 80)
    smaller, recipe = compress(shufflenet, [PruneLayers(target={measure: 0.7})], sample=sample)
    cost = {"macs": lambda n: count_macs(n, 80), "params": count_params}[measure]
    assert 0.6 < cost(smaller) / cost(shufflenet) <= 0.714
    # One unit fewer removed would miss it: nothing is taken away in vain.
    fewer = {"removed": recipe.entries[0].plan["removed"][1:]}
    assert cost(PruneLayers.restructure(copy.deepcopy(shufflenet), fewer)) > cost(smaller)


def test_rounds(sample):
    counts = []
    compress(
        stack(1, 1, 1),
        [PruneLayers(keep=[1, 1], rounds=2)],
        sample=sample,
        fine_tune=lambda n, s, r: counts.append(sum(isinstance(m, Unit) for m in n.modules())),
    )
    assert counts == [4, 2]


def test_refusals(sample):
    network = stack(1, 1, 1)
    for settings, says in [
        ({"keep": [2]}, r"keep has 1 numbers, but 2 stages .*: \[4, 2\] units each"),
        ({"keep": [0, 1]}, "asks for 0 units in stage 1, which can have 1 to 4"),
        ({"keep": [4, 2]}, "would remove nothing"),
        ({"target": {"macs": 0.1}}, "to between 0.3119 and 1.0000 of the MACs"),
    ]:
        with pytest.raises(CompressionError, match=says):
            compress(network, [PruneLayers(**settings)], sample=sample)
    for settings, says in [
        ({"keep": [1], "remove": ["a"]}, "was given keep and remove"),
        ({"keep": "25"}, "list of numbers"),
        ({"target": {"macs": 1.2}}, r"\(0, 1\]"),
        ({"keep": [1], "choose": "best"}, "first, last, importance"),
        ({"keep": [1], "rounds": 0}, "rounds"),
    ]:
        with pytest.raises(CompressionError, match=says):
            PruneLayers(**settings)
    with pytest.raises(CompressionError, match="no unit that prune_layers could remove"):
        compress(nn.Sequential(nn.Flatten(), nn.Linear(768, 3)), [PruneLayers(keep=[1])],
                 sample=sample)  # fmt: skip
    _, recipe = compress(network, [PruneLayers(keep=[1, 1])], sample=sample)
    with pytest.raises(CompressionError, match="another architecture: there is no unit"):
        recipe.replay(nn.Sequential(nn.Linear(2, 2)))


def test_excluded_units_stay(sample):
    network = stack(1, 1, 1)
    for settings, gone in [
        ({"keep": [2, 2], "choose": "first"}, ["1.2", "1.3"]),
        ({"target": {"macs": 0.6}}, ["1.2", "1.3", "2.1"]),
        ({"remove": ["1.*"]}, ["1.2", "1.3"]),
    ]:
        _, recipe = compress(network, [PruneLayers(exclude=["1.1"], **settings)], sample=sample)
        assert set(removed(recipe)) <= set(gone) and "1.2" in removed(recipe)
    for exclude, says in [(["1.1", "2.*", "1.[23]"], "leaves no unit"), (["9.*"], "nearest names")]:
        with pytest.raises(CompressionError, match=says):
            compress(network, [PruneLayers(exclude=exclude)], sample=sample)
    with pytest.raises(CompressionError, match="asks for 1 units in stage 1, which can have 2 to"):
        compress(network, [PruneLayers(keep=[1, 2], exclude=["1.1"])], sample=sample)


def test_what_a_search_draws_of_each_stage(sample):
    network = stack(1, 1, 1)
    space = PruneLayers().layer_space(network, 16)
    assert (space.setting, space.choices) == ("keep", {"0": "range(1,4)", "1": "range(1,2)"})
    assert space.settings({"1": 2, "0": 3}) == {"keep": [3, 2], "target": None}
    assert PruneLayers(exclude=["1.1"]).layer_space(network, 16).choices["0"] == "range(2,4)"
    settings = space.settings({"0": 2, "1": 1})
    smaller, _ = compress(network, [PruneLayers(**settings)], sample=sample)
    assert sum(isinstance(module, Unit) for module in smaller.modules()) == 3
