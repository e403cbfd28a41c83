"""What is refused before training: by structure alone, on networks without values, step by step."""

import pytest
import torch
from torch import nn

from compression import (
    CP,
    SVD,
    CompressionError,
    Context,
    Prune,
    PruneLayers,
    PruneWeights,
    Quantize,
    QuantizeAware,
    SpatialSVD,
    Step,
    Tucker,
)
from compression.cost import meta_copy
from compression.factorization import Rule
from compression.pruning.importance import Importance
from compression.structure import check_structure
from tests.compression.fake_latency import fake_latency  # noqa: F401 - a fixture
from tests.fixtures.cases.networks import NETWORKS

SIZE = 32
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.b = nn.Conv2d(width, width, 1)

    def forward(self, x):
        return x + self.b(self.norm(self.a(x)).relu())


class Residual(nn.Module):
    """uint8 N x 3 x H x W -> N x 6: a stem, three blocks and a head."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(3)))
        self.head = nn.Linear(width, 6)

    def forward(self, images):
        return self.head(self.blocks(self.stem(images / 255)).mean((2, 3)))


class NoOperator(Residual):
    """An operation that ONNX does not have."""

    def forward(self, images):
        return torch.linalg.lstsq(self.head.weight[:, :6], super().forward(images).mT)[0].mT


class OwnRule(Rule):
    def rank(self, candidate, number, rounds):
        return [int(spectrum.values.sum()) for spectrum in candidate.spectra]


class OwnScores(Importance):
    def score(self, network, channels, context, round):
        return channels.trace.variables * float(network.stem.weight.sum())


class OwnStep(Step):
    def plan(self, network, context, round):
        return {}


REFUSED = {
    "prune pattern": (Prune(exclude=["layer9"]), "No layer matches the pattern 'layer9'"),
    "prune macs": (Prune(target={"macs": 0.001}), "target.macs=0.001 cannot be reached"),
    "prune params": (Prune(target={"params": 0.001}), "target.params=0.001 cannot be reached"),
    "prune rounds": (
        Prune(target={"macs": 1e-4}, rounds=2),
        "(in round 2 of 2: 0.0001) cannot",
    ),
    "prune nothing": (Prune(target={"macs": 1.0}), "would take out no channel"),
    "prune all kept": (Prune(ratio=1.0), "would take out no channel"),
    "prune uniform": (Prune(ratio=0.99, scope="uniform"), "would take out no channel"),
    "prune excluded": (Prune(exclude=["*"]), "can take no channels out"),
    "prune sensitivity": (
        Prune(target={"macs": 0.001}, ratios="sensitivity"),
        "target.macs=0.001 cannot be reached",
    ),
    "layers keep": (PruneLayers(keep=[1, 1]), "keep has 2 numbers, but 1 stages"),
    "layers keep less": (PruneLayers(keep=[9]), "asks for 9 units"),
    "layers remove": (PruneLayers(remove=["blocks.9"]), "No layer matches the pattern"),
    "layers exclude": (PruneLayers(exclude=["blocks.*"]), "leaves no unit that could be removed"),
    "layers target": (
        PruneLayers(target={"macs": 0.01}, choose="importance"),
        "target.macs=0.01 cannot be reached",
    ),
    "weights include": (PruneWeights(include=["conv"]), "No layer matches the pattern 'conv'"),
    "weights exclude": (PruneWeights(exclude=["*"]), "finds no convolution or linear layer"),
    "tucker include": (Tucker(include=["conv9"]), "No layer matches the pattern 'conv9'"),
    "tucker ratio": (Tucker(ratio=1.0), "tucker by ratio 1 changes no layer"),
    "tucker excluded": (Tucker(ranks="vbmf", exclude=["*"]), "changes no layer"),
    "tucker target": (Tucker(target={"macs": 0.01}), "target.macs=0.01 cannot be reached"),
    "tucker ranks": (Tucker(ranks={"blocks.0.a": [64, 8]}), "larger than the layer's own"),
    "tucker rank list": (Tucker(ranks={"blocks.0.a": [8, 8, 8]}), "a tucker product has 2"),
    "tucker layer": (Tucker(ranks={"blocks.9.a": 8}), "No layer matches the pattern 'blocks.9.a'"),
    "cp pattern": (CP(exclude=["conv9"]), "No layer matches the pattern 'conv9'"),
    "svd energy": (SVD(ranks="energy", include=["head"]), "svd by energy 0.9 changes no layer"),
    "svd own rule": (SVD(ranks=OwnRule(), include=["head"]), "svd by OwnRule changes no layer"),
    "svd sensitivity": (
        SVD(ranks="sensitivity", target={"params": 0.01}),
        "target.params=0.01 cannot be reached",
    ),
    "spatial_svd": (SpatialSVD(ratio=1.0), "spatial_svd by ratio 1 changes no layer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_that_structure_refuses(name):
    step, sentence = REFUSED[name]
    with pytest.raises(CompressionError) as refusal:
        check_structure(meta_copy(Residual()), {f"compression.{step.name}": step}, SIZE)
    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith(f"compression.{step.name}: ")


LEFT = [
    Prune(),
    Prune(target={"macs": 0.5}, rounds=3, importance="taylor"),
    Prune(ratio=0.99),  # of all channels together some layer may lose eight
    Prune(ratio=0.5, importance=OwnScores()),
    Prune(ratios="sensitivity", target={"macs": 0.5}),
    PruneLayers(choose="importance"),
    PruneLayers(keep=[1], rounds=2),
    PruneWeights(rounds=3),
    Tucker(),
    Tucker(ranks="energy", energy=1.0),
    Tucker(ranks="vbmf"),
    Tucker(target={"macs": 0.7}, rounds=2),
    CP(ranks="sensitivity"),
    SVD(ranks=OwnRule()),
    SpatialSVD(prefer="latency"),
]


@pytest.mark.parametrize("step", LEFT, ids=lambda step: step.name)
def test_that_values_decide_or_all_is_well(step):
    assert check_structure(meta_copy(Residual()), {"compression.x": step}, SIZE) == []


def test_that_the_structure_agrees_with_the_plan_where_it_decides():
    network = Residual()
    costs = {"macs": 1e6, "params": 1e5}
    context = Context(sample=torch.zeros(1, 3, SIZE, SIZE), image_size=(SIZE, SIZE))
    context = Context(sample=context.sample, image_size=context.image_size, entry_cost=costs)
    for step in (Tucker(), SVD(ratio=0.25), PruneLayers(keep=[2]), Tucker(ranks={"*.a": [4, 9]})):
        found = step.structural_plan(meta_copy(network), context, 0)
        assert found.exact
        assert found.plan == step.plan(network, context, 0)
    found = Prune(ratio=0.5, scope="uniform").structural_plan(meta_copy(network), context, 0)
    plan = Prune(ratio=0.5, scope="uniform").plan(network, context, 0)
    assert found.exact
    assert found.plan["layers"] == plan["layers"]
    assert not Prune(ratio=0.5).structural_plan(meta_copy(network), context, 0).exact


CHAINS = {
    "a removed unit is removed again": (
        [PruneLayers(keep=[0]), PruneLayers(target={"macs": 0.9})],
        "compression.1, after 0: ",
        "no unit that prune_layers could remove",
    ),
    "a removed unit has no layer": (
        [PruneLayers(keep=[0]), Tucker(exclude=["blocks.0.a"])],
        "compression.1, after 0: ",
        "No layer matches the pattern 'blocks.0.a'",
    ),
    "third": (
        [SVD(ratio=0.25), Tucker(), PruneWeights(include=["nothing"])],
        "compression.2, after 0 and 1: ",
        "No layer matches the pattern 'nothing'",
    ),
    "after what values decide": (
        [SVD(ranks="energy"), Tucker(target={"macs": 0.01})],
        "compression.1, after 0: ",
        "cannot be reached",
    ),
    "both": (
        [Prune(), Prune(exclude=["nothing"])],
        "compression.1, after 0: ",
        "No layer matches the pattern 'nothing'",
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_that_a_chain_is_followed_step_by_step(name):
    steps, place, sentence = CHAINS[name]
    keys = {f"compression.{number}": step for number, step in enumerate(steps)}
    with pytest.raises(CompressionError) as refusal:
        check_structure(meta_copy(Residual()), keys, SIZE)
    assert str(refusal.value).startswith(place)
    assert sentence in str(refusal.value)
    assert check_structure(meta_copy(Residual()), {"compression.0": steps[0]}, SIZE) == []


def test_that_what_values_may_leave_alone_is_not_refused():
    # A Tucker step by energy may change no layer of these, so that the products are not sure.
    chain = {
        "a": Tucker(ranks="energy"),
        "b": SVD(ratio=0.25, include=["blocks.*.b"]),
        "c": Prune(),
    }
    assert check_structure(meta_copy(Residual()), chain, SIZE) == []


def test_that_nothing_is_said_after_a_step_from_outside():
    chain = {"a": OwnStep(), "b": Tucker(include=["nothing"])}
    assert check_structure(meta_copy(Residual()), chain, SIZE) == []


def test_that_a_failing_look_is_told_and_refuses_nothing():
    class Failing(OwnStep):
        def structural_plan(self, network, context, round):
            raise AttributeError("no weights here.")

    told = check_structure(meta_copy(Residual()), {"compression.own": Failing()}, SIZE)
    assert told == ["compression.own could not be tried before training: no weights here."]


def test_that_a_latency_target_is_tried_on_random_weights(fake_latency):  # noqa: F811
    # A quarter of the time is overhead, so no network is faster than that.
    for step in (Prune(target={"latency": 0.2}), PruneLayers(target={"latency": 0.2})):
        with pytest.raises(CompressionError, match=r"compression\.x: target\.latency=0\.2 cannot"):
            check_structure(Residual(), {"compression.x": step}, SIZE)
    assert len(fake_latency) == 4  # of each step the network that enters it and the smallest
    assert check_structure(Residual(), {"x": Prune(target={"latency": 0.5})}, SIZE) == []
    chain = {"a": Tucker(), "b": PruneLayers(target={"latency": 0.6}), "c": Prune()}
    assert check_structure(Residual(), chain, SIZE) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Quantize, QuantizeAware])
def test_that_excluded_layers_of_int8_are_known_before(kind):
    chain = {"compression.t": Tucker(), "compression.q": kind(exclude=["blocks.0.a.3"])}
    with pytest.raises(CompressionError, match=r"compression\.q, after t: No layer .*'blocks\.0"):
        check_structure(Residual(), chain, SIZE)


@pytest.mark.slow
def test_that_operators_are_known_before():
    with pytest.raises(CompressionError, match="compression.q: .*lstsq"):
        check_structure(NoOperator(), {"compression.q": Quantize()}, SIZE)


@pytest.mark.parametrize("name", ["TensorInForward", "ValueBranch", "LenBatch"])
def test_networks_that_meta_cannot_run(name):
    chain = {"a": Tucker(), "b": Prune(), "c": PruneWeights()}
    assert check_structure(NETWORKS[name](), chain, 64) == []
