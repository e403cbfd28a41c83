"""Telling networks apart by their weights."""

from typing import Protocol

import torch
from torch import nn


class Digest(Protocol):
    """Such as `hashlib.sha256()`."""

    def update(self, content: bytes, /) -> None:
        """Take in more."""


def digest_weights(digest: Digest, network: nn.Module) -> None:
    """Add the names, types, shapes and values of all parameters and buffers that are saved."""
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(content.view(torch.uint8).numpy().tobytes())
