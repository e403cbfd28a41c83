import pytest

from compression.errors import CompressionError
from compression.factorization.given_ranks import FixedRanks, read_ranks
from compression.factorization.rank_rules import VBMF, Energy, Ratio, Sensitivity
from compression.factorization.settings import FactorizationSettings
from compression.factorization.spatial_svd import SpatialSVD
from compression.factorization.tucker import Tucker


@pytest.mark.parametrize(
    ("settings", "rule", "why"),
    [
        ({}, Ratio, "ratio 0.5"),
        ({"ratio": 0.3}, Ratio, "ratio 0.3"),
        ({"ranks": "energy", "energy": 0.8}, Energy, "energy 0.8"),
        ({"ranks": "vbmf"}, VBMF, "EVBMF at 0.7"),
        ({"ranks": "sensitivity"}, Sensitivity, "sensitivity (alone 0.01 of F1 at most)"),
        ({"target": {"macs": 0.5}}, Energy, "energy 0.9"),
        ({"target": {"macs": 0.5}, "ranks": "ratio"}, Ratio, "ratio 0.5"),
        ({"target": {"macs": 0.5}, "ranks": "target"}, Energy, "energy 0.9"),
        ({"ranks": {"a": 3}}, FixedRanks, "the ranks given"),
        ({"ranks": {}}, Ratio, "ratio 0.5"),
    ],
)
def test_which_rule_is_meant(settings, rule, why):
    found = Tucker(**settings).rule
    assert type(found) is rule and found.why() == why


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ratio": 0}, r"there.ratio=0 is not allowed; it must be a ratio in \(0, 1\]"),
        ({"energy": 1.01}, "there.energy=1.01 is not allowed; it must be a ratio"),
        ({"vbmf": True}, "there.vbmf=true is not allowed; it must be a ratio"),
        ({"ratio": "x"}, "there.ratio=x is not allowed"),
        ({"rounds": 0}, "there.rounds=0 is not allowed; it must be a number from 1"),
        ({"groups": "merge"}, "there.groups=merge does not exist; there are leave, split"),
        ({"prefer": "mac"}, r"there.prefer=mac does not exist \(did you mean macs\?\)"),
        ({"include": "body.*"}, "there.include=.* must be a list of name patterns"),
        ({"energi": 0.5}, r"no key there.energi \(did you mean energy\?\); there are ranks, ratio"),
        ({"target": {"macs": 2}}, "there.target.macs=2 is not allowed; it must be a ratio"),
        ({"ranks": "target"}, "there.ranks=target needs a target, as there.target.macs=0.5"),
        ({"ranks": "vbmf", "target": {"macs": 0.5}}, "there.ranks chooses the ranks in another"),
        (
            {"ranks": "enrgy"},
            r"there.ranks=enrgy is neither a rule \(ratio, .*, sensitivity, target\) nor a file "
            r"with ranks \(did you mean energy\?\); a rule of your own is named by {_target_: ...}",
        ),
        ({"ranks": {"a": 2}, "target": {"macs": 0.5}}, "there.ranks chooses the ranks in another"),
        ({"ranks": 3}, "there.ranks must map layers to ranks"),
        ({"ranks": {"a": -1}}, "gives a the rank -1"),
        ({"ranks": {"a": [1.5, 2]}}, r"gives a the rank \[1.5, 2\]"),
        ({"ranks": {"a": []}}, "gives a the rank"),
    ],
)
def test_refuses(settings, says):
    with pytest.raises(CompressionError, match=says):
        FactorizationSettings.check(settings, "there")


def test_ranks_from_a_file(tmp_path):
    path = tmp_path / "ranks.yaml"
    path.write_text("body.conv1: 12\nbody:\n  layer1:\n    0: {conv1: [4, 3]}\n")
    assert read_ranks(str(path), "r") == {"body.conv1": 12, "body.layer1.0.conv1": [4, 3]}
    for text, says in [("- 1", "must map layers to ranks"), ("a: [", "cannot be read as YAML")]:
        path.write_text(text)
        with pytest.raises(CompressionError, match=says):
            FactorizationSettings.check({"ranks": str(path)}, "there")


def test_depthwise_layers_are_split_by_default():
    assert SpatialSVD().groups == "split" and Tucker().groups == "leave"
    assert SpatialSVD(groups="leave", ratio=0.2).rule.ratio == 0.2
