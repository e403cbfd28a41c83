"""Expected calibration error on cases worked out by hand and against torchmetrics."""

import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from lightning_modules.evaluation.calibration import reliability
from lightning_modules.evaluation.predictions import Predictions


def sure(confidence, right):
    """Predictions in two classes with these probabilities of the predicted one, class 0."""
    logits = torch.stack([torch.logit(torch.tensor(confidence)), torch.zeros(len(right))], dim=1)
    return Predictions(logits, 1 - torch.tensor(right).long())


def test_by_hand():
    # (0.8, 0.8667] holds two images, one of them right; (0.6, 0.6667] one, which is right.
    found = reliability(sure([0.81, 0.85, 0.65], [True, False, True]))
    assert found.counts.tolist() == [0] * 9 + [1, 0, 0, 2, 0, 0]
    assert found.confidence[12].item() == pytest.approx(0.83)
    assert found.accuracy[12].item() == 0.5
    assert found.error == pytest.approx((2 * 0.33 + 1 * 0.35) / 3, abs=1e-6)


def test_the_bin_ends_belong_to_the_lower_bin_and_one_to_the_last():
    logits = torch.tensor([[0.0, 0.0], [200.0, 0.0]])  # confidence 1/2 and, in 32 bits, 1
    found = reliability(Predictions(logits, torch.zeros(2).long()), bins=4)
    assert found.counts.tolist() == [0, 1, 0, 1]
    assert found.error == pytest.approx(0.25)


def test_sure_and_right_is_calibrated_sure_and_wrong_is_not():
    logits = torch.tensor([[200.0, 0.0]] * 3)
    assert reliability(Predictions(logits, torch.zeros(3).long())).error == 0
    assert reliability(Predictions(logits, torch.ones(3).long())).error == 1


@pytest.mark.parametrize("seed", range(5))
def test_as_torchmetrics_where_no_confidence_is_a_bin_end(seed):
    draw = torch.Generator().manual_seed(seed)
    given = Predictions(
        3 * torch.randn(300, 6, generator=draw), torch.randint(0, 6, (300,), generator=draw)
    )
    theirs = multiclass_calibration_error(given.probabilities, given.labels, 6, n_bins=15)
    assert reliability(given).error == pytest.approx(theirs.item(), abs=1e-5)
