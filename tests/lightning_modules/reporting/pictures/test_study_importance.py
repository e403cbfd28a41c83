"""How much planted parameters matter."""

import numpy as np

from lightning_modules.reporting.pictures.study_importance import importances
from lightning_modules.reporting.study_trials import TrialRecord


def test_importances_of_planted_parameters():
    rng = np.random.default_rng(0)
    trials = []
    for number in range(80):
        a, b = float(rng.uniform()), float(rng.uniform())
        params = {"a": a, "b": b, "kind": "x"}
        if a > 0.5:
            params["rare"] = b  # only some trials have it
        trials.append(TrialRecord(number, [10 * a + rng.normal() * 0.1], params=params))
    shares = importances(trials, {"kind"})
    assert next(iter(shares)) == "a" and shares["a"] > 0.85
    assert shares["b"] < 0.1 and shares["kind"] == 0 and shares["rare"] < 0.2
