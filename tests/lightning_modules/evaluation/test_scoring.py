"""The scores in `metrics.json`, with the constants of the configuration."""

import pytest

from lightning_modules.errors import ConfigError
from lightning_modules.evaluation.score import macs_score, time_score
from lightning_modules.evaluation.scoring import add_scores, check_split
from lightning_modules.networks import build_network

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
