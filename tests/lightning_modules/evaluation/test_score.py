"""The scores in `metrics.json`, with the constants of the configuration."""

import pytest

from compression.errors import CompressionError
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation.score import add_scores, check_split, macs_score, time_score
from lightning_modules.networks import build_network

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


IMAGES = {"train": 100, "val": 40, "test": 20}


@pytest.fixture
def network(compose_config):
    model = compose_config("model.head=conv").model
    return build_network(model, num_classes=9, image_size=80)  # 1 688 940 MACs by the board


def test_the_scores_follow_the_formulas(network, compose_config):
    metrics = {"val/f1": 0.6, "test/f1": 0.9, "cost/latency_ms": 2.0}
    add_scores(metrics, network, compose_config().score, image_size=(80, 80), images=IMAGES)
    assert metrics["score/macs"] == macs_score(f1=0.6, macs=1_688_940)
    assert metrics["score/time"] == time_score(f1=0.6, seconds=0.080)


def test_split_and_constants_are_settings(network, compose_config):
    cfg = compose_config(
        "score.split=test", "score.macs.reference_f1=0.95", "score.time.middle_f1=0.8"
    )
    metrics = {"val/f1": 0.6, "test/f1": 0.9}
    add_scores(metrics, network, cfg.score, image_size=(80, 80), images=IMAGES)
    assert metrics["score/macs"] == macs_score(f1=0.9, macs=1_688_940, reference_f1=0.95)
    assert "score/time" not in metrics
    metrics["cost/latency_ms"] = 5.0
    add_scores(metrics, network, cfg.score, image_size=(80, 80), images=IMAGES)
    assert metrics["score/time"] == time_score(f1=0.9, seconds=0.1, middle_f1=0.8)


def test_an_unlabelled_test_split_is_refused_at_the_start(compose_config):
    with pytest.raises(ConfigError, match="labelled test split"):
        check_split(compose_config("score.split=test").score, has_test=False)
    check_split(compose_config("score.split=test").score, has_test=True)


def test_both_are_known_objectives(homes, compose_config):
    from lightning_modules.config.check import check

    check(compose_config("objective=[score/macs,score/time]"))
