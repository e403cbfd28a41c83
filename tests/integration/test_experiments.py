"""The shipped experiments run from the first command to the last file."""

import json

import pytest

from tests.conftest import draw_folder, run_command

SMALL = [
    "debug=fast", "data=image_folder", "data.image_size=32", "data.batch_size=4", "logger=none",
    "trainer.memory_format=contiguous", "latency.backend=null",
]  # fmt: skip
UNTRAINED = {  # nothing is downloaded here
    "multi_teacher": [
        "model.pretrained=false", "teacher.efficientnet_b4.model.pretrained=false",
        "teacher.mobilenet_v3_large.model.pretrained=false",
        "teacher.shufflenet_v2.model.pretrained=false",
    ],
    "shufflenet_kd": ["teacher.efficientnet_b4.model.pretrained=false"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("experiment", UNTRAINED)
def test_teachers_are_trained_and_teach(homes, experiment):
    root, run = draw_folder(homes / "photos"), homes / "run"
    words = [f"experiment={experiment}", *SMALL, *UNTRAINED[experiment], f"data.root={root}"]
    said = run_command("run.py", *words, f"hydra.run.dir={run}").stdout
    assert "taught by efficientnet_b4" in said
    assert 0 <= json.loads((run / "metrics.json").read_text())["val/f1"] <= 1
