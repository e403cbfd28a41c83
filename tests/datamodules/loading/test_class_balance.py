import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.errors import DataError
from datamodules.loading.class_balance import SAMPLERS, class_weights

counts = st.lists(st.integers(0, 5000), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("none", [1, 1]),
        ("balanced", [2.5, 0.625]),  # 5 / (2 * 1) and 5 / (2 * 4)
        ("sqrt", [5 / 3, 5 / 6]),  # 1 and 1/2; 1 * 1 + 4 * 1/2 = 3
        # Effective numbers of 1 and 4 images: 1 and 1 + .5 + .25 + .125 = 1.875.
        ("effective_number", [5 / (1 + 4 / 1.875), 5 / (1 + 4 / 1.875) / 1.875]),
    ],
)
def test_by_hand(scheme, expected):
    assert class_weights([1, 4], scheme, beta=0.5) == pytest.approx(expected)


@pytest.mark.parametrize("scheme", SAMPLERS)
@given(counts)
def test_the_mean_over_images_is_one_and_rare_classes_weigh_no_less(scheme, counts):
    weights = class_weights(counts, scheme)
    if sum(counts):
        assert np.dot(weights, counts) == pytest.approx(sum(counts))
    for n, w in zip(counts, weights, strict=True):
        assert (w == 0) == (n == 0)
        assert all(
            w >= other - 1e-9 for m, other in zip(counts, weights, strict=True) if m >= n > 0
        )


def test_effective_number_lies_between_none_and_balanced():
    flat = class_weights([10, 1000], "effective_number", beta=0.0)
    steep = class_weights([10, 1000], "effective_number", beta=1 - 1e-9)
    assert flat == pytest.approx([1, 1])
    assert steep == pytest.approx(class_weights([10, 1000], "balanced"), rel=1e-5)


def test_mistakes():
    with pytest.raises(
        DataError, match="'fair' do not exist: there are none, natural, balanced, sqrt"
    ):
        class_weights([1], "fair")
    with pytest.raises(DataError, match="beta=1 of the effective number"):
        class_weights([1], "effective_number", beta=1)
