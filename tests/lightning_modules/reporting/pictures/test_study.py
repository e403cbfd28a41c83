"""Pictures of a study, drawn from plain data."""

import pytest

from lightning_modules.evaluation.score import macs_score
from lightning_modules.reporting.pictures.study import (
    StudyPlots,
    _macs_and_f1,
    draw_study,
)
from lightning_modules.reporting.study_trials import TrialRecord

SCORE = {"reference_macs": 13863553, "reference_f1": 0.8342, "least_f1": 0.5}


@pytest.mark.parametrize("f1", [0.3, 0.7, 0.9])
def test_the_macs_that_a_score_counted(f1):
    metrics = {"val/f1": f1, "score/macs": macs_score(f1=f1, macs=497_033, **SCORE)}
    macs, quality = _macs_and_f1(metrics, SCORE)
    assert (macs, quality) == (497_033, f1)


def test_pictures_of_plain_trials(tmp_path):
    study = StudyPlots(
        name="s",
        objectives=["val/f1"],
        lower=[False],
        records=[
            *(
                TrialRecord(n, [0.1 * n], params={"optimizer.lr": 0.1 * n}, stopped_after=n % 2)
                for n in range(8)
            ),
            TrialRecord(8, state="failed"),
            TrialRecord(9, state="retired"),
        ],
        categorical=frozenset(),
        logarithmic=frozenset(),
        winner=2,
        score=SCORE,
    )
    files = draw_study(study, tmp_path)
    assert [path.stem for path in files] == ["history", "importance", "parallel"]
    assert all(path.parent == tmp_path / "figures" for path in files)
