"""CutMix and MixUp: images and targets agree, draws follow from the step, teachers see them."""

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.distillation.distiller import Distiller
from lightning_modules.distillation.feature_pairs import FeaturePairs
from lightning_modules.distillation.teachers import Teacher
from lightning_modules.errors import ConfigError
from lightning_modules.networks.network import Pixels
from lightning_modules.registry import build
from lightning_modules.training.callbacks.seeding import seed_step
from lightning_modules.training.classifier import Classifier
from lightning_modules.training.mixing import cut_mix, cut_mix_or_mix_up, mix_up

SIZE = 8
LABELS = torch.arange(SIZE)
# Image n is all of value 30 n, so that each pixel of a mixture tells where it comes from.
IMAGES = (30 * LABELS).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 20, 30).contiguous()


def mixed(mixing, *, step, images=IMAGES, labels=LABELS):
    seed_step(0, 1, step)  # as `Seeding` does before each training batch
    return mixing(images, labels)


@pytest.mark.parametrize("step", range(12))
def test_cutmix_targets_are_the_areas_of_the_pixels(step):
    images, targets = mixed(cut_mix(alpha=1.0, probability=1, num_classes=SIZE), step=step)
    assert images.dtype == targets.dtype == torch.float32
    for image, target in zip(images, targets, strict=True):
        sources = (image[0] / 30).long()
        assert torch.equal(image, (30.0 * sources).expand(3, -1, -1))
        areas = torch.bincount(sources.ravel(), minlength=SIZE) / sources.numel()
        assert torch.allclose(target, areas, atol=1e-6)
        own, other = areas.topk(2).indices
        inside = (sources == other).nonzero()
        if len(inside):  # what was pasted, or what is left around it, is one box
            box = (inside.max(0).values - inside.min(0).values + 1).prod()
            rest = (sources == own).nonzero()
            around = (rest.max(0).values - rest.min(0).values + 1).prod()
            assert box == len(inside) or around == len(rest)


@pytest.mark.parametrize("step", range(6))
def test_mixup_targets_are_the_weights_of_the_pixels(step):
    images, targets = mixed(mix_up(alpha=1.0, probability=1, num_classes=SIZE), step=step)
    values = 30.0 * torch.arange(SIZE)
    assert torch.allclose(images, (targets @ values).view(-1, 1, 1, 1).expand_as(images), atol=1e-3)
    assert torch.equal((targets > 0).sum(1), torch.full((SIZE,), 2))
    assert images.min() >= 0 and images.max() <= 255
    own = targets[LABELS, LABELS]
    assert torch.allclose(own, own[:1].expand(SIZE))  # one weight a batch


@pytest.mark.parametrize("make", [cut_mix, mix_up])
def test_targets_sum_to_one_for_any_labels(make):
    labels = torch.tensor([0, 0, 1, 2, 2, 2, 1, 0])
    mixing = make(alpha=0.5, probability=0.7, num_classes=4)
    for step in range(30):
        images, targets = mixed(mixing, step=step, labels=labels)
        assert images.shape == IMAGES.shape and targets.shape == (SIZE, 4)
        assert torch.allclose(targets.sum(1), torch.ones(SIZE)) and targets.min() >= 0
        assert not targets[:, 3].any()
    assert IMAGES.dtype == torch.uint8 and IMAGES[1, 0, 0, 0] == 30  # the batch itself stays


def test_draws_follow_from_seed_stream_and_step():
    mixing = cut_mix_or_mix_up(alpha=1.0, mixup_alpha=1.0, probability=0.9, num_classes=SIZE)
    first = [mixed(mixing, step=step) for step in range(20)]
    for step in (7, 3, 19):
        again = mixed(mixing, step=step)
        assert all(torch.equal(a, b) for a, b in zip(again, first[step], strict=True))
    assert len({targets.numpy().tobytes() for _, targets in first}) >= 15


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_are_drawn_from_beta(alpha):
    mixing = mix_up(alpha=alpha, probability=1, num_classes=SIZE)
    found = [
        mixed(mixing, step=step, images=IMAGES[..., :1, :1])[1][0, 0].item() for step in range(500)
    ]
    expected = np.sort(np.random.default_rng(0).beta(alpha, alpha, 200_000))
    # Kolmogorov-Smirnov: the largest distance of the two distribution functions.
    theirs = np.searchsorted(expected, np.sort(found)) / len(expected)
    assert np.abs(theirs - np.arange(500) / 500).max() < 0.07


def test_the_share_of_mixed_batches():
    mixing = mix_up(alpha=1.0, probability=0.3, num_classes=SIZE)
    plain = 0
    for step in range(400):
        images, targets = mixed(mixing, step=step, images=IMAGES[..., :2, :2])
        if torch.equal(targets, torch.eye(SIZE)):
            plain += 1
            assert torch.equal(images, IMAGES[..., :2, :2].float())
    assert abs(plain / 400 - 0.7) < 0.08


def test_one_of_the_two():
    mixing = cut_mix_or_mix_up(alpha=1.0, mixup_alpha=1.0, probability=1, num_classes=SIZE)
    whole = 0
    for step in range(200):
        images, _ = mixed(mixing, step=step)
        whole += all(torch.unique(image).numel() == 1 for image in images)
    assert 70 < whole < 130  # MixUp leaves one value an image; so does a CutMix box of no area


@pytest.mark.parametrize(
    ("make", "changes", "sentence"),
    [
        (cut_mix, {"alpha": 0}, "mixing.alpha=0 is not allowed; it must be above 0"),
        (mix_up, {"probability": 1.5}, "mixing.probability=1.5 is not allowed; it must be in 0..1"),
        (cut_mix_or_mix_up, {"mixup_alpha": -1}, "mixing.mixup_alpha=-1"),
    ],
)
def test_impossible_numbers(make, changes, sentence):
    settings = {"alpha": 1.0, "probability": 1.0, "num_classes": 3}
    settings |= {"mixup_alpha": 1.0} if make is cut_mix_or_mix_up else {}
    with pytest.raises(ConfigError, match=sentence):
        make(**{**settings, **changes})


def make_network():
    torch.manual_seed(0)
    return nn.Sequential(
        Pixels(), nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, SIZE)
    )


def make_module(kind, **settings):
    fixed = {"loss": nn.CrossEntropyLoss(), "optimizer": None, "scheduler": None}
    module = kind(make_network(), num_classes=SIZE, **fixed, **settings)
    module.log = lambda *_, **__: None
    return module


def test_the_loss_is_the_weighted_sum_of_both_labels_losses():
    mixing = mix_up(alpha=1.0, probability=1, num_classes=SIZE)
    module = make_module(Classifier, mixing=mixing)
    images, targets = mixed(mixing, step=5)
    logits = module(images)
    both = targets.topk(2)
    separate = nn.CrossEntropyLoss(reduction="none")
    expected = sum(both.values[:, n] * separate(logits, both.indices[:, n]) for n in (0, 1)).mean()
    seed_step(0, 1, 5)
    loss = module.training_step((IMAGES, LABELS), 0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_student_and_teachers_see_the_same_mixture(compose_config, homes):
    seen = []
    teachers = [Teacher(name, make_network().requires_grad_(False).eval()) for name in "ab"]
    distillation = build(compose_config("distillation=soft_targets").distillation)
    pairs = FeaturePairs(distillation, teachers, make_network(), image_size=(20, 30), seed=(0,))
    module = make_module(
        Distiller,
        teachers=teachers,
        distillation=distillation,
        pairs=pairs,
        mixing=cut_mix(alpha=1.0, probability=1, num_classes=SIZE),
    )
    for network in (module.network, *(teacher.network for teacher in teachers)):
        network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module.training_step((IMAGES, LABELS), 0).backward()
    assert len(seen) == 3 and all(torch.equal(images, seen[0]) for images in seen)
    assert seen[0].dtype == torch.float32 and not torch.equal(seen[0], IMAGES.float())


def test_validation_is_not_mixed():
    def refuse(*_):
        raise AssertionError("validation images were mixed")

    module = make_module(Classifier, mixing=refuse)
    module.validation_step((IMAGES, LABELS), 0)
    with pytest.raises(AssertionError, match="were mixed"):
        module.training_step((IMAGES, LABELS), 0)
