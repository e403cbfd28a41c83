"""Confident learning: against a computation of our own, and on labels that were made wrong."""

import sys

import numpy as np
import pytest

from datamodules.audit import OutOfSample, find_label_issues
from datamodules.errors import DataError
from datamodules.sources import Item
from tests.conftest import needs_extra

pytestmark = needs_extra("cleanlab")


def predictions(labels, probabilities) -> OutOfSample:
    items = [Item(f"/d/{n}.png", int(c), None, f"{n}.png") for n, c in enumerate(labels)]
    return OutOfSample(items, np.asarray(probabilities))


def found_in(labels, probabilities) -> list[int]:
    issues = find_label_issues(predictions(labels, probabilities)).found
    return [int(issue.item.group.removesuffix(".png")) for issue in issues]


def joint_of_paper(labels, probabilities):
    """The confident joint of section 3.1, equations 1 and 2, calibrated by equation 3."""
    n, m = probabilities.shape
    counts = np.zeros((m, m))
    threshold = [probabilities[labels == k, k].mean() for k in range(m)]
    for label, row in zip(labels, probabilities, strict=True):
        over = [k for k in range(m) if row[k] >= threshold[k]]
        if over:
            counts[label, max(over, key=lambda k: row[k])] += 1
    joint = counts / counts.sum(1, keepdims=True) * np.bincount(labels)[:, None]
    return joint / joint.sum() * n


def issues_of_paper(labels, probabilities, rounded):
    """Prune by noise rate, section 3.2: of each (label, class) the largest margins."""
    joint = joint_of_paper(labels, probabilities)
    chosen = set()
    for label, other in np.argwhere(~np.eye(len(joint), dtype=bool)):
        mine = np.flatnonzero(labels == label)
        margin = probabilities[mine, other] - probabilities[mine, label]
        chosen |= {*mine[np.argsort(-margin)][: int(rounded(joint[label, other]))]}
    return {n for n in chosen if probabilities[n].argmax() != labels[n]}


def noisy(seed, *, images=600, classes=4, wrong=0.1):
    """Labels, of which some are wrong, and probabilities of a good classifier."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, images)
    labels = true.copy()
    swapped = rng.random(images) < wrong
    labels[swapped] = (true[swapped] + rng.integers(1, classes, swapped.sum())) % classes
    logits = rng.normal(0, 1.2, (images, classes))
    logits[np.arange(images), true] += 3
    powers = np.exp(logits)
    return labels, powers / powers.sum(1, keepdims=True), {*np.flatnonzero(swapped)}


@pytest.mark.parametrize("seed", range(8))
def test_the_confident_joint_is_that_of_the_paper(seed):
    from cleanlab.count import compute_confident_joint

    labels, probabilities, _ = noisy(seed, classes=3 + seed % 3, wrong=0.02 + 0.03 * seed)
    joint = compute_confident_joint(labels, probabilities)
    # Rounded so that each row keeps its sum.
    assert np.abs(joint - joint_of_paper(labels, probabilities)).max() < 1
    found = {*found_in(labels, probabilities)}
    least, most = (issues_of_paper(labels, probabilities, f) for f in (np.floor, np.ceil))
    assert least <= found <= most and 0 < len(most) <= len(least) + 20


def test_planted_wrong_labels_of_a_simulated_classifier():
    labels, probabilities, wrong = noisy(0, images=2000, wrong=0.05)
    found = found_in(labels, probabilities)
    hit = len({*found} & wrong)
    assert hit / len(wrong) > 0.85 and hit / len(found) > 0.6
    first = found[:50]
    assert len({*first} & wrong) >= 45


def test_planted_wrong_labels_of_real_digits():
    """1 797 scanned digits, 5 % of them with another label, seen by cross-validation."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    images, true = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.choice(len(true), 90, replace=False)
    labels = true.copy()
    labels[wrong] = (true[wrong] + rng.integers(1, 10, 90)) % 10
    network = LogisticRegression(C=0.01, max_iter=200)
    probabilities = cross_val_predict(network, images / 16, labels, method="predict_proba")
    found = find_label_issues(predictions(labels, probabilities))
    groups = [int(issue.item.group.removesuffix(".png")) for issue in found.found]
    hit = len({*groups} & {*wrong})
    assert hit / len(wrong) > 0.85 and hit / len(groups) > 0.6
    assert len({*groups[:50]} & {*wrong}) >= 45
    right = [i.suggested == true[g] for g, i in zip(groups, found.found, strict=True) if g in wrong]
    assert np.mean(right) > 0.9, "what is suggested is the true class"
    assert found.checked == 1797 and 0.8 < found.accuracy < 0.95


def test_what_is_said_of_each():
    labels, probabilities, _ = noisy(1)
    found = find_label_issues(predictions(labels, probabilities)._replace(notes=("so it is",)))
    assert found.notes == ("so it is",)
    confidences = [issue.self_confidence for issue in found.found]
    assert confidences == sorted(confidences) and len(confidences) > 10
    for issue in found.found:
        row = probabilities[int(issue.item.group.removesuffix(".png"))]
        assert issue.self_confidence == row[issue.item.label]
        assert issue.suggested == row.argmax() != issue.item.label
        assert issue.suggested_confidence == row.max()


@pytest.mark.filterwarnings("error")
def test_rare_and_missing_classes():
    labels, probabilities, _ = noisy(2)
    wider = np.concatenate([probabilities * 0.98, np.full((600, 2), 0.01)], axis=1)
    labels[0] = 4  # the only one; of class 5 there is none
    assert {*found_in(labels, wider)} <= {*range(600)}
    assert found_in([0, 1], [[0.9, 0.1], [0.2, 0.8]]) == []


def test_refused(monkeypatch):
    with pytest.raises(DataError, match="need predictions for images of two classes or more"):
        find_label_issues(predictions([1, 1], [[0.9, 0.1], [0.2, 0.8]]))
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setattr("datamodules.audit.label_issues.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"not installed: pip install 'model-diet\[labels\]'"):
        find_label_issues(predictions([0, 1], [[0.9, 0.1], [0.2, 0.8]]))
