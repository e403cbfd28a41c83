"""Files from elsewhere: what they do, they do to another process."""

import shutil
import subprocess
import sys
from types import SimpleNamespace

import onnx
import pytest

from lightning_modules.deployment import foreign_file, load_model
from lightning_modules.deployment.formats import format_named
from lightning_modules.errors import ConfigError
from scripts import describe, evaluate, export
from tests.conftest import ROOT, needs_extra

RUNS = ROOT / "tests" / "fixtures" / "runs"


def opened(path, form):
    return foreign_file.open_foreign(format_named(form), path, threads=1)


def bomb(content: bytes) -> bytes:
    """The graph, which also makes 2 ** 40 numbers when it is opened."""
    model = onnx.load_from_string(content)
    sizes = onnx.helper.make_tensor("sizes", onnx.TensorProto.INT64, [2], [2**20, 2**20])
    model.graph.initializer.append(sizes)
    model.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["sizes"], ["much"]))
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("much"))
    return model.SerializeToString()


def endless(content: bytes) -> bytes:
    """The graph, which first counts to 2 ** 62."""
    model = onnx.load_from_string(content)
    names = ("iteration", "going", "count")
    kinds = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.INT64)
    inputs = [
        onnx.helper.make_tensor_value_info(*each, []) for each in zip(names, kinds, strict=True)
    ]
    outputs = [
        onnx.helper.make_tensor_value_info("still", onnx.TensorProto.BOOL, []),
        onnx.helper.make_tensor_value_info("next", onnx.TensorProto.INT64, []),
    ]
    nodes = [
        onnx.helper.make_node("Identity", ["going"], ["still"]),
        onnx.helper.make_node("Add", ["count", "iteration"], ["next"]),
    ]
    body = onnx.helper.make_graph(nodes, "body", inputs, outputs)
    for name, kind, value in (
        ("times", onnx.TensorProto.INT64, 2**62),
        ("true", onnx.TensorProto.BOOL, True),
        ("zero", onnx.TensorProto.INT64, 0),
    ):
        model.graph.initializer.append(onnx.helper.make_tensor(name, kind, [], [value]))
    loop = onnx.helper.make_node("Loop", ["times", "true", "zero"], ["counted"], body=body)
    model.graph.node.insert(0, loop)
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("counted", onnx.TensorProto.INT64, [])
    )
    return model.SerializeToString()


def test_a_sound_file_is_opened_by_a_process_without_torch(exported, images):
    path, _ = exported("onnx")
    model = opened(path, "onnx")
    assert model(images).shape == (70, 3)
    code = "import sys; from lightning_modules.deployment import trial_opening; trial_opening."
    code += "onnx_opener()(__import__('pathlib').Path(sys.argv[1])); print('torch' in sys.modules)"
    words = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split()[-1] == "False"


def test_memory_is_bounded(exported, tmp_path, monkeypatch):
    path = tmp_path / "bomb.onnx"
    path.write_bytes(bomb(exported("onnx")[0].read_bytes()))
    monkeypatch.setattr(foreign_file, "MEMORY", 2**29)
    with pytest.raises(ConfigError, match=r"bomb\.onnx is not opened: .* wanted more than 0\.5 GB"):
        opened(path, "onnx")


@pytest.mark.slow
def test_time_is_bounded(exported, tmp_path, monkeypatch):
    path = tmp_path / "endless.onnx"
    path.write_bytes(endless(exported("onnx")[0].read_bytes()))
    monkeypatch.setattr(foreign_file, "SECONDS", 3)
    ends = r"did not come to an end with it in 3 s|onnxruntime died of it \(SIG(KILL|XCPU)\)"
    with pytest.raises(ConfigError, match=ends):
        opened(path, "onnx")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (-11, r"onnxruntime died of it \(SIGSEGV\)"),
        (-9, r"onnxruntime died of it \(SIGKILL\)"),
        (3, r"onnxruntime ended with it \(the last line\)"),
    ],
)
def test_a_death_is_a_sentence(code, says, exported, monkeypatch):
    died = SimpleNamespace(returncode=code, stdout="", stderr="a line\nthe last line\n")
    monkeypatch.setattr(foreign_file.subprocess, "run", lambda *_, **__: died)
    path, _ = exported("onnx")
    with pytest.raises(ConfigError, match=rf"tiny\.onnx is not opened: .*{says}; the file is dam"):
        opened(path, "onnx")


def test_what_onnxruntime_refuses_is_a_sentence(exported, tmp_path):
    content = exported("onnx")[0].read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[:-40])
    with pytest.raises(ConfigError, match=r"cut\.onnx cannot be run by onnxruntime: .*Protobuf"):
        opened(path, "onnx")
    path.write_bytes(content.replace(b"probabilities", b"likelihoodses"))
    model = opened(path, "onnx")
    with pytest.raises(ConfigError, match=r"cut\.onnx cannot be run by onnxruntime: .*probabilit"):
        model.warm_up()
    path.write_bytes(content.replace(b'\\"green\\", ', b"").replace(b'"green", ', b" " * 9))
    with pytest.raises(ConfigError, match=r"cut\.onnx gives \[1, 3\] for 1 images and 2 classes"):
        opened(path, "onnx").warm_up()
    with pytest.raises(ConfigError, match="is no file that could be read"):
        opened(tmp_path, "onnx")


def test_the_graph_of_an_int8_run_is_opened_so_too(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(load_model, "require_sound", lambda *words, **_: tried.append(words))
    shutil.copytree(RUNS / "int8", tmp_path / "int8")
    load_model.load_run_network(tmp_path / "int8", [])
    graph = tmp_path / "int8" / "model" / "network.int8.onnx"
    assert tried == [(graph, "onnx", "onnxruntime")]


@pytest.mark.parametrize("script", [describe, evaluate, export], ids=lambda s: s.__name__)
def test_scripts_open_it_so_too(script, tmp_path, folder, monkeypatch):
    def refuse(path, *_, **__):
        raise ConfigError(f"{path.name} does harm.")

    monkeypatch.setattr(load_model, "require_sound", refuse)
    shutil.copytree(RUNS / "int8", tmp_path / "int8")
    words = [f"data.source.root={folder}/train"] if script is evaluate else []
    with pytest.raises(ConfigError, match=r"network\.int8\.onnx does harm"):
        script.main([str(tmp_path / "int8"), *words])


@needs_extra("openvino")
def test_openvino_is_tried_so_too(exported, tmp_path, images):
    from lightning_modules.deployment.openvino_file import vet

    path, _ = exported("openvino")
    for file in (path, path.with_suffix(".bin")):
        shutil.copyfile(file, tmp_path / file.name)
    path = tmp_path / path.name
    assert opened(path, "openvino")(images).shape == (70, 3)
    path.write_bytes(path.read_bytes().replace(b'version="opset1"', b'version="theirs"', 1))
    vet(path)
    with pytest.raises(ConfigError, match="cannot be run by openvino"):
        opened(path, "openvino")


@pytest.mark.slow
def test_programs_of_torch_are_tried_so_too(exported, images, monkeypatch):
    path, _ = exported("torch_export")
    assert opened(path, "torch_export")(images).shape == (70, 3)
    monkeypatch.setattr(foreign_file, "MEMORY", 2**20)
    with pytest.raises(ConfigError, match=r"torch_export .* it|wanted more than"):
        opened(path, "torch_export")
