"""Recipes: every shipped one on both backends, purity, threads, what is refused."""

import functools
import itertools
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from datamodules.augmentation.operation import Operation
from datamodules.augmentation.operations.auto_augment import AutoAugment
from datamodules.augmentation.operations.color_jitter import ColorJitter
from datamodules.augmentation.operations.cutout import Cutout
from datamodules.augmentation.operations.flip import HorizontalFlip, VerticalFlip
from datamodules.augmentation.operations.grid_shuffle import GridShuffle
from datamodules.augmentation.operations.random_resized_crop import RandomResizedCrop
from datamodules.augmentation.operations.rotate90 import Rotate90
from datamodules.augmentation.recipe import Recipe
from datamodules.errors import DataError
from datamodules.schema import Within, declared
from lightning_modules.config.check import check
from lightning_modules.registry import build, plain
from tests.conftest import ROOT, run_command

BACKENDS = ("albumentations", "torchvision")
OPTIONS = sorted(path.stem for path in (ROOT / "conf" / "augment").glob("*.yaml"))
NOISE = np.random.default_rng(1).integers(0, 256, (20, 24, 3), dtype=np.uint8)


@functools.cache
def lively(backend: str) -> Recipe:
    """A quick recipe that draws in all ways: by the library, by own steps, from both streams."""
    jitter = {"brightness": [0.5, 1.5], "contrast": [0.5, 1.5], "saturation": [1, 1]}
    transforms = {
        "flip": HorizontalFlip(p=0.5),
        "turn": Rotate90(p=0.5),
        "color": ColorJitter(**jitter, hue=[0, 0], p=0.5),
        "tiles": GridShuffle(tiles=[2, 3], p=0.5),
        "cutout": Cutout(area=[0.1, 0.3], p=0.5),
    }
    return Recipe(image_size=[12, 16], backend=backend, crop_scale=[0.4, 1], transforms=transforms)


@pytest.mark.parametrize("size", ["64", "[24,40]"])
@pytest.mark.parametrize("option", OPTIONS)
def test_every_recipe_on_every_backend(shipped, image, backend, option, size):
    words = [f"backend={backend}", f"image_size={size}"]
    if (option, backend) == ("autoaugment", "albumentations"):
        with pytest.raises(Exception, match=r"set augment.backend=torchvision"):
            shipped(option, *words)
        return
    recipe = shipped(option, *words)
    before = image.copy()
    image.flags.writeable = False  # as the cache's pixels are
    results = [recipe(image, epoch, index) for epoch in (0, 1) for index in range(4)]
    height, width = (64, 64) if size == "64" else (24, 40)
    assert all(r.shape == (height, width, 3) and r.dtype == np.uint8 for r in results)
    assert np.array_equal(image, before)
    assert len({r.tobytes() for r in results}) == (1 if option == "none" else 8)
    assert recipe.crops == (option != "none")
    again = [recipe(image, epoch, index) for epoch in (0, 1) for index in range(4)]
    assert all(map(np.array_equal, results, again))


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=25, deadline=None)
@given(
    keys=st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 2**31)), max_size=6),
    data=st.data(),
)
def test_a_pure_function_whatever_was_asked_before(backend, keys, data):
    recipe = lively(backend)
    first = {key: recipe(NOISE, *key) for key in keys}
    for key in data.draw(st.permutations(keys)):
        assert np.array_equal(recipe(NOISE, *key), first[key])


def test_seed_epoch_and_index_all_count(backend):
    make = functools.partial(Recipe, image_size=20, backend=backend, crop_scale=[0.3, 1])
    results = {
        make(seed=seed)(NOISE, epoch, index).tobytes()
        for seed, epoch, index in itertools.product(range(3), range(3), range(3))
    }
    assert len(results) == 27
    assert np.array_equal(make(seed=2)(NOISE, 1, 0), make(seed=2)(NOISE, 1, 0))


def test_global_random_states_stay(shipped, image, backend):
    def states():
        name, keys, *rest = np.random.get_state()  # noqa: NPY002
        return random.getstate(), (name, tuple(keys), *rest), torch.get_rng_state().tolist()

    recipe = shipped("strong", f"backend={backend}")
    before = states()
    for index in range(20):
        recipe(image, 0, index)
    assert states() == before


def test_threads_do_not_share_draws(backend):
    recipe = lively(backend)
    expected = [recipe(NOISE, 0, index) for index in range(120)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: recipe(NOISE, 0, index), range(120)))
    assert all(map(np.array_equal, found, expected))


def test_a_training_thread_keeps_its_own_draws():
    recipe = lively("torchvision")
    torch.manual_seed(0)
    expected = [torch.rand(1).item() for _ in range(300)]
    torch.manual_seed(0)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(lambda: [recipe(NOISE, 1, index) for index in range(100)])
        found = [torch.rand(1).item() for _ in range(300)]
        job.result()
    assert found == expected


def test_pickled_for_a_worker(backend):
    recipe = lively(backend)
    copy = pickle.loads(pickle.dumps(recipe))
    assert all(np.array_equal(copy(NOISE, 3, i), recipe(NOISE, 3, i)) for i in range(10))


def test_nothing_asked_changes_nothing(backend):
    recipe = Recipe(image_size=[20, 24], backend=backend)
    assert np.array_equal(recipe(NOISE, 7, 7), NOISE)
    assert not recipe.crops and lively(backend).crops


@pytest.mark.parametrize("operations", [(HorizontalFlip, VerticalFlip), (VerticalFlip,) * 2])
def test_operations_decide_independently(backend, operations):
    flips = [operation(p=0.5) for operation in operations]
    recipe = Recipe(image_size=[20, 24], backend=backend, transforms=flips)
    applied = {HorizontalFlip: np.fliplr, VerticalFlip: np.flipud}
    counts = {}
    for choice in itertools.product((False, True), repeat=2):
        version = NOISE
        for operation, chosen in zip(operations, choice, strict=True):
            version = applied[operation](version) if chosen else version
        counts.setdefault(version.tobytes(), 0)
    for index in range(400):
        counts[recipe(NOISE, 0, index).tobytes()] += 1
    # Four versions of a quarter each; two flips of the same axis cancel out in half of the images.
    assert all(abs(count - 400 / len(counts)) < 50 for count in counts.values())


def test_consecutive_images_draw_independently(backend):
    recipe = Recipe(image_size=[20, 24], backend=backend, transforms=[HorizontalFlip(p=0.5)])
    flipped = np.array([not np.array_equal(recipe(NOISE, 0, i), NOISE) for i in range(600)])
    for lag in (1, 2, 3):
        assert abs((flipped[lag:] == flipped[:-lag]).mean() - 0.5) < 0.08


def test_own_transforms_of_each_library():
    mirrored = NOISE[:, ::-1]
    for backend, transform in (
        ("albumentations", A.HorizontalFlip(p=1)),
        ("albumentations", A.OneOf([A.HorizontalFlip(p=1)], p=1)),
        ("torchvision", v2.RandomHorizontalFlip(p=1)),
    ):
        recipe = Recipe(image_size=[20, 24], backend=backend, transforms=[transform])
        assert np.array_equal(recipe(NOISE, 0, 0), mirrored)


@pytest.mark.parametrize(
    ("backend", "node", "kind"),
    [
        ("albumentations", "{_target_: albumentations.Blur, blur_limit: [3, 7], p: 1}", A.Blur),
        ("torchvision", "{_target_: torchvision.transforms.v2.RandomInvert}", v2.RandomInvert),
    ],
)
def test_the_command_line_adds_and_removes(compose_config, backend, node, kind):
    words = [f"+augment.transforms.more={node}", "~augment.transforms.color"]
    cfg = compose_config("augment=simple", f"augment.backend={backend}", *words)
    check(cfg)
    recipe = build(cfg.augment)
    assert [type(t) for t in recipe.transforms] == [RandomResizedCrop, HorizontalFlip, kind]
    assert recipe(NOISE, 0, 0).shape == (64, 64, 3)


@declared
class Brighten(Operation):
    """Somebody's own operation: adds a number to all values."""

    most: Annotated[int, Within(0, 99)]

    def for_albumentations(self, A):
        return self.add

    def for_torchvision(self, v2):
        return self.add

    def add(self, image, random):
        return image // 2 + np.uint8(random.randint(1, self.most))


def test_an_own_operation_by_its_target(compose_config, backend):
    node = f"{{_target_: {__name__}.Brighten, most: 9, p: 1}}"
    words = [f"augment.backend={backend}", f"+augment.transforms={{own: {node}}}"]
    cfg = compose_config("augment=none", *words, "data.image_size=[20,24]")
    check(cfg)
    recipe = build(cfg.augment)
    assert isinstance(build(plain(cfg.augment)).transforms[0], Brighten)
    added = {int((recipe(NOISE, 0, index) - NOISE // 2).max()) for index in range(60)}
    assert added == set(range(1, 10))
    with pytest.raises(DataError, match=r"^Brighten.most=100 is not allowed; give a whole number"):
        Brighten(most=100, p=1)


def test_own_random_transforms_are_pure_and_left_alone():
    choice = A.SomeOf([A.GaussNoise(p=1), A.RandomGamma(p=1), A.CoarseDropout(p=1)], n=2, p=0.9)
    noise = v2.RandomChoice([v2.GaussianNoise(), v2.RandomPhotometricDistort(p=0.9)])
    for backend, transform in (("albumentations", choice), ("torchvision", noise)):
        recipe = Recipe(image_size=[20, 24], backend=backend, transforms=[transform])
        first = [recipe(NOISE, 0, index) for index in range(6)]
        assert len({pixels.tobytes() for pixels in first}) > 4
        other = Recipe(image_size=[20, 24], backend=backend, transforms=[transform])
        assert all(np.array_equal(other(NOISE, 0, i), first[i]) for i in reversed(range(6)))
    assert choice.random_generator is not lively("albumentations")._pipeline().generator


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_misspelt_argument_of_albumentations_is_named():
    with pytest.raises(DataError, match=r"The augmentation cannot be built.*probability"):
        Recipe(image_size=20, transforms=[A.Compose([A.HorizontalFlip(probability=0.5)])])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backend": "pil"}, "augment.backend=pil does not exist; there are albumentations, torch"),
        ({"transforms": [AutoAugment(policy="svhn")]}, "cannot be made by albumentations; set"),
        ({"transforms": [A.HorizontalFlip()], "backend": "torchvision"}, "HorizontalFlip cannot"),
        ({"transforms": [v2.RandomHorizontalFlip()]}, "RandomHorizontalFlip cannot be used with"),
        ({"transforms": [len]}, "len.* is no transform of albumentations"),
        ({"transforms": {"x": 3}, "backend": "torchvision"}, "3 .*no transform of torchvision"),
        ({"crop_scale": [2, 3]}, "crop_scale=.2, 3. is not allowed"),
        ({"crop_scale": [0.5, 1], "crop_ratio": [2, 1]}, "crop_ratio=.2, 1. is not allowed"),
        ({"seed": -1}, "augment.seed=-1 is not allowed"),
        ({"image_size": 0}, "image_size=0 is not a size"),
    ],
)
def test_wrong_settings_are_one_sentence(changes, sentence):
    with pytest.raises(DataError, match=sentence) as refusal:
        Recipe(**{"image_size": 20, **changes})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("backend", "transform"),
    [
        ("albumentations", A.Normalize()),
        ("albumentations", A.ToGray(num_output_channels=1, p=1)),
        ("torchvision", v2.ToDtype(torch.float32)),
        ("torchvision", v2.Grayscale()),
    ],
)
def test_conversions_are_refused_when_they_show(backend, transform):
    recipe = Recipe(image_size=20, backend=backend, transforms=[transform])
    with pytest.raises(DataError, match="leave out conversions and normalisation"):
        recipe(NOISE, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "other"), [("albumentations", "torchvision"), ("torchvision", "albumentations")]
)
def test_only_the_backend_s_library_is_imported(backend, other):
    code = (
        "import sys, numpy as np\n"
        "from datamodules.augmentation.recipe import Recipe\n"
        "from datamodules.augmentation.operations.flip import HorizontalFlip\n"
        "backend, other = sys.argv[1:]\n"
        "make = lambda **more: Recipe(image_size=8, backend=backend, crop_scale=[0.5, 1],\n"
        "    transforms=[HorizontalFlip(p=0.5)], **more)\n"
        "lazy = make(lazy=True)\n"
        "assert not {'torch', 'torchvision', 'albumentations'} & set(sys.modules)\n"
        "image = np.zeros((9, 9, 3), np.uint8)\n"
        "assert (lazy(image, 0, 0) == make()(image, 0, 0)).all()\n"
        "assert backend in sys.modules and other not in sys.modules\n"
    )
    run_command("-c", code, backend, other)


def test_opencv_leaves_the_cores_to_the_training():
    assert cv2.getNumThreads() <= 1
