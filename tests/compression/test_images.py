import pytest
import torch

from compression.images import RAW_PIXELS, ImageKind


def test_raw_pixels_by_default():
    images = RAW_PIXELS.random((4, 6), 2)
    assert images.shape == (2, 3, 4, 6) and images.dtype == torch.uint8
    assert images.max() > 200 and torch.equal(images, RAW_PIXELS.random((4, 6), 2))
    assert ImageKind.of(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)) == RAW_PIXELS


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.int64])
def test_the_kind_of_a_sample(dtype):
    sample = torch.tensor([-2.0, 0, 3]).expand(5, 4, 7, 3).to(dtype)
    kind = ImageKind.of(sample)
    assert kind == ImageKind(channels=4, dtype=dtype, low=-2, high=3)
    images = kind.random(16, 2)
    assert images.dtype == dtype and images.shape == (2, 4, 16, 16)
    assert -2 <= images.min() < -1 and 2 < images.max() <= 3


def test_a_sample_without_values():
    kind = ImageKind.of(torch.empty(2, 1, 8, 8, device="meta"))
    assert (kind.channels, kind.low, kind.high) == (1, 0, 1)
