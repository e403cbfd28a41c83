"""The shipped experiments run from the first command to the last file."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import mnasnet1_0

from tests.conftest import draw_folder, run_command

SMALL = [
    "debug=fast", "data=image_folder", "data.image_size=32", "data.batch_size=4", "logger=none",
    "trainer.memory_format=contiguous", "latency.backend=null",
]  # fmt: skip
THREE = [
    "model.pretrained=false", "teacher.efficientnet_b4.model.pretrained=false",
    "teacher.mobilenet_v3_large.model.pretrained=false",
    "teacher.shufflenet_v2.model.pretrained=false",
]  # fmt: skip
UNTRAINED = {  # nothing is downloaded here
    "multi_teacher": THREE,
    "multi_teacher_tucker": THREE,
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


@pytest.mark.slow
def test_evbmf_finds_ranks_in_trained_weights(homes):
    """No trained MNASNet is at hand here: its 1x1 kernels get a rank, as training gives them."""
    torch.manual_seed(0)
    weights = mnasnet1_0().state_dict()
    for weight in weights.values():
        if weight.ndim == 4 and weight.shape[2:] == (1, 1):
            left, right = torch.randn(weight.shape[0], 3), torch.randn(3, weight.shape[1])
            weight += 0.3 * (left @ right)[..., None, None]
    save_file(weights, homes / "mnasnet.safetensors")
    root, run = draw_folder(homes / "photos"), homes / "run"
    words = ["experiment=mnasnet_vbmf", *SMALL, "model.pretrained=false", f"data.root={root}"]
    words += [f"model.weights={homes}/mnasnet.safetensors", f"hydra.run.dir={run}"]
    assert "svd: factorised" in run_command("run.py", *words).stdout
    before, after = (
        json.loads((run / "metrics.json").read_text())["steps"][1][key]["cost/macs"]
        for key in ("before", "after")
    )
    assert after < 0.9 * before
    told = run_command("scripts/describe.py", str(run)).stdout
    assert "by EVBMF at 0.7" in told and "left alone: kxk" in told
