import pytest

from compression.errors import CompressionError
from compression.factorization.rank_rules import VBMF, Energy, FixedRanks, Ratio, Sensitivity
from compression.factorization.settings import check_settings, read_ranks
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
        ({"ratio": 0}, r"there.ratio is a ratio in \(0, 1\], not 0"),
        ({"energy": 1.01}, "there.energy is a ratio"),
        ({"vbmf": True}, "there.vbmf is a ratio"),
        ({"ratio": "x"}, "not 'x'"),
        ({"rounds": 0}, "there.rounds is a number from 1"),
        ({"groups": "merge"}, "there.groups=merge does not exist; leave or split"),
        ({"target": {"macs": 2}}, "there.target.macs is a ratio"),
        ({"ranks": "target"}, "there.ranks=target needs a target"),
        ({"ranks": "vbmf", "target": {"macs": 0.5}}, "there.ranks chooses the ranks in another"),
        (
            {"ranks": "enrgy"},
            r"ranks=enrgy is neither a rule \(ratio, .*, sensitivity, target\) nor",
        ),
        ({"ranks": {"a": -1}}, "gives a the rank -1"),
        ({"ranks": {"a": [1.5, 2]}}, r"gives a the rank \[1.5, 2\]"),
        ({"ranks": {"a": []}}, "gives a the rank"),
    ],
)
def test_refuses(settings, says):
    with pytest.raises(CompressionError, match=says):
        check_settings("there", settings)


def test_ranks_from_a_file(tmp_path):
    path = tmp_path / "ranks.yaml"
    path.write_text("body.conv1: 12\nbody:\n  layer1:\n    0: {conv1: [4, 3]}\n")
    assert read_ranks(str(path), "r") == {"body.conv1": 12, "body.layer1.0.conv1": [4, 3]}
    for text, says in [("- 1", "must map layers to ranks"), ("a: [", "cannot be read as YAML")]:
        path.write_text(text)
        with pytest.raises(CompressionError, match=says):
            check_settings("there", {"ranks": str(path)})


def test_depthwise_layers_are_split_by_default():
    assert SpatialSVD().groups == "split" and Tucker().groups == "leave"
    assert SpatialSVD(groups="leave", ratio=0.2).rule.ratio == 0.2
