import copy

import pytest
import torch
from torch import nn

from compression import Recipe, compress
from compression.errors import CompressionError
from compression.pruning.prune_weights import PruneWeights


@pytest.fixture
def plain():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 3)
    ).eval()


@pytest.fixture
def images():
    return torch.rand(2, 3, 8, 8)


def weights(network) -> torch.Tensor:
    return torch.cat([network[0].weight.flatten(), network[3].weight.flatten()]).detach()


def test_the_smallest_of_all_go_and_stay_away(plain, images):
    counts, names = [], []

    def fine_tune(network, step, round):
        names.append(sorted(network.state_dict()))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            optimizer.zero_grad()
            network.train()(images).square().sum().backward()
            optimizer.step()
        network(images)
        counts.append(int((weights(network) == 0).sum()))
        copy.deepcopy(network)  # as the averaging of weights does

    step = PruneWeights(sparsity=0.75, rounds=2)
    smaller, recipe = compress(plain, [step], sample=images, fine_tune=fine_tune)
    total = weights(plain).numel()
    assert counts == [round(0.75 * 0.875 * total), round(0.75 * total)]
    assert int((weights(smaller) == 0).sum()) == counts[1]
    assert "0.weight_mask" in names[0] and names[0] == names[1]
    # What is left is a plain network again, which the recipe's structure takes as it is.
    rebuilt = Recipe.from_json(recipe.to_json()).replay(copy.deepcopy(plain).to("meta"))
    rebuilt.load_state_dict(smaller.state_dict(), assign=True)
    assert torch.equal(rebuilt.eval()(images), smaller.eval()(images))
    assert smaller.state_dict().keys() == plain.state_dict().keys()
    assert not smaller[0]._forward_pre_hooks and (weights(plain) == 0).sum() == 0


def test_which_go(plain, images):
    smaller, recipe = compress(plain, [PruneWeights(sparsity=0.5)], sample=images)
    zeros = weights(smaller) == 0
    assert zeros.sum() == round(0.5 * len(zeros))
    scores = []
    for layer in (plain[0], plain[3]):  # by the definition, one weight after the other
        squares = layer.weight.detach().double().flatten() ** 2
        scores += [square / squares[squares >= square].sum() for square in squares]
    assert torch.equal(zeros, torch.stack(scores) <= torch.stack(scores).median())
    assert recipe.layers()[0][1] == "0"
    each, _ = compress(plain, [PruneWeights(sparsity=0.5, scope="uniform")], sample=images)
    assert [(layer.weight == 0).float().mean() for layer in (each[0], each[3])] == [0.5, 0.5]
    line = recipe.summary()[0]
    plain_bytes, packed = recipe.entries[0].plan["bytes"]
    assert packed < plain_bytes and "makes nothing faster" in line and f"{packed:,}" in line
    one, recipe = compress(plain, [PruneWeights(include=["3"])], sample=images)
    assert list(recipe.entries[0].plan["layers"]) == ["3"] and (one[0].weight != 0).all()


def test_refusals(plain, images):
    for wrong in ({"sparsity": 1}, {"scope": "all"}, {"rounds": 0}):
        with pytest.raises(CompressionError, match=next(iter(wrong))):
            PruneWeights(**wrong)
    with pytest.raises(CompressionError, match="'7'; the nearest names are"):
        compress(plain, [PruneWeights(include=["7"])], sample=images)
    _, recipe = compress(plain, [PruneWeights()], sample=images)
    with pytest.raises(CompressionError, match="no layer '0' with 216 weights"):
        recipe.replay(nn.Sequential(nn.Linear(2, 2)))
