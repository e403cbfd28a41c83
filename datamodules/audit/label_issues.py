"""Likely wrong labels, by confident learning on predictions of networks that never saw the images.

Northcutt, Jiang, Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels",
JAIR 70, as cleanlab has it. An image counts as class k where its probability of k reaches the mean
probability of k over the images labelled k; counts of (label, class) estimate how many labels of
each kind are wrong (section 3.1), and the images with the largest margin of the other class over
the label are taken so many times ("prune by noise rate", section 3.2).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from datamodules.errors import DataError
from datamodules.sources import Item


class OutOfSample(NamedTuple):
    """Images, and what networks that were not trained on them say of them."""

    items: Sequence[Item]  # N, all labelled
    probabilities: np.ndarray  # N x classes; each row sums to 1
    notes: tuple[str, ...] = ()  # which images these are, a sentence each


class LabelIssue(NamedTuple):
    """An image whose label is likely to be wrong."""

    item: Item
    suggested: int  # the most probable class
    self_confidence: float  # probability of the label
    suggested_confidence: float  # probability of the suggested class


@dataclass(frozen=True)
class LabelIssues:
    """What was found.

    Attributes:
        found: the likeliest first.
        checked: how many images had predictions.
        accuracy: fraction of these whose most probable class is the label.
        notes: which images these are, a sentence each.
    """

    found: Sequence[LabelIssue]
    checked: int
    accuracy: float
    notes: tuple[str, ...] = ()


def require_cleanlab() -> None:
    """Refuses to go on without the optional library.

    Raises:
        DataError: it is not installed.
    """
    if find_spec("cleanlab") is None:
        raise DataError(
            "Likely wrong labels are found by cleanlab, which is not installed: "
            "pip install 'model-diet[labels]' (here: pip install '.[labels]')."
        )


def find_label_issues(predictions: OutOfSample) -> LabelIssues:
    """The images whose labels are likely wrong, by rising probability of the label.

    Raises:
        DataError: cleanlab is not installed, or fewer than two classes have images.
    """
    require_cleanlab()
    from cleanlab.filter import find_label_issues as confident_learning  # scikit-learn: seconds

    labels = np.array([item.label for item in predictions.items], int)
    probabilities = np.asarray(predictions.probabilities, float)
    if len(np.unique(labels)) < 2:
        raise DataError(
            "Likely wrong labels need predictions for images of two classes or more: name a run "
            "or a study whose validation images have them."
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="May not flag all label issues")  # of one image
        order = confident_learning(
            labels,
            probabilities,
            filter_by="prune_by_noise_rate",
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
    suggested = probabilities.argmax(axis=1)
    found = [
        LabelIssue(
            item=predictions.items[n],
            suggested=int(suggested[n]),
            self_confidence=float(probabilities[n, labels[n]]),
            suggested_confidence=float(probabilities[n, suggested[n]]),
        )
        for n in order
    ]
    accuracy = float((suggested == labels).mean())
    return LabelIssues(found, len(labels), accuracy, predictions.notes)
