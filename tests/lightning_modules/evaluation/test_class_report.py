"""Precision, recall and F1 of each class against definitions written out in numpy."""

import numpy as np
import pytest
import torch

from lightning_modules.evaluation.class_report import (
    class_metrics,
    class_rows,
    is_class_metric,
    table_cells,
)
from lightning_modules.evaluation.metrics import split_metrics
from lightning_modules.evaluation.predictions import Predictions


def made_predictions(classes=5, images=200, seed=0):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (images,), generator=draw)
    return Predictions(torch.randn(images, classes, generator=draw), labels)


@pytest.mark.parametrize("seed", range(5))
def test_every_class_by_its_definition(seed):
    given = made_predictions(seed=seed)
    labels, seen = given.labels.numpy(), given.logits.numpy().argmax(axis=1)
    for number, row in enumerate(class_rows("abcde", given.confusion)):
        both = np.sum((labels == number) & (seen == number))
        assert row.name == "abcde"[number]
        assert row.support == np.sum(labels == number)
        assert row.precision == pytest.approx(both / np.sum(seen == number))
        assert row.recall == pytest.approx(both / row.support)
        mean = 2 * row.precision * row.recall / (row.precision + row.recall)
        assert row.f1 == pytest.approx(mean)


@pytest.mark.parametrize("images", [1, 3, 200])
def test_the_mean_over_known_classes_is_macro_f1(images):
    given = made_predictions(classes=7, images=images)
    found = class_metrics("abcdefg", given.confusion, split="val")
    scores = [value for key, value in found.items() if key.startswith("val/f1/")]
    assert np.mean(scores) == pytest.approx(split_metrics(given, split="val")["val/f1"], abs=1e-6)


def test_classes_without_images_or_predictions():
    matrix = [[3, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 4, 0, 0]]
    rows = class_rows(["a", "b", "never", "unseen"], matrix)
    assert rows[0] == ("a", 3 / 5, 3 / 4, 6 / 9, 4)
    assert rows[1] == ("b", 0.0, 0.0, 0.0, 2)
    assert rows[2] == ("never", None, None, None, 0)
    assert rows[3] == ("unseen", 0.0, 0.0, 0.0, 4)
    found = class_metrics(["a", "b", "never", "unseen"], matrix, split="test")
    assert found["test/support/never"] == 0
    assert "test/f1/never" not in found
    assert table_cells(rows)[0] == ["a", "0.600", "0.750", "0.667", "4"]
    assert table_cells(rows)[2] == ["never", "", "", "", "0"]


def test_which_figures_are_those_of_a_class():
    assert is_class_metric("val/f1/a/b")
    assert not any(map(is_class_metric, ["val/f1", "cost/macs", "val/agreement/f1", "seed"]))


def test_loss_and_accuracy_of_an_image_each():
    given = Predictions(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([1, 0]))
    losses = np.log([2, 1 + np.exp(-2)])
    np.testing.assert_allclose(given.losses.numpy(), losses, rtol=1e-6)
    found = split_metrics(given, split="val")
    assert found["val/loss"] == pytest.approx(losses.mean())
    assert found["val/accuracy"] == 0.5
