"""Agreement of a student with teachers whose logits were chosen."""

import pytest
import torch
from torch import nn

from lightning_modules.distillation.distillation import Distillation
from lightning_modules.distillation.logit_term import SoftTargets
from lightning_modules.distillation.teachers import Teacher
from lightning_modules.evaluation.agreement import teacher_agreement
from lightning_modules.evaluation.predictions import Predictions

# Images 0..3 in two batches; each network looks its logits up by the first pixel.
BATCHES = [
    (torch.tensor([0, 1, 2]).view(3, 1, 1, 1).expand(3, 3, 4, 4), torch.tensor([1, 1, 1])),
    (torch.tensor([3]).view(1, 1, 1, 1).expand(1, 3, 4, 4), torch.tensor([0])),
]
SAYS_A = [[2.0, 0.0], [2.0, 0.0], [0.0, 4.0], [0.0, 1.0]]  # classes 0 0 1 1
SAYS_B = [[0.0, 1.0], [0.0, 9.0], [0.0, 1.0], [9.0, 0.0]]  # classes 1 1 1 0
STUDENT = Predictions(torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1]]), torch.tensor([0, 0, 1, 1]))


class Table(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images):
        return self.logits[images[:, 0, 0, 0].long()]


def agree(*, weights=(1.0, 1.0), **settings):
    teachers = [
        Teacher(name, Table(logits).eval(), weight=weight)
        for name, logits, weight in zip("ab", (SAYS_A, SAYS_B), weights, strict=True)
    ]
    settings = {
        "temperature": 1.0,
        "alpha": 0.5,
        "terms": {"soft": SoftTargets(weight=1.0)},
        **settings,
    }
    return teacher_agreement(STUDENT, teachers, BATCHES, distillation=Distillation(**settings))


def test_each_teacher_and_all_as_one():
    # Means of probabilities favour 0 (.88 .27), 1 (.88 .00), 1, 0 (.27 1.0): student 0 1 1 1.
    expected = {"val/agreement": 0.75, "val/agreement/a": 0.75, "val/agreement/b": 0.5}
    assert agree() == expected
    assert agree(aggregation="sum_of_losses") == expected


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"weights": (1.0, 0.0)}, 0.75),
        ({"weights": (0.0, 1.0)}, 0.5),
        ({"aggregation": "mean_logits"}, 0.75),
        ({"aggregation": "best_per_sample"}, 0.5),  # the labels are those of b
    ],
)
def test_the_aggregation_decides(settings, share):
    assert agree(**settings)["val/agreement"] == share
