"""Logit standardisation: compare how logits lie to each other, not how large they are."""

from torch import Tensor


def standardise(logits: Tensor) -> Tensor:
    """Z-scores: each image's logits N x C, with mean 0 and (population) deviation 1.

    A small student cannot reach the range of a large teacher's logits and need not (Sun et al.
    2024, algorithm 1). Equal logits of an image stay equal: 0.
    """
    centred = logits - logits.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True).sqrt() + 1e-7)
