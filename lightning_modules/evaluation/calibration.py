"""How far a network's confidence may be believed (Guo et al. 2017, section 2)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.evaluation.predictions import Predictions

BINS = 15  # as in Guo et al., section 5


@dataclass(frozen=True)
class Reliability:
    """Images by confidence (the probability of the predicted class), in bins of equal width.

    Bin m of M holds the confidences in ((m - 1) / M, m / M].

    Attributes:
        counts: images in each bin.
        confidence: their mean confidence; 0 in an empty bin.
        accuracy: the share of them that is predicted rightly; 0 in an empty bin.
    """

    counts: Tensor
    confidence: Tensor
    accuracy: Tensor

    @property
    def error(self) -> float:
        """The expected calibration error, 0..1 (eq. 3): the mean of |accuracy - confidence|."""
        gaps = (self.accuracy - self.confidence).abs()
        return ((self.counts * gaps).sum() / self.counts.sum()).item()


def reliability(predictions: Predictions, *, bins: int = BINS) -> Reliability:
    """The bins of a network's predictions.

    torchmetrics has the error but not the bins that the picture needs, and it counts images of
    confidence 1.0, which are many in 32 bits, in a bin of their own.
    """
    confidence = predictions.probabilities.max(dim=1).values.double()
    right = (predictions.classes == predictions.labels).double()
    bin_of = (torch.ceil(confidence * bins).long() - 1).clamp(0, bins - 1)
    counts = torch.bincount(bin_of, minlength=bins).double()
    filled = counts.clamp_min(1)
    return Reliability(
        counts=counts,
        confidence=torch.bincount(bin_of, weights=confidence, minlength=bins) / filled,
        accuracy=torch.bincount(bin_of, weights=right, minlength=bins) / filled,
    )
