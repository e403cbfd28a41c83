"""What the pictures of a study show."""

import numpy as np
import optuna

from lightning_modules.search.plots import importances
from tests.lightning_modules.search.test_results import add


def test_importances_of_planted_parameters():
    rng = np.random.default_rng(0)
    study = optuna.create_study()
    for _ in range(80):
        a, b = float(rng.uniform()), float(rng.uniform())
        params = {"a": a, "b": b, "kind": "x"}
        if a > 0.5:
            params["rare"] = b  # only some trials have it
        add(study, [10 * a + rng.normal() * 0.1], params=params)
    shares = importances(study.trials)
    assert next(iter(shares)) == "a" and shares["a"] > 0.85
    assert shares["b"] < 0.1 and shares["kind"] == 0 and shares["rare"] < 0.2
