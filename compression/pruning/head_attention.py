"""`nn.MultiheadAttention` with heads that need not fill its width."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, scaled_dot_product_attention

from compression.network_copy import copy_network
from compression.pruning.head_replacements import REPLACEMENTS, head_width, replacement


class HeadAttention(nn.MultiheadAttention):
    """Attention of H heads of d channels each to and from tokens of E channels, H d <= E.

    It has the parameters of `nn.MultiheadAttention` by their names, of which it also computes the
    function while H d = E; there the number of heads is tied to the width.
    """

    # Keeps the fused layers of `nn.TransformerEncoder` out, which know of one width only.
    _qkv_same_embed_dim = False

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As `nn.MultiheadAttention.forward`: the tokens N x L x E, and the weights of attention.

        Args:
            query: N x L x E, or L x N x E without `batch_first`, or L x E.
            key: N x S x E, in the same order.
            value: N x S x E, in the same order.
            key_padding_mask: N x S, true or -inf for tokens that are no keys.
            need_weights: gives N x L x S, or N x H x L x S if they are not to be averaged.
            attn_mask: L x S or N H x L x S, true or -inf where nothing is looked at.
            average_attn_weights: over the heads.
            is_causal: says of `attn_mask` what that says itself.
        """
        alone = query.ndim == 2
        batch_first = self.batch_first or alone
        if alone and key_padding_mask is not None:
            key_padding_mask = key_padding_mask[None]
        q, k, v = self._projected(query, key, value, batch_first, alone)
        mask = self._mask(key_padding_mask, attn_mask, q)
        chance = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
            weights = dropout((scores if mask is None else scores + mask).softmax(-1), chance)
            tokens = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights[0] if alone else weights
        else:
            tokens = scaled_dot_product_attention(q, k, v, mask, chance)
        tokens = self.out_proj(tokens.transpose(1, 2).flatten(2))
        if alone:
            return tokens[0], weights
        return tokens if batch_first else tokens.transpose(0, 1), weights

    def _projected(
        self, query: Tensor, key: Tensor, value: Tensor, batch_first: bool, alone: bool
    ) -> list[Tensor]:
        """Queries, keys and values, N x H x L x d each."""
        if query is key is value:
            found = linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        else:
            biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
            parts = zip((query, key, value), self.in_proj_weight.chunk(3), biases, strict=True)
            found = tuple(linear(tokens, weight, bias) for tokens, weight, bias in parts)
        if alone:
            found = tuple(part[None] for part in found)
        if not batch_first:
            found = tuple(part.transpose(0, 1) for part in found)
        return [p.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for p in found]

    def _mask(self, padding: Tensor | None, mask: Tensor | None, q: Tensor) -> Tensor | None:
        """What is added to the scores, in a shape that spreads to N x H x L x S."""
        masks = []
        if padding is not None:
            masks.append(padding[:, None, None])
        if mask is not None:
            masks.append(mask if mask.ndim == 2 else mask.unflatten(0, (-1, self.num_heads)))
        found = None
        for part in masks:
            if part.dtype == torch.bool:
                part = torch.zeros_like(part, dtype=q.dtype).masked_fill(part, float("-inf"))
            found = part if found is None else found + part
        return found


def replaceable(module: nn.Module) -> bool:
    """Whether a module is PyTorch's attention with one width for all that enters it."""
    if type(module) not in (nn.MultiheadAttention, HeadAttention):
        return False
    in_proj, bias = (module._parameters.get(name) for name in ("in_proj_weight", "bias_k"))
    return in_proj is not None and bias is None and not vars(module)["add_zero_attn"]


def put_head_attention(network: nn.Module, names: Iterable[str]) -> nn.Module:
    """Put what lets heads go in the place of each named module that does not, in place."""
    for name in names:
        module = network.get_submodule(name)
        if type(module) is nn.MultiheadAttention:
            module.__class__ = HeadAttention
            del module.__dict__["_qkv_same_embed_dim"]
        elif kind := replacement(module):
            module.head_dim = head_width(module)  # type: ignore[assignment]
            module.__class__ = kind
    return network


def with_head_attention(network: nn.Module, names: Iterable[str]) -> nn.Module:
    """A copy that lets heads of each go; the network itself where none is to be replaced."""
    modules = {name: network.get_submodule(name) for name in names}
    own = [n for n, m in modules.items() if type(m) is nn.MultiheadAttention or replacement(m)]
    return put_head_attention(copy_network(network), own) if own else network


# Those put in the place of other modules, which cannot do what is asked of them once they are cut.
REPLACING: tuple[type[nn.Module], ...] = (HeadAttention, *REPLACEMENTS.values())
