"""The own attention module against PyTorch's."""

import copy

import pytest
import torch
from torch import nn

from compression.pruning.head_attention import (
    HeadAttention,
    put_head_attention,
    replaceable,
    with_head_attention,
)

N, L, S, WIDTH, HEADS = 2, 5, 7, 12, 3
INF = float("-inf")


def attention(**settings) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(WIDTH, HEADS, **settings).eval()
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_()
    return module


def own(module: nn.Module) -> nn.Module:
    twin = copy.deepcopy(module)
    assert put_head_attention(nn.ModuleList([twin]), ["0"])[0] is twin
    assert type(twin) is HeadAttention
    return twin


def look(*shape: int) -> torch.Tensor:
    """A mask that leaves something to be looked at."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.4
    mask[..., 0] = False
    return mask


ADDED = torch.randn(L, S, generator=torch.Generator().manual_seed(2))
ARGUMENTS = {
    "weights": {},
    "no_weights": {"need_weights": False},
    "weights_of_each_head": {"average_attn_weights": False},
    "mask": {"attn_mask": look(L, S)},
    "added": {"attn_mask": ADDED, "need_weights": False},
    "mask_of_each_head": {"attn_mask": look(N * HEADS, L, S)},
    "padding": {"key_padding_mask": look(N, S), "need_weights": False},
    "padding_and_mask": {"key_padding_mask": look(N, S), "attn_mask": look(L, S)},
    "padding_added": {"key_padding_mask": torch.zeros(N, S).masked_fill(look(N, S), INF)},
}


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_it_computes_what_pytorchs_does(name, bias, batch_first):
    module = attention(batch_first=batch_first, bias=bias)
    tokens, keys, values = torch.randn(N, L, WIDTH), torch.randn(2, N, S, WIDTH), None
    keys, values = keys
    if not batch_first:
        tokens, keys, values = (t.transpose(0, 1) for t in (tokens, keys, values))
    expected = module(tokens, keys, values, **ARGUMENTS[name])
    same(own(module)(tokens, keys, values, **ARGUMENTS[name]), expected)


@pytest.mark.parametrize("need_weights", [True, False])
def test_of_tokens_to_themselves(need_weights):
    module, tokens = attention(batch_first=True), torch.randn(N, L, WIDTH)
    expected = module(tokens, tokens, tokens, need_weights=need_weights)
    same(own(module)(tokens, tokens, tokens, need_weights=need_weights), expected)


def test_of_one_image_alone():
    module, tokens = attention(), torch.randn(L, WIDTH)
    padding = look(1, L)[0]
    expected = module(tokens, tokens, tokens, key_padding_mask=padding)
    same(own(module)(tokens, tokens, tokens, key_padding_mask=padding), expected)


def test_gradients_and_names_are_the_same():
    module, tokens = attention(batch_first=True).train(), torch.randn(N, L, WIDTH)
    twin = own(module)
    for one in (module, twin):
        one(tokens, tokens, tokens, need_weights=False)[0].square().sum().backward()
    assert twin.state_dict().keys() == module.state_dict().keys()
    for (name, mine), theirs in zip(twin.named_parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, msg=name)


@pytest.mark.parametrize("left", [[0], [0, 2], [2, 1]])
def test_heads_that_are_gone_are_those_that_nothing_is_read_from(left):
    """Fewer heads than the width holds, against PyTorch's with columns of zeros."""
    module, tokens = attention(batch_first=True), torch.randn(N, L, WIDTH)
    d = WIDTH // HEADS
    rows = torch.cat([torch.arange(d) + h * d for h in left])
    smaller = own(module)
    smaller.num_heads = len(left)
    everywhere = torch.cat([rows, rows + WIDTH, rows + 2 * WIDTH])
    smaller.in_proj_weight = nn.Parameter(module.in_proj_weight[everywhere])
    smaller.in_proj_bias = nn.Parameter(module.in_proj_bias[everywhere])
    smaller.out_proj.weight = nn.Parameter(module.out_proj.weight[:, rows])
    gone = [i for i in range(WIDTH) if i not in rows]
    module.out_proj.weight.data[:, gone] = 0
    expected = module(tokens, tokens, tokens, need_weights=False)[0]
    found = smaller(tokens, tokens, tokens, need_weights=False)[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_the_fused_layer_of_pytorch_is_kept_out():
    """In evaluation it would compute with one width for all, by the parameters alone."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True).eval()
    tokens = torch.randn(N, L, WIDTH)
    twin = with_head_attention(layer, ["self_attn"])
    with torch.no_grad():
        torch.testing.assert_close(twin(tokens), layer(tokens), atol=1e-6, rtol=1e-5)
    calls = []
    twin.self_attn.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        twin(tokens)
    assert calls and type(layer.self_attn) is nn.MultiheadAttention


def test_what_can_be_replaced():
    assert replaceable(attention()) and replaceable(own(attention()))
    assert not replaceable(attention(kdim=4))
    assert not replaceable(attention(add_bias_kv=True))
    assert not replaceable(attention(add_zero_attn=True))
    assert not replaceable(nn.Linear(2, 2))


def test_a_network_without_it_is_not_copied():
    network = nn.Sequential(nn.Linear(2, 2))
    assert with_head_attention(network, []) is network
