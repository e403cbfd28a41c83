import pytest
from torch import nn

from compression.cost.macs import count_params, network_cost
from compression.errors import CompressionError
from compression.target import Target, round_ratio

ENTRY = {"macs": 1000, "params": 200}


def test_reads_a_setting():
    assert Target.of({"macs": 0.5}) == Target("macs", 0.5)
    assert Target.of({"macs": None, "params": 1}) == Target("params", 1.0)
    assert Target.of(None) is Target.of({}) is Target.of({"macs": None}) is None


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"macs": 0}, r"there.macs=0 is not allowed; it must be a ratio in \(0, 1\]"),
        ({"macs": 1.5}, "macs=1.5 is not"),
        ({"macs": "half"}, "macs=half is not"),
        ({"macs": True}, "macs=true is not"),
        (
            {"mac": 0.5},
            r"there.mac \(did you mean macs\?\); there are macs, params, file_bytes, latency",
        ),
        ({"latency": 0}, r"there.latency=0 is not allowed; it must be a ratio"),
        ({"macs": 0.5, "params": 0.5}, "names macs and params"),
        (0.5, "there=0.5 is not allowed; it must be a measure and a ratio, as {macs: 0.5}"),
    ],
)
def test_refuses_what_is_no_target(setting, says):
    with pytest.raises(CompressionError, match=says):
        Target.of(setting, "there")


def test_solves_for_a_share_of_the_entering_network():
    target = Target("macs", 0.5)
    assert target.solve(lambda parameter: 1000 * parameter, ENTRY).cost == pytest.approx(
        500, rel=0.02
    )
    first = target.solve(lambda parameter: 1000 * parameter, ENTRY, round=0, rounds=2)
    assert first.cost == pytest.approx(750, rel=0.02)
    assert target.report(first, ENTRY) == "75.0% of the MACs"


def test_says_what_was_not_met():
    target = Target("params", 0.5)
    found = target.solve(lambda parameter: 200 if parameter > 0.7 else 80, ENTRY)
    assert target.report(found, ENTRY) == (
        "40.0% of the parameters, the nearest that can be had below the target"
    )


@pytest.mark.parametrize(
    ("cost_at", "rounds", "says"),
    [
        (
            lambda parameter: 600 + 400 * parameter,
            1,
            r"macs=0.5 cannot.*between 0.6000 and 1.0000 of the MA",
        ),
        (
            lambda parameter: 1000,
            1,
            "no setting of this step makes the network cheaper; it stays at 1 ",
        ),
        (lambda parameter: 1000, 4, r"macs=0.5 \(in round 1 of 4: 0.875\) cannot be reached"),
    ],
)
def test_out_of_reach(cost_at, rounds, says):
    with pytest.raises(CompressionError, match=says):
        Target("macs", 0.5).solve(cost_at, ENTRY, rounds=rounds)


def test_measures(network):
    assert network_cost(network, "params", 20) == count_params(network)
    assert network_cost(nn.Conv2d(3, 4, 3), "macs", (5, 4)) == 3 * 4 * 9 * 3 * 2


def test_round_ratio():
    assert [round_ratio(0.4, r, 3) for r in range(3)] == pytest.approx([0.8, 0.6, 0.4])
