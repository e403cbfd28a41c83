"""Exported files that predict, benchmark, evaluate and app are given."""

import copy
import functools
import io
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.fuzz.inputs import changed, damaged, json_files, written_json
from tests.fuzz.network_targets import Canary
from tests.fuzz.target import Target

CHILD = ("subprocess.Popen", "os.posix_spawn")  # that opens what is foreign


@functools.cache
def exported(name: str) -> dict[str, bytes]:
    """The files of a small network in a format, by suffix; kept where a campaign says."""
    kept = os.environ.get("MODEL_DIET_FUZZ_EXPORTS")
    path = Path(kept or ".") / f"{name}.pickle"
    if kept and path.is_file():
        return pickle.loads(path.read_bytes())
    found = _export(name)
    if kept:
        path.write_bytes(pickle.dumps(found))
    return found


def _export(name: str) -> dict[str, bytes]:
    from lightning_modules.deployment.exporting import export
    from lightning_modules.deployment.formats import format_named
    from tests.lightning_modules.deployment.conftest import tiny

    form = format_named(name)
    noise = np.random.default_rng(0).integers(0, 256, (4, 3, 12, 16), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"tiny{form.suffix}"
        export(tiny(), form, path, resize_mode="pad", images=noise, image_source="noise")
        return {file.suffix: file.read_bytes() for file in form.files(path)}


def open_and_run(path: Path) -> None:
    """As scripts/predict.py does."""
    from lightning_modules.deployment.load_model import find_model, open_model

    model = open_model(find_model(str(path), []), [], threads=1)
    model.warm_up()
    model(np.zeros((2, 3, *model.metadata.image_size), np.uint8))


def reader(suffix: str) -> Callable[[Path, Any], None]:
    """Writes the files of one network, and opens that of the suffix."""

    def read(folder: Path, contents: Any) -> None:
        if isinstance(contents, bytes):
            contents = {suffix: contents}
        for each, content in contents.items():
            (folder / f"network{each}").write_bytes(content)
        open_and_run(folder / f"network{suffix}")

    return read


@st.composite
def onnx_files(draw: Any) -> bytes:
    """Damaged graphs: their bytes, their nodes, sizes, names, entries."""
    import onnx

    content = exported("onnx")[".onnx"]
    if draw(st.booleans()):
        return draw(damaged([content], most=6))
    model = onnx.load_from_string(content)
    graph = model.graph
    for _ in range(draw(st.integers(0, 3))):
        node = draw(st.sampled_from(list(graph.node)))
        tensor = draw(st.sampled_from(list(graph.initializer)))
        size = draw(st.sampled_from((0, -1, 1, 2**31, 2**62)))
        match draw(st.integers(0, 12)):
            case 0:
                node.op_type = draw(
                    st.sampled_from(("Loop", "If", "Expand", "Nothing", "Conv", "Scan"))
                )
            case 1:
                node.domain = draw(st.sampled_from(("com.microsoft", "x", "ai.onnx.ml")))
            case 2:
                del node.input[draw(st.integers(0, len(node.input))) :]
            case 3:
                node.input.append(draw(st.sampled_from([n.output[0] for n in graph.node])))
            case 4:
                tensor.dims.append(size)
            case 5 if tensor.dims:
                tensor.dims[0] = size
            case 6:
                tensor.data_type = draw(st.integers(0, 24))
            case 7:
                tensor.data_location = onnx.TensorProto.EXTERNAL
                del tensor.external_data[:]
                place = draw(
                    st.sampled_from(("/etc/passwd", "../x", "/dev/zero", "network.onnx", ""))
                )
                tensor.external_data.add(key="location", value=place)
                tensor.external_data.add(key="length", value=str(size))
            case 8 if node.attribute:
                attribute = draw(st.sampled_from(list(node.attribute)))
                attribute.i = size
                attribute.ints.append(size)
            case 9:
                bomb = onnx.helper.make_tensor("bomb", onnx.TensorProto.INT64, [2], [2**17, 2**17])
                graph.initializer.append(bomb)
                made = onnx.helper.make_node("ConstantOfShape", ["bomb"], ["much"])
                graph.node.insert(0, made)
                graph.output.add(name="much")
            case 10:
                shape = graph.input[0].type.tensor_type.shape
                draw(st.sampled_from(list(shape.dim))).dim_value = size
            case 11:
                graph.output[0].name = "other"
            case 12:
                model.opset_import[0].version = draw(st.sampled_from((0, 1, 99, 2**40)))
    entry = next((e for e in model.metadata_props if e.key == "model_diet"), None)
    if entry is not None and draw(st.booleans()):
        odd = draw(changed(json.loads(entry.value)).map(written_json))
        entry.value = odd.decode()
    return model.SerializeToString()


@st.composite
def pt2_files(draw: Any) -> bytes:
    """Damaged programs: their bytes, their graph, further members."""
    content = exported("torch_export")[".pt2"]
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged([content], most=6))
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(written, "w") as new:
        target = draw(st.sampled_from(old.namelist()))
        for name in old.namelist():
            data = old.read(name)
            if name == target and name.endswith(".json"):
                data = draw(changed(json.loads(data)).map(written_json))
            elif name == target:
                data = draw(st.sampled_from((data, _canary())) | damaged([data]))
            new.writestr(name, data)
        if draw(st.integers(0, 5)) == 0:
            name = draw(st.sampled_from(("x/data/aotinductor/m/x.so", "x/extra/y.py", "../x", "a")))
            new.writestr(name, b"x")
    return written.getvalue()


def _canary() -> bytes:
    return pickle.dumps(Canary())


@st.composite
def openvino_files(draw: Any) -> dict[str, bytes]:
    """A damaged graph, or weights; what says that they belong together may be made to fit."""
    import hashlib
    import re

    whole = exported("openvino")
    which = draw(st.sampled_from(sorted(whole)))
    contents = {**whole, which: draw(damaged([whole[which]], most=6))}
    if draw(st.booleans()):
        digest = hashlib.sha256(contents[".bin"]).hexdigest().encode()
        contents[".xml"] = re.sub(
            rb'(weights_sha256 value=")\w+', lambda found: found[1] + digest, contents[".xml"]
        )
    return contents


def pte_files() -> st.SearchStrategy[bytes]:
    """Damaged programs."""
    return damaged([exported("executorch")[".pte"]], most=6)


def read_metadata(folder: Path, content: bytes) -> None:
    """What a file says of itself."""
    from lightning_modules.deployment.model_metadata import KEY, ModelMetadata

    entries = {KEY: content.decode("utf-8", "replace")}
    metadata = ModelMetadata.from_entries(entries, file="network.onnx")
    metadata.to_entries()


def vet(folder: Path, content: bytes) -> None:
    """What is looked at before a .pt2 is opened."""
    from lightning_modules.deployment.model_metadata import ModelMetadata
    from lightning_modules.deployment.vetting import pt2_metadata, vet_pt2

    path = folder / "network.pt2"
    path.write_bytes(content)
    vet_pt2(path)
    ModelMetadata.from_entries(pt2_metadata(path), file=str(path))


def entries() -> st.SearchStrategy[bytes]:
    """The metadata of a file."""
    import onnx

    model = onnx.load_from_string(exported("onnx")[".onnx"])
    found = next(entry.value for entry in model.metadata_props if entry.key == "model_diet")
    former = json.loads(found)
    former = {**copy.deepcopy(former), "schema": 1, "fit": former["resize_mode"]}
    return json_files(json.loads(found), json.dumps(former).encode())


TARGETS = [
    Target("metadata of exports", entries, read_metadata),
    Target("pt2, looked at", lambda: pt2_files(), vet),
    Target("onnx", lambda: onnx_files(), reader(".onnx"), allowed=CHILD, weight=2),
    Target("pt2", lambda: pt2_files(), reader(".pt2"), allowed=CHILD, weight=2),
    Target(
        "openvino", lambda: openvino_files(), reader(".xml"), allowed=CHILD, needs=("openvino",)
    ),
    Target("pte", pte_files, reader(".pte"), allowed=CHILD, needs=("executorch",)),
]
