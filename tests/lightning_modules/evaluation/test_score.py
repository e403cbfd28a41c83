import pytest

from compression.errors import CompressionError
from lightning_modules.evaluation.score import macs_score, time_score

MACS = 1_862_490


def test_the_four_rows_of_record():
    assert macs_score(f1=0.4892, macs=MACS) == pytest.approx(1.1343, abs=1e-4)
    reset = macs_score(f1=0.5176, macs=MACS, reference_f1=0.8365)
    assert reset == pytest.approx(0.5156, abs=1e-4)
    assert time_score(f1=0.7, seconds=60.0) == pytest.approx(1.1950, abs=1e-4)
    assert time_score(f1=0.7194, seconds=63.6555) == pytest.approx(1.1415, abs=1e-4)


def test_the_pieces_of_the_macs_score():
    assert macs_score(f1=0.4999, macs=0) == 1
    assert macs_score(f1=0.5, macs=0) == pytest.approx(1 - 0.5 / 0.8342)
    assert macs_score(f1=0.8342, macs=13_863_553) == pytest.approx(1)
    assert macs_score(f1=1, macs=0) == pytest.approx(0.5 * (1 - 1 / 0.8342))


def test_better_is_lower():
    for better, worse in ((0.9, 0.6), (0.6, 0.4), (0.9, 0.84)):
        assert macs_score(f1=better, macs=MACS) < macs_score(f1=worse, macs=MACS)
        assert time_score(f1=better, seconds=9) < time_score(f1=worse, seconds=9)
    assert macs_score(f1=0.7, macs=1) < macs_score(f1=0.7, macs=2e6)
    assert time_score(f1=0.7, seconds=1) < time_score(f1=0.7, seconds=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"f1": 1.2},
        {"f1": float("nan")},
        {"macs": -1},
        {"macs": float("inf")},
        {"reference_macs": 0},
        {"reference_f1": 0},
    ],
)
def test_refuses_with_a_sentence(wrong):
    with pytest.raises(CompressionError):
        macs_score(**{"f1": 0.6, "macs": MACS, **wrong})
