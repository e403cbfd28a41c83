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


@pytest.mark.slow
def test_a_chain_of_pruning_is_saved_and_told(homes):
    """Both rounds of the second step, sparsity training, averaged weights and a teacher."""
    root, run = draw_folder(homes / "photos"), homes / "run"
    words = [
        "+compression=[prune_layers,prune,prune_weights]", "+teacher=original", *SMALL,
        "data.image_size=48", "callbacks=[progress,ema]", "compression.prune_layers.keep=[2,5,2]",
        "compression.prune.rounds=2", "compression.prune.importance=taylor",
        "compression.prune.penalty=bn_scale", "compression.prune.fine_tuning.prepare_epochs=1",
        f"data.root={root}", f"hydra.run.dir={run}",
    ]  # fmt: skip
    said = run_command("run.py", *words).stdout
    assert "removed 7 of 16 units (last): [4, 8, 4] -> [2, 5, 2]" in said
    assert "01_prune_layers: 1 epochs, taught by original" in said
    steps = json.loads((run / "metrics.json").read_text())["steps"]
    assert [len(step["surgery"]) for step in steps] == [0, 1, 2, 1]
    pruned = steps[2]["after"]["cost/macs"] / steps[1]["after"]["cost/macs"]
    assert 0.55 < pruned <= 0.6 * 1.02
    told = run_command("scripts/describe.py", str(run)).stdout
    assert "channels" in told and "removed (last)" in told


@pytest.mark.slow
def test_the_case_of_record_of_layer_pruning(homes):
    root, run = draw_folder(homes / "photos"), homes / "run"
    words = ["experiment=layer_pruned_shufflenet", *SMALL, "data.image_size=80"]
    said = run_command("run.py", *words, f"data.root={root}", f"hydra.run.dir={run}").stdout
    assert "removed 7 of 16 units (last): [4, 8, 4] -> [2, 5, 2]" in said


@pytest.mark.slow
def test_a_latency_target_and_what_each_layer_saved(homes):
    """Measured in whole networks and layer by layer; told in the log and by describe."""
    root, run = draw_folder(homes / "photos"), homes / "run"
    small = [word for word in SMALL if not word.startswith("latency")]
    words = ["+compression=prune", "compression.prune.target.latency=0.7", "model.units=[2,4,2]"]
    words += [*small, "data.image_size=96", f"data.root={root}", f"hydra.run.dir={run}"]
    said = run_command("run.py", *words).stdout
    assert "of the latency, measured (" in said and "layer by layer, each timed alone: " in said
    step = json.loads((run / "metrics.json").read_text())["steps"][1]
    assert 0.4 < step["after"]["cost/latency_ms"] / step["before"]["cost/latency_ms"] < 1.0
    changed = [row for row in step["layers"] if row["change"] == "narrower"]
    assert changed and all(0 < row["macs"][1] <= row["macs"][0] for row in changed)
    told = run_command("scripts/describe.py", str(run)).stdout
    assert "01_prune: MACs saved against milliseconds saved" in told
    assert "of the latency, measured" in told
