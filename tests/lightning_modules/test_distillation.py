"""Soft targets against values computed with numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.distillation import SoftTargets, mean_probabilities, soft_target_loss
from lightning_modules.distiller import Distiller
from lightning_modules.errors import ConfigError
from lightning_modules.teachers import Teacher


def softmax(z, t):
    e = np.exp(z / t - (z / t).max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_soft_target_loss_is_t_squared_times_kl(temperature):
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(5, 6)), rng.normal(size=(5, 6))
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    expected = temperature**2 * (p * (np.log(p) - np.log(q))).sum(1).mean()
    found = soft_target_loss(torch.tensor(student), torch.tensor(p), temperature)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_mean_probabilities_uses_each_teachers_weight_and_temperature():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    expected = 0.75 * softmax(a, 2.0) + 0.25 * softmax(b, 5.0)
    found = mean_probabilities([torch.tensor(a), torch.tensor(b)], [3, 1], [2.0, 5.0])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(found.sum(1).numpy(), 1, rtol=1e-6)


def test_alpha_mixes_label_loss_and_soft_loss():
    logits, targets = torch.randn(4, 3), torch.softmax(torch.randn(4, 3), 1)
    soft = soft_target_loss(logits, targets, 4.0)
    loss = SoftTargets(temperature=4.0, alpha=0.25)(logits, torch.tensor(2.0), targets)
    assert loss.item() == pytest.approx(0.75 * 2.0 + 0.25 * soft.item(), rel=1e-6)


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"alpha": 1.5}, {"alpha": -0.1}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        SoftTargets(**{"temperature": 4.0, "alpha": 0.5, **settings})


def make_distiller(*teachers):
    return Distiller(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 3)),
        teachers=teachers,
        distillation=SoftTargets(temperature=2.0, alpha=0.5),
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1),
        scheduler=lambda optimizer, steps: torch.optim.lr_scheduler.ConstantLR(optimizer),
        num_classes=3,
    )


def test_teachers_stay_out_of_checkpoint_and_optimizer():
    teacher = Teacher("t", nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).requires_grad_(False))
    distiller = make_distiller(teacher)
    assert all(key.startswith("network.") for key in distiller.state_dict())
    assert sum(p.numel() for p in distiller.parameters()) == 12 * 3 + 3


def test_targets_are_the_mean_of_all_teachers():
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(12, 3)) for _ in range(3)]
    distiller = make_distiller(*(Teacher(str(i), network) for i, network in enumerate(networks)))
    images = torch.randn(5, 3, 2, 2)
    expected = torch.stack([torch.softmax(n(images) / 2.0, 1) for n in networks]).mean(0)
    torch.testing.assert_close(distiller.targets(images), expected)
    assert not distiller.targets(images).requires_grad
