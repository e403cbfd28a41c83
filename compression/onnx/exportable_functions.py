"""Functions of PyTorch that exporters or runtimes lack, spelled out in operations they have."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout, pad, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


class ExportableFunctions(TorchFunctionMode):
    """While a network is traced: attention over other than four axes, distances, circular padding.

    ONNX's attention takes N x heads x length x width only, without shared keys; networks that look
    through windows (Hiera, NesT, Twins, MaxViT) have a fifth axis. `torch.cdist` chooses how to
    calculate by the number of its rows, which would fix the batch. OpenVINO cannot pad circularly.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The function, or what stands for it."""
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention and _needs_spelling(*args, **kwargs):
            return attention(*args, **kwargs)
        if func is torch.cdist:
            return distances(*args, **kwargs)
        if func is pad and "circular" in (*args[2:3], kwargs.get("mode")):
            return wrapped(args[0] if args else kwargs["input"], (*args[1:2], kwargs.get("pad"))[0])
        return func(*args, **kwargs)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`torch.nn.functional.scaled_dot_product_attention` as its documentation defines it."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scores = query @ key.transpose(-2, -1) * (scale or 1 / math.sqrt(query.shape[-1]))
    return attend(scores, value, attn_mask, dropout_p, is_causal)


def attend(
    scores: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float, is_causal: bool
) -> Tensor:
    """What attention gives for the scores of its queries: ... x queries x keys, before masking."""
    if is_causal:
        attn_mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return dropout(scores.softmax(-1), dropout_p, dropout_p > 0) @ value


def distances(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """`torch.cdist`: ... x P x M and ... x R x M -> ... x P x R."""
    apart = (x1.unsqueeze(-2) - x2.unsqueeze(-3)).abs()
    if p == 2:
        return apart.square().sum(-1).sqrt()
    if p == 1:
        return apart.sum(-1)
    if math.isinf(p):
        return apart.amax(-1)
    return (apart != 0).sum(-1) if p == 0 else apart.pow(p).sum(-1).pow(1 / p)


def wrapped(images: Tensor, widths: Sequence[int]) -> Tensor:
    """`torch.nn.functional.pad(mode="circular")`: (before, after) of the last axis, and so on."""
    for number, (before, after) in enumerate(zip(widths[::2], widths[1::2], strict=True)):
        axis = images.ndim - 1 - number
        length = images.shape[axis]
        parts = [images.narrow(axis, length - before, before)] if before > 0 else []
        parts.append(images)
        parts += [images.narrow(axis, 0, after)] if after > 0 else []
        images = torch.cat(parts, axis)
    return images


def _needs_spelling(
    query: Tensor, key: Tensor, *_: Any, enable_gqa: bool = False, **__: Any
) -> bool:
    return enable_gqa or query.ndim != 4 or key.ndim != 4
