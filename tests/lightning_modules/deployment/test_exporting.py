"""Exported files: what is in them, that they agree, and what is refused."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from compression.errors import CompressionError
from lightning_modules import registry
from lightning_modules.deployment import comparison, torch_export_file
from lightning_modules.deployment.comparison import Comparison, compare
from lightning_modules.deployment.exporting import export
from lightning_modules.deployment.exports import ModuleExport
from lightning_modules.deployment.formats import Format, format_named, format_of
from lightning_modules.deployment.inference_model import InferenceModel, eager_model, metadata_of
from lightning_modules.errors import USER_ERRORS, ConfigError
from tests.conftest import needs_extra
from tests.fixtures.cases.networks import NETWORKS
from tests.lightning_modules.deployment.conftest import CLASSES, Airy, tiny


@pytest.mark.parametrize(
    "name",
    [
        "onnx",
        "torch_export",
        pytest.param("openvino", marks=needs_extra("openvino")),
        pytest.param("executorch", marks=[needs_extra("executorch"), pytest.mark.slow]),
    ],
)
def test_a_file_says_what_the_network_says(name, exported, images):
    path, report = exported(name)
    form = format_of(path)
    model = form.open_file(path, threads=1)
    with torch.inference_mode():
        expected = tiny()(torch.from_numpy(images)).softmax(1).numpy()
    for count in (1, 2, 70):
        np.testing.assert_allclose(model(images[:count]), expected[:count], atol=1e-6)
    assert model.metadata.class_names == CLASSES and model.metadata.image_size == (12, 16)
    # 8 filters of 3 x 3 x 3 at 5 x 7 places, and the 8 x 3 head
    assert model.metadata.macs["standard"] == 8 * 27 * 35 + 24
    assert model.metadata.resize_mode == "pad" and "grey (128)" in model.metadata.preprocessing
    assert report["top1_agreement"] == 1 and report["images"] == 66
    assert report["largest_probability_difference"] < 1e-6
    assert report["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert json.loads(path.with_name(f"{path.name}.json").read_text())["params"] == 267
    written = form.files(path)
    assert set(path.parent.iterdir()) == {*written, path.with_name(f"{path.name}.json")}
    assert report["bytes"] == sum(file.stat().st_size for file in written)
    for file in written:
        assert str(tiny.__code__.co_filename).encode() not in file.read_bytes()  # no paths of ours


def test_onnx_metadata_is_readable_without_this_package(exported):
    model = onnx.load(exported("onnx")[0])
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(found["class_names"]) == list(CLASSES)
    assert "12 x 16 pixels" in found["preprocessing"]
    assert [output.name for output in model.graph.output] == ["probabilities"]
    (batch, *rest) = model.graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param and [d.dim_value for d in rest] == [3, 12, 16]


class Looping(nn.Module):
    """Fixes the number of images."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        return torch.stack([self.head(image.mean((1, 2))) for image in x])


@pytest.mark.parametrize(
    "name",
    [
        "onnx",
        pytest.param("torch_export", marks=pytest.mark.slow),
        pytest.param("openvino", marks=[needs_extra("openvino"), pytest.mark.slow]),
        pytest.param("executorch", marks=[needs_extra("executorch"), pytest.mark.slow]),
    ],
)
def test_a_network_that_fixes_its_batch_is_shipped_so(name, images, tmp_path, capsys):
    network, form = tiny(Looping()), format_named(name)
    path = tmp_path / f"a{form.suffix}"
    report = export(network, form, path, resize_mode="pad", images=images, image_source="noise")
    said = capsys.readouterr().out
    assert said.startswith("batch       one image at a time, for its forward makes the number of")
    assert report["max_batch"] == 1 and "one at a time (N = 1)" in report["preprocessing"]
    model = format_of(path).open_file(path, threads=1)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).softmax(1).numpy()
    np.testing.assert_allclose(model(images), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format_name", "name"),
    [
        *(("torch_export", name) for name in ("ChunkSplitUnbind", "InPlaceSlice", "Attention")),
        pytest.param("openvino", "CircularPadding", marks=needs_extra("openvino")),
    ],
)
def test_odd_networks_are_written_and_read_again(format_name, name, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (5, 3, 64, 64), dtype=np.uint8)
    network = tiny(NETWORKS[name](), size=(64, 64), classes=tuple("abcdef"))
    form = format_named(format_name)
    path = tmp_path / f"a{form.suffix}"
    report = export(network, form, path, resize_mode="pad", images=noise, image_source="noise")
    assert report["max_batch"] is None and report["top1_agreement"] == 1


@pytest.mark.parametrize(
    ("shape", "dtype", "says"),
    [
        ((1, 3, 12, 12), "uint8", r"takes images of 12 x 16 pixels \(H x W\), not 12 x 12: resize "
         r"them, or export or load its run with data\.image_size=\[H,W\]"),
        ((1, 1, 12, 16), "uint8", "takes a batch of images, N x 3 x H x W, not 1 x 1 x 12 x 16"),
        ((3, 12, 16), "uint8", "takes a batch of images, N x 3 x H x W, not 3 x 12 x 16"),
        ((1, 3, 12, 16), "float32", r"takes raw pixels, uint8 in 0\.\.255, not float32: give the"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["onnx", "torch_export", "eager"])
def test_images_that_a_file_was_not_made_for(name, shape, dtype, says, exported):
    if name == "eager":
        model = eager_model(tiny(), name="a run", resize_mode="pad")
    else:
        path = exported(name)[0]
        model = format_of(path).open_file(path, threads=1)
    with pytest.raises(USER_ERRORS, match=says):
        model(np.zeros(shape, dtype))


class Branching(nn.Module):
    """Cannot be traced."""

    def forward(self, x):
        return x.mean((2, 3)) if x.sum() > 3 else x.sum((2, 3))


def test_an_operation_that_onnx_lacks_is_named_and_leaves_nothing(images, tmp_path):
    path = tmp_path / "a.onnx"
    with pytest.raises(CompressionError, match=r"ONNX has no operation for aten\.special_airy_ai"):
        export(
            tiny(Airy()),
            format_named("onnx"),
            path,
            resize_mode="pad",
            images=images,
            image_source="noise",
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is full")
def test_a_full_disk_is_an_error_of_torch_export():
    """And does not abort the process, as torch's own writing does."""
    with pytest.raises(OSError, match="No space left"):
        torch_export_file.write(tiny(), Path("/dev/full"), metadata_of(tiny(), resize_mode="pad"))


def test_what_torch_export_cannot_trace(tmp_path):
    code, metadata = format_named("torch_export"), metadata_of(tiny(), resize_mode="pad")
    with pytest.raises(ConfigError, match=r"by torch\.export: .*data-dependent"):
        code.write(tiny(Branching()), tmp_path / "a.pt2", metadata)


def test_a_file_that_disagrees_is_not_kept(images, tmp_path):
    other = InferenceModel(
        "other", metadata_of(tiny(), resize_mode="pad"), lambda x: np.full((len(x), 3), 1 / 3)
    )

    class Other:
        suffix = ".onnx"

        def write(self, network, path, metadata):
            path.write_bytes(b"file")

        def open_file(self, path, threads):
            return other

    path, form = tmp_path / "network.onnx", Format("other", Other())
    with pytest.raises(ConfigError, match="does not agree with the network on 70 images"):
        export(tiny(), form, path, resize_mode="pad", images=images, image_source="noise")
    assert not list(tmp_path.iterdir())


def test_the_largest_difference_and_agreement_are_found(images, monkeypatch):
    monkeypatch.setattr(comparison, "BATCH", 32)
    metadata = metadata_of(tiny(), resize_mode="pad")
    plain = np.tile(np.array([0.5, 0.3, 0.2]), (70, 1))
    seen = []

    def by_number(x):
        start = sum(seen) if len(x) > 1 else 0
        seen.append(len(x))
        return changed[start : start + len(x)]

    changed = plain.copy()
    changed[69] = [0.3, 0.5, 0.2]  # in the last batch
    found = compare(
        InferenceModel("a", metadata, lambda x: plain[: len(x)]),
        InferenceModel("b", metadata, by_number),
        images,
    )
    assert seen == [32, 32, 6, 1]
    assert found == Comparison(70, pytest.approx(0.2), pytest.approx(69 / 70))


@pytest.mark.parametrize(
    ("difference", "agreement", "kept"),
    [(9.9e-4, 0.995, True), (1e-3, 1, False), (0, 0.9949, False), (float("nan"), 1, False)],
)
def test_limits_of_agreement(difference, agreement, kept):
    found = Comparison(1000, difference, agreement)
    if kept:
        found.require()
    else:
        with pytest.raises(ConfigError, match="not kept"):
            found.require()


def test_what_openvino_and_executorch_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda package: None)
    for name, suffix in (("openvino", "xml"), ("executorch", "pte")):
        says = rf"{name} needs {name}, which is not.*pip install '\.\[{name}\]'"
        with pytest.raises(ConfigError, match=says):
            format_named(name)
        with pytest.raises(ConfigError, match=says):
            format_of(tmp_path / f"network.{suffix}")


def test_names_and_missing_extras(tmp_path):
    with pytest.raises(ConfigError, match="format=tflite does not exist; there are onnx, torch_e"):
        format_named("tflite")
    with pytest.raises(ConfigError, match=r"neither a run directory nor an exported file \(\.onnx"):
        format_of(tmp_path / "network.pth")
    absent = ModuleExport(module="nowhere", suffix=".abs", runtime="absent", extra="absent")
    with pytest.raises(ConfigError, match=r"pip install 'model-diet\[absent\]'"):
        Format("absent", absent).require()
