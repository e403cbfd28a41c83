"""Position embeddings of another image size, interpolated (ViT; Dosovitskiy et al. 2021)."""

import re
from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate

NAMES = re.compile(r"(^|[._])pos(ition)?_?emb(ed(ding)?s?)?$", re.IGNORECASE)
RELATIVE = "relative_position_bias_table"  # (2 h - 1) (2 w - 1) x heads
PREFIX_TOKENS = (0, 1, 2)  # class and distillation tokens before the patches


def interpolated(body: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those tensors of `state` that are position embeddings of another grid, made to fit `body`.

    1 x tokens x width, 1 x width x H x W and tables of relative positions; of absolute ones the
    tokens before the patches stay.

    Args:
        body: the network.
        state: by the network's names.
    """
    found = {}
    for name, own in body.state_dict().items():
        given = state.get(name)
        if given is None or given.shape == own.shape or given.ndim != own.ndim:
            continue
        if name.endswith(RELATIVE) and given.shape[1] == own.shape[1]:
            window = _window(body, name)
            if window is not None:
                # timm takes a second: only who interpolates waits for it
                from timm.layers.pos_embed_rel import resize_rel_pos_bias_table

                found[name] = resize_rel_pos_bias_table(given, window, tuple(own.shape))
        elif NAMES.search(name):
            tensor = _absolute(given, own, body)
            if tensor is not None:
                found[name] = tensor
    return found


def _absolute(given: Tensor, own: Tensor, body: nn.Module) -> Tensor | None:
    if own.ndim == 4 and given.shape[:2] == own.shape[:2]:  # 1 x width x H x W
        sides = (own.shape[2], own.shape[3])
        return interpolate(given.float(), sides, mode="bicubic", antialias=True).to(given.dtype)
    if own.ndim != 3 or given.shape[2] != own.shape[2]:
        return None
    from timm.layers.pos_embed import resample_abs_pos_embed  # as above

    grid = getattr(getattr(body, "patch_embed", None), "grid_size", None)
    for before in PREFIX_TOKENS:
        old, new = given.shape[1] - before, own.shape[1] - before
        size = _grid(new, grid)
        if size is not None and isqrt(old) ** 2 == old:
            return resample_abs_pos_embed(given, list(size), num_prefix_tokens=before)
    return None


def _grid(tokens: int, stated: Any) -> tuple[int, int] | None:
    """Rows and columns of the patches: what the network says, or a square."""
    if stated is not None and stated[0] * stated[1] == tokens:
        return stated[0], stated[1]
    side = isqrt(tokens)
    return (side, side) if side**2 == tokens else None


def _window(body: nn.Module, name: str) -> tuple[int, int] | None:
    """Height and width of the window of the attention that a table belongs to."""
    size = getattr(body.get_submodule(name.rpartition(".")[0]), "window_size", None)
    size = (size, size) if isinstance(size, int) else size
    return None if size is None else (int(size[0]), int(size[1]))
