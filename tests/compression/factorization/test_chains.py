"""Any chain of factorisations of any small network is rebuilt from its recipe."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from compression import Recipe, compress
from compression.cost.macs import count_macs, count_params
from compression.errors import CompressionError
from compression.factorization.cp import CP
from compression.factorization.spatial_svd import SpatialSVD
from compression.factorization.svd import SVD
from compression.factorization.tucker import Tucker

SAMPLE = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))

convolutions = st.fixed_dictionaries(
    {
        "kernel": st.sampled_from([1, 3, (3, 5)]),
        "stride": st.integers(1, 2),
        "dilation": st.integers(1, 2),
        "groups": st.sampled_from([1, 2, 8]),
        "width": st.sampled_from([8, 16, 24]),
        "bias": st.booleans(),
        "mode": st.sampled_from(["zeros", "circular"]),
    }
)
rules = st.one_of(
    st.fixed_dictionaries({"ratio": st.floats(0.05, 0.6)}),
    st.fixed_dictionaries({"ranks": st.just("energy"), "energy": st.floats(0.3, 0.9)}),
    st.fixed_dictionaries({"ranks": st.just("vbmf"), "vbmf": st.floats(0.3, 1.0)}),
    st.fixed_dictionaries({"target": st.fixed_dictionaries({"macs": st.floats(0.6, 0.95)})}),
)
steps = st.builds(
    lambda kind, rule, **more: kind(**rule, **more),
    st.sampled_from([Tucker, CP, SVD, SpatialSVD]),
    rules,
    rounds=st.integers(1, 2),
    groups=st.sampled_from(["leave", "split"]),
)


ROW = {
    "kernel": 1, "stride": 1, "dilation": 1, "groups": 1, "width": 8, "bias": False, "mode": "zeros"
}  # fmt: skip


def build(rows):
    layers, width = [], 3
    for row in rows:
        kernel = row["kernel"]
        groups = row["groups"] if width % row["groups"] == 0 else 1
        pad = "same" if row["stride"] == 1 else 1
        conv = nn.Conv2d(
            width, row["width"], kernel, row["stride"], pad, row["dilation"], groups, row["bias"],
            row["mode"],
        )  # fmt: skip
        layers += [conv, nn.BatchNorm2d(row["width"]), nn.ReLU()]
        width = row["width"]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5)).eval()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(convolutions, min_size=1, max_size=3),
    chain=st.lists(steps, min_size=1, max_size=3),
    seed=st.integers(0, 2**16),
)
def test_random_chains_replay(rows, chain, seed):
    torch.manual_seed(seed)
    network, recipe = build(rows), Recipe()
    try:
        count_macs(network, [12, 10])
    except CompressionError:
        return  # the image became too small
    original, untouched = copy.deepcopy(network), copy.deepcopy(network.state_dict())
    for step in chain:
        before = network
        try:
            network, done = compress(network, [step], sample=SAMPLE, batches=[(SAMPLE, None)])
        except CompressionError:
            continue  # nothing to gain; the network is as it was
        recipe.entries += done.entries
        assert count_macs(network, [12, 10]) < count_macs(before, [12, 10])
        assert count_params(network) <= count_params(before)
    rebuilt = Recipe.from_json(recipe.to_json()).replay(copy.deepcopy(original).to("meta"))
    rebuilt.load_state_dict(network.state_dict(), assign=True)
    assert torch.equal(rebuilt(SAMPLE), network(SAMPLE))
    assert all(torch.equal(a, untouched[k]) for k, a in original.state_dict().items())


def test_rounds_that_change_nothing_are_refused():
    least = compress(build([ROW]), [SVD(ratio=0.25)], sample=SAMPLE)[0]  # rank 1 everywhere
    for rounds in (1, 2):
        with pytest.raises(CompressionError, match="changes no layer of this network"):
            compress(least, [SVD(ratio=0.5, rounds=rounds)], sample=SAMPLE)


def test_a_recipe_of_another_network_is_refused(network, sample):
    for step in (SVD(), SpatialSVD(), CP(ratio=0.2), Tucker()):
        recipe = compress(network, [step], sample=sample)[1]
        with pytest.raises(CompressionError, match=f"The {step.name} plan was made for another"):
            recipe.replay(nn.Sequential(*[nn.Identity()] * 20))
