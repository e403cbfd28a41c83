"""Both backends draw from the same ranges with the same probabilities: measured on pixels."""

import numpy as np
import pytest

from datamodules.augmentation.operations.clahe import Clahe
from datamodules.augmentation.operations.color_jitter import ColorJitter
from datamodules.augmentation.operations.cutout import Cutout
from datamodules.augmentation.operations.flip import HorizontalFlip, VerticalFlip
from datamodules.augmentation.operations.grid_shuffle import GridShuffle
from datamodules.augmentation.operations.rotate90 import Rotate90
from datamodules.augmentation.operations.shift_scale_rotate import ShiftScaleRotate
from datamodules.augmentation.recipe import Recipe

DRAWS = 400
KEEP = {"brightness": [1, 1], "contrast": [1, 1], "saturation": [1, 1], "hue": [0, 0]}
NOISE = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def outcomes(backend, image, transforms=(), **settings):
    recipe = Recipe(
        image_size=settings.pop("image_size", list(image.shape[:2])),
        backend=backend, transforms=transforms, **settings,
    )  # fmt: skip
    return [recipe(image, 0, index) for index in range(DRAWS)]


def assert_uniform(values, low, high, *, slack):
    """The deciles of `values` are those of a uniform distribution, as far as 400 draws show."""
    spread = high - low
    shares = np.linspace(0.1, 0.9, 9)
    expected = low + spread * shares
    assert low - slack <= min(values) <= low + 0.05 * spread + slack
    assert high - 0.05 * spread - slack <= max(values) <= high + slack
    assert np.abs(np.quantile(values, shares) - expected).max() < 0.09 * spread + slack


def share_of_changed(backend, operation, image=NOISE):
    return np.mean([not np.array_equal(o, image) for o in outcomes(backend, image, [operation])])


@pytest.mark.parametrize(
    ("operation", "share"),
    [
        (HorizontalFlip(p=0.3), 0.3),
        (VerticalFlip(p=0.7), 0.7),
        (Rotate90(p=0.8), 0.6),  # a quarter of the turns is by 0 degrees
        (Rotate90(p=1), 0.75),
        (ShiftScaleRotate(shift=0.1, scale=[0.8, 0.9], rotate=[10, 20], p=0.4), 0.4),
        (ColorJitter(**{**KEEP, "brightness": [0.5, 0.7]}, p=0.8), 0.8),
        (Clahe(clip_limit=[2, 4], tiles=[2, 2], p=0.2), 0.2),
        (GridShuffle(tiles=[3, 3], p=0.6), 0.6),  # all nine stay in one case of 9!
        (Cutout(area=[0.1, 0.2], p=0.5), 0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_probabilities(backend, operation, share):
    found = share_of_changed(backend, operation)
    assert abs(found - share) < 3.5 * np.sqrt(share * (1 - share) / DRAWS)


def test_turns_are_as_likely(backend):
    versions = {np.rot90(NOISE, turns).tobytes(): 0 for turns in range(4)}
    for outcome in outcomes(backend, NOISE, [Rotate90(p=1)]):
        versions[outcome.tobytes()] += 1
    assert all(70 <= count <= 130 for count in versions.values())


def test_brightness_factors(backend):
    grey = np.full((8, 8, 3), 100, np.uint8)
    jitter = ColorJitter(**{**KEEP, "brightness": [0.8, 1.2]}, p=1)
    factors = [o.mean() / 100 for o in outcomes(backend, grey, [jitter])]
    assert_uniform(factors, 0.8, 1.2, slack=0.01)


def test_contrast_factors(backend):
    halves = np.full((8, 8, 3), 60, np.uint8)
    halves[:, 4:] = 160
    jitter = ColorJitter(**{**KEEP, "contrast": [0.5, 1.5]}, p=1)
    found = [int(o[0, 7, 0]) - int(o[0, 0, 0]) for o in outcomes(backend, halves, [jitter])]
    assert_uniform([difference / 100 for difference in found], 0.5, 1.5, slack=0.02)


def test_saturation_factors(backend):
    pixels = np.full((8, 8, 3), (90, 110, 130), np.uint8)
    jitter = ColorJitter(**{**KEEP, "saturation": [0.5, 1.5]}, p=1)
    found = [int(o[0, 0, 2]) - int(o[0, 0, 0]) for o in outcomes(backend, pixels, [jitter])]
    assert_uniform([difference / 40 for difference in found], 0.5, 1.5, slack=0.06)


def test_hue_shifts(backend):
    green = np.full((8, 8, 3), (0, 255, 0), np.uint8)  # a third of the circle
    jitter = ColorJitter(**{**KEEP, "hue": [-0.1, 0.1]}, p=1)
    pixels = np.array([o[0, 0].astype(int) for o in outcomes(backend, green, [jitter])])
    # Near green, hue is (B - R) / 6 (maximum - minimum) from it.
    shifts = (pixels[:, 2] - pixels[:, 0]) / 255 / 6
    assert_uniform(shifts, -0.1, 0.1, slack=0.004)


def ramps(height, width):
    """Red tells the column, green the row, blue what lies inside."""
    image = np.full((height, width, 3), 255, np.uint8)
    image[..., 0], image[..., 1] = np.meshgrid(2 * np.arange(width), 2 * np.arange(height))
    return image


def source_map(outcome):
    """A, b with (column, row) of the source = A @ (column, row) + b, for centres about (0, 0)."""
    inside = outcome[..., 2] == 255
    rows, columns = np.nonzero(inside)
    middle = (np.array(outcome.shape[1::-1]) - 1) / 2
    places = np.column_stack([columns - middle[0], rows - middle[1], np.ones(len(rows))])
    values = outcome[inside][:, :2] / 2 - middle
    solution, *_ = np.linalg.lstsq(places, values, rcond=None)
    return solution[:2].T, solution[2]


def test_shifts_sizes_and_angles(backend):
    image = ramps(81, 81)
    operation = ShiftScaleRotate(shift=0.1, scale=[0.8, 1.2], rotate=[-20, 40], p=1)
    maps = [source_map(outcome) for outcome in outcomes(backend, image, [operation])]
    scales = [1 / np.sqrt(np.linalg.det(matrix)) for matrix, _ in maps]
    assert_uniform(scales, 0.8, 1.2, slack=0.005)
    angles = [np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0])) for matrix, _ in maps]
    assert_uniform(angles, -20, 40, slack=0.3)
    shifts = np.array([-np.linalg.solve(matrix, offset) for matrix, offset in maps])
    for axis in (0, 1):
        assert_uniform(shifts[:, axis] / 81, -0.1, 0.1, slack=0.008)
    everything = np.column_stack([scales, angles, shifts])
    assert np.abs(np.corrcoef(everything.T) - np.eye(4)).max() < 0.17


@pytest.mark.parametrize("size", [[40, 40], [30, 60]])
def test_crops(backend, size):
    image = ramps(size[0] * 2, size[1] * 2)
    found = outcomes(backend, image, image_size=size, crop_scale=[0.2, 0.5], crop_ratio=[0.5, 2])
    spans = []
    for outcome in found:
        inner = outcome[2:-2, 2:-2].astype(float)
        width = np.diff(inner[..., 0], axis=1).mean() / 2 * size[1]
        height = np.diff(inner[..., 1], axis=0).mean() / 2 * size[0]
        spans.append((width, height, *(outcome[size[0] // 2, size[1] // 2, :2] / 2)))
    width, height, middle_x, middle_y = np.array(spans).T
    area = width * height / (4 * size[0] * size[1])
    ratio = np.log2((width / height) / (size[1] / size[0]))
    # A wide (or high) crop with a large area does not fit and is drawn anew: the tails are thinner.
    assert 0.19 < area.min() < 0.22 and 0.44 < area.max() < 0.52
    assert 0.3 < area.mean() < 0.36
    assert -1.06 < ratio.min() < -0.8 and 0.8 < ratio.max() < 1.06 and abs(ratio.mean()) < 0.1
    # Places: uniform over what is left.
    for middle, extent, length in ((middle_x, width, size[1]), (middle_y, height, size[0])):
        share = (middle - extent / 2) / np.maximum(2 * length - extent, 1)
        assert_uniform(share[2 * length - extent > 15], 0, 1, slack=0.09)


def test_areas_that_are_cut_out(backend):
    black = np.zeros((60, 80, 3), np.uint8)
    found = outcomes(backend, black, [Cutout(area=[0.05, 0.3], p=1)])
    areas, tops, lefts = [], [], []
    for outcome in found:
        rows, columns = np.nonzero(outcome[..., 0])
        assert set(np.unique(outcome)) == {0, 128}
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width and height == width
        areas.append(len(rows) / (60 * 80))
        tops.append(rows.min() / (60 - height))
        lefts.append(columns.min() / (80 - width))
    assert_uniform(areas, 0.05, 0.3, slack=0.01)
    assert_uniform(tops, 0, 1, slack=0.02)
    assert_uniform(lefts, 0, 1, slack=0.02)


def test_clip_limits():
    """The same limits: as much contrast is added, on average and at most."""
    soft = (NOISE // 8 + 100).astype(np.uint8)
    added = {
        backend: [o.std() / soft.std() for o in outcomes(backend, soft, [operation])]
        for backend in ("albumentations", "torchvision")
        for operation in [Clahe(clip_limit=[1, 6], tiles=[2, 2], p=1)]
    }
    deciles = [np.quantile(values, np.linspace(0, 1, 11)) for values in added.values()]
    assert deciles[0][-1] > 1.5 * deciles[0][0]
    assert np.abs(deciles[0] / deciles[1] - 1).max() < 0.1


def test_tiles_take_all_places_alike(backend):
    image = np.repeat(np.arange(4, dtype=np.uint8) + 1, 16).reshape(2, 2, 4, 4).swapaxes(1, 2)
    image = np.repeat(image.reshape(8, 8, 1), 3, axis=2)
    orders = {}
    for outcome in outcomes(backend, image, [GridShuffle(tiles=[2, 2], p=1)]):
        order = tuple(outcome[1::4, 1::4, 0].ravel())
        orders[order] = orders.get(order, 0) + 1
    assert len(orders) == 24 and max(orders.values()) < 40
