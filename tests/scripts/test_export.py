"""`scripts/export.py`: impossible settings, and int8 files that are int8."""

import json

import pytest

from lightning_modules.errors import ConfigError
from scripts import export
from tests.conftest import needs_extra, run_command


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["weights=double"], "weights=double does not exist; there are float, half"),
        (["weights=half", "format=torch_export"], "onnx and openvino can"),
        (["int8=true"], r"made by: python run.py \+compression=quantize from_run=RUN"),
        (["int8=yes"], "int8=yes is not allowed; it must be true or false"),
        (["max_f1_drop=2"], r"max_f1_drop=2 is not allowed; it must be in 0\.\.1"),
    ],
)
def test_impossible_settings(words, says):
    with pytest.raises(ConfigError, match=says):
        export.main(["last", *words])


def report_of(run, file, *words):
    export.main([str(run), f"out={file}", *words])
    return json.loads(file.with_name(f"{file.name}.json").read_text())


@pytest.mark.slow
@needs_extra("executorch")
def test_executorch_quantizes_a_float_run(saved, tmp_path, capsys):
    words = ["format=executorch", "int8=true", "max_f1_drop=1"]
    report = report_of(saved, tmp_path / "int8.pte", *words)
    assert "macro-F1" in capsys.readouterr().out and report["macro_f1"]["split"] == "val"
    assert 1e-6 < report["largest_probability_difference"] < 0.1  # it is another network


@pytest.mark.slow
@needs_extra("openvino")
def test_an_int8_run_stays_int8_in_openvino_and_has_its_float_network(homes, folder, tmp_path):
    import openvino

    run_command(
        "run.py", "data=image_folder", f"data.root={folder}", "model=squeezenet",
        "data.image_size=32", "data.batch_size=8", "logger=none", "trainer.max_epochs=1",
        "+compression=quantize", "compression.quantize.images=32", "latency.backend=null",
        "compression.quantize.max_f1_drop=null", f"hydra.run.dir={homes}/run",
    )  # fmt: skip
    file = tmp_path / "network.xml"
    report = report_of(homes / "run", file, "format=openvino", "max_f1_drop=0.2")
    assert report["bytes"] < 4 * report["params"] / 2
    compiled = openvino.Core().compile_model(openvino.Core().read_model(file), "CPU")
    layers = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    found = [
        info["runtimePrecision"].astype(str)
        for info in layers
        if info["layerType"].astype(str) == "Convolution"
    ]
    assert len(found) == 26 and set(found) <= {"u8", "i8"}
    report = report_of(homes / "run", tmp_path / "float.onnx", "int8=false")
    assert report["bytes"] > 4 * report["params"]  # the network that was quantised


@pytest.mark.slow
@pytest.mark.parametrize("named", ["mine", "{_target_: own_parts.Mine, loud: true}"])
def test_a_format_of_ones_own(named, saved, folder, own_parts):
    word = f"format={named}"
    done = run_command("scripts/export.py", str(saved), word)
    file = saved / "export" / "network.mine"
    assert f"file        {file} (" in done.stdout
    assert ("written loudly" in done.stdout) == ("loud" in named)
    report = json.loads(file.with_name("network.mine.json").read_text())
    assert report["format"] == ("own_parts.Mine" if "loud" in named else "mine")
    assert report["top1_agreement"] == 1 and report["class_names"] == ["blue", "green", "red"]
    words = [str(file), str(folder / "val"), "--out", str(own_parts / "p.csv")]
    run_command("scripts/predict.py", *words, word)
    assert (own_parts / "p.csv").read_text().count("\n") == 19
    refused = run_command("scripts/predict.py", *words, check=False)
    assert refused.returncode == 1 and "name a format of your own for it" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("nime", r"format=nime does not exist; there are onnx, torch_export, .* or {_target_: .*"),
        ("broken", "export format that own_parts offers cannot be imported: No module named .*"),
        ("twice", "export format twice is offered by (own_parts|others) and (own_p|oth)"),
        ("onnx", "export format onnx is offered by model-diet and own_parts; .*"),
        ("wrong", "own_parts.halves is no export format: it has no suffix, write, open_file"),
        ("{_target_: own_parts.Minus}", "own_parts.Minus cannot be built: module 'own_parts' has"),
        ("{_target_: builtins.dict}", "builtins.dict is no export format: it has no suffix, wri"),
        ("{_target_: own_parts.Mine, quiet: 1}", "own_parts.Mine cannot be built: .*quiet"),
        ("{a: 1}", "format={'a': 1} has no _target_"),
        ("{a", "format={a cannot be read: "),
        ("{_target_: own_parts.Forgetful}", r"did not write network\.weights"),
        ("{_target_: own_parts.Other}", "opened network.mine as function; its open_file must give"),
        ("{_target_: own_parts.Blank}", "own_parts.Blank has suffix='', which must be one, as '.o"),
    ],
)  # fmt: skip
def test_what_is_no_format_leaves_nothing(named, says, saved, own_parts):
    with pytest.raises(ConfigError, match=says):
        export.main([str(saved), f"format={named}"])
    assert not list(saved.glob("export/*"))


def test_a_format_that_cannot_be_imported_is_one_sentence(homes, own_parts):
    done = run_command("scripts/export.py", "last", "format=broken", check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: format=broken: the export form")
    assert done.stderr.count("\n") == 1 and not done.stdout
