"""Every odd network at full rank is the original; layers in the way of their own code are named."""

from math import prod

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from compression import compress
from compression.errors import CompressionError
from compression.factorization.cp import CP
from compression.factorization.kernels import kernel_of
from compression.factorization.plan import counted
from compression.factorization.spatial_svd import SpatialSVD
from compression.factorization.svd import SVD
from compression.factorization.tucker import Tucker
from compression.outputs import main_output
from tests.fixtures.cases.networks import NETWORKS, Body, stem

STEPS = {kind.name: kind for kind in (Tucker, SVD, SpatialSVD, CP)}
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
# By network, what the layers of its own code are left alone for, by any step that looks at them.
LEFT = {
    "Tied": {"a": "shared", "b": "shared"},
    "ReadFromOutside": {"a": "used from outside"},
    "Attention": {"mha.out_proj": "used from outside"},
}
ORDINARY = {"kxk", "1x1", "grouped", "excluded"}


def made(make):
    torch.manual_seed(0)
    network = make()
    network(IMAGES)  # lazy layers get their shapes
    return network.eval()


def logits(network):
    torch.manual_seed(1)  # of drop-out in evaluation
    with torch.no_grad():
        return main_output(network(IMAGES))


def at_full_rank(network, step):
    """The network with every candidate factorised without loss, and what was left alone."""
    candidates, skipped = step.candidates(network, (64, 64))
    layers = {}
    for candidate in candidates:
        rank, sides = candidate.max_rank, kernel_of(candidate.layer).shape[1:]
        if isinstance(step, CP):  # a tensor may need more terms than any unfolding has rank
            rank = [prod(sides) // max(sides)]
        layers[candidate.name] = {"rank": rank, "channels": candidate.max_rank}
    return step.apply(network, {"layers": layers, "skipped": skipped}), layers, skipped


@pytest.mark.parametrize("name", NETWORKS)
def test_full_rank_is_the_network(name):
    network = made(NETWORKS[name])
    expected, left = logits(network), {}
    for step, kind in STEPS.items():
        same, layers, skipped = at_full_rank(network, kind(groups="split"))
        assert (logits(same) - expected).abs().max() < 1e-4 * expected.abs().max(), step
        assert all(isinstance(same.get_submodule(layer), nn.Sequential) for layer in layers)
        left |= {layer: why for layer, why in skipped.items() if why not in ORDINARY}
        if step == "svd":  # Distances has no Linear layer of its own
            assert bool(layers) == (name != "Distances")
        else:  # Conv1d is no layer of theirs
            assert bool(layers) == (name != "Conv1dNet")
    assert left == LEFT.get(name, {})


class FastPath(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.patches, self.encoder = nn.Conv2d(3, 32, 16, 16), nn.TransformerEncoder(layer, 2)
        self.wide, self.head = nn.Linear(32, 64), nn.Linear(64, 6)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        return self.head(F.relu(self.wide(self.encoder(tokens).mean(1))))


class Wide(Body):
    """Two 1x1 convolutions beside what its kin do with them."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(32, 32, 1), nn.Conv2d(32, 32, 1)

    def middle(self, x):
        return self.b(F.relu(self.a(x)))


class AsksForType(Wide):  # as the positional encodings of xcit and edgenext
    def middle(self, x):
        return super().middle(x.to(self.a.weight.dtype))


class Capturing(Wide):  # no attribute of the layer is read in the pass
    def __init__(self):
        super().__init__()
        self.weights = [self.a.weight]

    def middle(self, x):
        return super().middle(x) + F.conv2d(x, self.weights[0])


class AsksForSize(Wide):
    def middle(self, x):
        return super().middle(x) / self.a.out_channels


class AsksForKind(Wide):
    def middle(self, x):
        for layer in self.children():
            if isinstance(layer, nn.Conv2d) and layer is not self.last:
                x = F.relu(layer(x))
        return x


class InsistsOnKind(Wide):
    def middle(self, x):
        assert isinstance(self.b, nn.Conv2d)
        return super().middle(x)


class CallsForward(Wide):  # past the hooks that count what a call costs
    def middle(self, x):
        return self.b.forward(F.relu(self.a.forward(x)))


class SharesBias(Wide):
    def __init__(self):
        super().__init__()
        self.b.bias = self.a.bias


def changed(change):
    def make():
        network = Wide()
        change(network)
        return network

    return make


def with_own_forward(network):
    plain = network.a.forward
    network.a.forward = lambda x: plain(x) * 2


OUTSIDE = [
    (AsksForType, {"a": "used from outside"}),
    (Capturing, {"a": "used from outside"}),
    (AsksForSize, {"a": "used from outside"}),
    (AsksForKind, {"a": "called by its kind only", "b": "called by its kind only"}),
    (InsistsOnKind, {"b": "called by its kind only"}),
    (CallsForward, {"a": "unused", "b": "unused"}),
    (SharesBias, {"a": "shared", "b": "shared"}),
    (changed(lambda n: prune.l1_unstructured(n.a, "weight", 0.5)), {"a": "masked"}),
    (changed(lambda n: spectral_norm(n.a)), {"a": "computed-weight"}),
    (changed(lambda n: weight_norm(n.a)), {"a": "computed-weight"}),
    (changed(lambda n: parametrizations.spectral_norm(n.a)), {}),
    (changed(lambda n: n.a.register_forward_hook(lambda m, x, y: 2 * y)), {"a": "hooked"}),
    (changed(with_own_forward), {"a": "with a forward of its own"}),
]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(("make", "left"), OUTSIDE)
def test_layers_in_the_way_are_left_alone_and_the_others_are_not(make, left):
    network = made(make)
    same, layers, skipped = at_full_rank(network, SVD())
    assert {name: why for name, why in skipped.items() if why not in ORDINARY} == left
    assert {"a", "b"} - left.keys() <= layers.keys()
    expected = logits(network)
    assert (logits(same) - expected).abs().max() < 1e-4 * expected.abs().max()
    if {"a", "b"} - left.keys():
        smaller, recipe = compress(network, [SVD(ratio=0.25, exclude=["head*"])], sample=IMAGES)
        assert {"a", "b"} - left.keys() == recipe.entries[0].plan["layers"].keys()
        assert logits(smaller).shape == (2, 6)


class Places(nn.Module):
    """Asks a layer for its device in the first pass only, as the gated attention of ConViT."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 16)
        self.register_buffer("places", torch.zeros(1, 1, 2), persistent=False)

    def forward(self, x):
        t = x.flatten(2).transpose(1, 2)
        if self.places.shape[1] != t.shape[1]:
            self.places = torch.zeros(1, t.shape[1], 2, device=self.a.weight.device)
        return self.a(t).mean(1) + self.places.sum()


def test_what_a_first_pass_alone_reads_is_seen_after_it():
    network = Places()
    assert SVD().candidates(network, (64, 64))[1] == {"a": "used from outside"}
    network(IMAGES)
    assert SVD().candidates(network, (64, 64))[1] == {"a": "used from outside"}


def test_a_transformer_encoder_keeps_its_fast_path():
    network = made(FastPath)
    smaller, recipe = compress(network, [SVD(ratio=0.25)], sample=IMAGES)
    plan = recipe.entries[0].plan
    assert list(plan["layers"]) == ["wide"]
    assert recipe.summary()[0].startswith(
        "svd: factorised 1 layer: wide; left alone: 6 used from outside ("
        "encoder.layers.0.self_attn.out_proj, encoder.layers.1.self_attn.out_proj and 4 more)"
    )
    assert logits(smaller).shape == (2, 6)
    same, _, _ = at_full_rank(network, SVD())
    torch.testing.assert_close(logits(same), logits(network))
    same.train()(IMAGES).sum().backward()  # and trains, without it


def test_only_such_layers_are_named():
    skipped = {"a": "kxk", "b": "no cheaper (rank 1)", "c": "shared", "d": "shared", "e": "kxk"}
    assert counted(skipped) == "2 kxk, 1 no cheaper, 2 shared (c, d)"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("trained", [(False, False), (False, True), (True, False), (True, True)])
def test_products_are_trained_as_their_layers_were(step, trained):
    network = nn.Sequential(
        stem(16), nn.Conv2d(16, 24, 3), nn.Conv2d(24, 40, 1), nn.Conv2d(40, 6, 1)
    )
    weight, bias = trained
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(bias if name.endswith("bias") else weight)
    ratio = {"cp": 0.2, "svd": 0.3}.get(step, 0.4)
    made_of = STEPS[step](ratio=ratio, rounds=2)
    smaller, recipe = compress(network, [made_of], sample=IMAGES[..., :16, :16])
    products = recipe.entries[-1].plan["layers"]
    assert products
    for name in products:
        factors = smaller.get_submodule(name)
        assert [factor.weight.requires_grad for factor in factors] == [weight] * len(factors)
        assert factors[-1].bias is None or factors[-1].bias.requires_grad == bias
    again = recipe.replay(network)
    for (name, one), (_, other) in zip(
        smaller.named_parameters(), again.named_parameters(), strict=True
    ):
        assert one.requires_grad == other.requires_grad, name


def test_a_frozen_network_stays_frozen():
    network = made(NETWORKS["Volume"]).requires_grad_(False)
    smaller, _ = compress(network, [Tucker(ratio=0.3)], sample=IMAGES)
    assert not any(parameter.requires_grad for parameter in smaller.parameters())


def test_a_network_of_odd_layers_only_is_refused_by_their_names():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 3, 3))
    network[0].register_forward_hook(lambda *_: None)
    with pytest.raises(CompressionError, match=r"no layer .* \(1 hooked \(0\), 1 no cheaper"):
        compress(network, [Tucker(ratio=1.0)], sample=IMAGES)
