"""Each rule, on layers whose ranks are known."""

import pytest
import torch
from torch import nn

from compression import compress
from compression.cost.macs import count_macs, count_params
from compression.errors import CompressionError
from compression.factorization.rank_rules import energy_rank
from compression.factorization.spatial_svd import SpatialSVD
from compression.factorization.svd import SVD
from compression.factorization.tucker import Tucker


def low_rank_linear(sides, rank, noise, seed=0):
    """A Linear of `rank` equal singular values, with noise on top."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(n, rank, generator=generator))[0] for n in reversed(sides)
    )
    layer = nn.Linear(*sides)
    with torch.no_grad():
        weight = max(sides) ** 0.5 * left @ right.T
        layer.weight.copy_(weight + noise * torch.randn(weight.shape, generator=generator))
    return layer


@pytest.fixture
def layered():
    """Planted ranks 4, 9 and 1, noise, and a head that is too small to gain from a product."""
    return nn.Sequential(
        nn.Flatten(),
        low_rank_linear((60, 40), 4, 0.05),
        low_rank_linear((40, 90), 9, 0.05),
        low_rank_linear((90, 30), 1, 0.0),
        nn.Linear(30, 5),
    )


def image(count=2):
    return torch.rand(count, 3, 4, 5, generator=torch.Generator().manual_seed(0))


def plan_of(network, step, sample=None):
    sample = image() if sample is None else sample
    return compress(network, [step], sample=sample)[1].entries[-1].plan


def ranks_of(plan):
    return {name: choice["rank"] for name, choice in plan["layers"].items()}


def test_energy_ranks():
    values = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    ratios = (0, 0.5, 9 / 14, 0.65, 13 / 14, 0.95, 1)
    assert [energy_rank(values, ratio) for ratio in ratios] == [1, 1, 1, 2, 2, 3, 3]
    assert energy_rank(torch.tensor([[1.0, 1.0], [2.0, 0.0]]), 0.8) == 1  # of both groups: 5 of 6
    assert energy_rank(torch.zeros(1, 3), 0.9) == 1


def test_planted_ranks_are_found_by_energy_and_evbmf(layered):
    assert ranks_of(plan_of(layered, SVD(ranks="vbmf", vbmf=1.0))) == {"1": [4], "2": [9], "3": [1]}
    assert ranks_of(plan_of(layered, SVD(ranks="energy", energy=0.8))) == {
        "1": [4], "2": [8], "3": [1]
    }  # fmt: skip
    # Half of the way from the full ranks 40, 40, 30; ones that would not pay are left alone.
    found = plan_of(layered, SVD(ranks="vbmf", vbmf=0.5))
    assert ranks_of(found) == {"1": [22], "2": [25], "3": [16]}


def test_noise_is_left_alone(layered):
    nn.init.normal_(layered[2].weight)
    plan = plan_of(layered, SVD(ranks="vbmf"))
    assert plan["skipped"] == dict.fromkeys(("2", "4"), "nothing but noise to EVBMF")
    with pytest.raises(CompressionError, match="by EVBMF at 0.7 changes no layer.*for Linear"):
        plan_of(layered[:1].append(nn.Linear(60, 60)), SVD(ranks="vbmf"))


@pytest.mark.parametrize("rule", [{"ranks": {"1": 4, "2": 9}}, {"ranks": "vbmf", "vbmf": 1.0}])
def test_ranks_in_rounds(layered, rule):
    """Equal steps; the first one would not pay yet, so that the second is as long as both."""
    step = SVD(include=["1", "2"], rounds=3, **rule)
    recipe = compress(layered, [step], sample=image())[1]
    found = [ranks_of(entry.plan) for entry in recipe.entries]
    assert found == [{}, {"1": [22], "2": [25]}, {"1": [4], "2": [9]}]


def test_ranks_by_name(network, sample):
    plan = plan_of(network, Tucker(ranks={"*": 2, "3": [6, 4]}), sample)
    assert ranks_of(plan) == {"0": [2, 2], "3": [6, 4]}
    assert plan["layers"]["3"]["why"] == "the ranks given"
    plan = plan_of(network, Tucker(ranks={"3": 4, "0": 0}), sample)
    assert ranks_of(plan) == {"3": [4, 4]} and plan["skipped"]["0"] == "given no rank"


@pytest.mark.parametrize(
    "asked",
    [
        {"ratio": 0.1},
        {"ranks": "energy", "energy": 0.05},
        {"ranks": "vbmf", "vbmf": 1.0},
        {"target": {"macs": 0.35}, "ranks": "ratio"},
    ],
)
def test_the_colours_of_an_image_stay(asked):
    """No rule mixes them, even where one of them is all that the kernel looks at; a user may."""
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 32, 5)
    with torch.no_grad():
        stem.weight[8:] = stem.weight[:8].repeat(3, 1, 1, 1)
        stem.weight[:, 1:] = 0.01 * stem.weight[:, :1]
    network = nn.Sequential(stem, nn.Conv2d(32, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    sample = torch.rand(2, 3, 12, 12)
    outer, inner = ranks_of(plan_of(network, Tucker(**asked), sample))["0"]
    assert outer < 16 and inner == 3
    by_name = Tucker(ranks={"0": [8, 1]})
    assert ranks_of(plan_of(network, by_name, sample))["0"] == [8, 1]
    grey = compress(network, [by_name, Tucker(ratio=0.5)], sample=sample)[1].entries[1].plan
    assert ranks_of(grey)["0"] == [4, 1]  # what was mixed stays so


def test_the_head_keeps_32_dimensions(sample):
    """Few classes are told apart by as many logits; of many, the head may lose some, to no less."""
    torch.manual_seed(0)
    body = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 80), nn.Linear(80, 100)]
    few, many = (nn.Sequential(*body, nn.Linear(100, classes)) for classes in (6, 120))
    for asked in ({"ratio": 0.1}, {"ranks": "energy", "energy": 0.1}):
        plan = plan_of(few, SVD(**asked), sample)
        assert ranks_of(plan)["3"][0] <= 8
        assert plan["skipped"]["4"].startswith("no cheaper (rank 6: 600 -> 636 MACs")
        assert ranks_of(plan_of(many, SVD(**asked), sample))["4"] == [32]
    assert ranks_of(plan_of(many, SVD(ratio=0.5), sample))["4"] == [50]
    assert ranks_of(plan_of(few, SVD(ranks={"4": 3}), sample)) == {"4": [3]}
    head, _ = compress(many, [SVD(ratio=0.5), SVD(ratio=0.5)], sample=sample)
    assert head[4][0].out_features == 32


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Tucker(ranks={"3": [25, 4]}), r"3 the rank \[25, 4\], which is larger than .* \[24, 16\]"),
        (Tucker(ranks={"3": [4]}), r"3 the ranks \[4\], but a tucker product has 2"),
        (SVD(ranks={"10": 13}), "10 the rank 13, which is larger than the layer's own, 3"),
        (Tucker(ranks={"conv3": 4}), "'conv3'; the nearest names are"),
        (Tucker(ranks={"7": 4}), "'7'; the nearest names are"),  # a 1x1
    ],
)
def test_ranks_that_do_not_fit(network, sample, step, says):
    with pytest.raises(CompressionError, match=says):
        compress(network, [step], sample=sample)


@pytest.mark.parametrize("ranks", ["energy", "ratio"])
@pytest.mark.parametrize("measure", ["macs", "params"])
def test_a_target_is_met(layered, ranks, measure):
    step = SVD(ranks=ranks, target={measure: 0.5})
    smaller, recipe = compress(layered, [step], sample=image())
    count = count_params if measure == "params" else (lambda net: count_macs(net, [4, 5]))
    ratio = count(smaller) / count(layered)
    assert ratio == pytest.approx(0.5, abs=0.01)
    what = "MACs" if measure == "macs" else "parameters"
    assert recipe.entries[0].plan["target"] == f"{ratio:.1%} of the {what}"
    assert recipe.summary()[-1] == f"svd: now at {ratio:.1%} of the {what}"


def test_a_target_in_rounds(network, sample):
    costs = []
    compress(
        network,
        [Tucker(target={"macs": 0.5}, rounds=2)],
        sample=sample,
        fine_tune=lambda net, *_: costs.append(count_macs(net, [20, 28])),
    )
    whole = count_macs(network, [20, 28])
    assert costs[0] / whole == pytest.approx(0.75, abs=0.06)
    assert costs[1] / whole == pytest.approx(0.5, abs=0.06)


def test_a_target_out_of_reach(network, sample):
    with pytest.raises(
        CompressionError, match=r"macs=0.01 cannot be reached.*between 0\.\d+ and 1.0"
    ):
        compress(network, [Tucker(target={"macs": 0.01})], sample=sample)
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten())
    with pytest.raises(CompressionError, match="no setting of this step makes the network cheaper"):
        compress(plain, [Tucker(target={"macs": 0.5})], sample=sample)


def test_depthwise_layers_are_split_per_group(sample):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 12, 1), nn.Conv2d(12, 12, 5, groups=12, padding=2))
    plan = plan_of(network, SpatialSVD(ranks={"1": 1}), sample)
    smaller = SpatialSVD().apply(network, plan)
    assert [conv.weight.shape for conv in smaller[1]] == [(12, 1, 5, 1), (12, 1, 1, 5)]
    assert plan["skipped"] == {"0": "1x1"}
    with pytest.raises(CompressionError, match="1 1x1, 1 grouped"):
        plan_of(network, SpatialSVD(groups="leave"), sample)
    split = plan_of(
        nn.Sequential(nn.Conv2d(3, 24, 1), nn.Conv2d(24, 48, 1, groups=2), nn.Conv2d(48, 2, 1)),
        SVD(groups="split", ratio=0.25),
        sample,
    )
    assert split["layers"]["1"]["rank"] == [3] and split["layers"]["1"]["channels"] == [12]


def test_layers_that_cannot_be_replaced(sample):
    class Own(nn.Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.own, self.idle = nn.Conv2d(3, 9, 3), Own(9, 9, 3), nn.Conv2d(9, 9, 3)
            self.tied, self.normed = nn.Conv2d(9, 9, 3), nn.Conv2d(9, 9, 3)
            self.twin = self.tied
            self.twice = nn.Conv2d(9, 9, 3, padding=1)
            self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(9, 9, 3))

        def forward(self, x):
            x = self.twin(self.tied(self.own(self.a(x))))
            return self.normed(self.twice(self.twice(x)))

    network = Net()
    plan = plan_of(network, Tucker(ratio=0.3), sample)
    assert plan["skipped"] == {"own": "Own", "idle": "unused", "tied": "shared"}
    smaller = Tucker().apply(network, plan)
    saved = sum(before - after for before, after in (c["macs"] for c in plan["layers"].values()))
    assert count_macs(network, [20, 28]) - count_macs(smaller, [20, 28]) == saved  # twice: twice


def test_says_of_each_layer_what_was_done(network, sample):
    plan = plan_of(network, Tucker(ranks="energy", energy=0.8, exclude=["0"]), sample)
    told = Tucker.describe_layers(plan)
    outer, inner = plan["layers"]["3"]["rank"]
    before, after = plan["layers"]["3"]["macs"]
    assert told == {
        "3": f"rank {outer} x {inner} of 24 x 16 by energy 0.8, {before:,} -> {after:,} MACs",
        "0": "left alone: excluded",
        "6": "left alone: grouped",
        "7": "left alone: 1x1",
    }
