"""Int8Export files: which network they come from, and what they are judged by."""

import pytest
from omegaconf import OmegaConf

from lightning_modules.deployment.comparison import Quality
from lightning_modules.deployment.int8_export import float_run
from lightning_modules.errors import ConfigError


def leave(folder, name):
    (folder / "model").mkdir(parents=True)
    (folder / "model" / name).touch()
    return folder


def test_the_float_network_is_the_run_or_what_its_last_step_entered(tmp_path):
    alone = OmegaConf.create({"from_run": None})
    run = leave(tmp_path / "run", "weights.safetensors")
    assert float_run(run, alone) == run
    int8 = leave(tmp_path / "int8", "network.int8.onnx")
    with pytest.raises(ConfigError, match="holds an int8 network only"):
        float_run(int8, alone)
    assert float_run(int8, OmegaConf.create({"from_run": str(run)})) == run
    leave(int8 / "steps" / "00_train", "weights.safetensors")
    leave(int8 / "steps" / "01_prune", "weights.safetensors")
    leave(int8 / "steps" / "02_quantize", "network.int8.onnx")
    assert float_run(int8, alone) == int8 / "steps" / "01_prune"


@pytest.mark.parametrize(
    ("after", "kept"), [(0.81, True), (0.78, True), (0.7799, False), (float("nan"), False)]
)
def test_how_much_macro_f1_may_be_lost(after, kept):
    quality = Quality(split="val", before=0.8, after=after, max_f1_drop=0.02 + 1e-9)
    if kept:
        quality.require()
    else:
        with pytest.raises(
            ConfigError, match=r"of macro-F1 on val .*max_f1_drop=0\.02; it was not"
        ):
            quality.require()
