"""Networks as files: rows, recipes, network.yaml, tensors, checkpoints."""

import functools
import hashlib
import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from omegaconf import OmegaConf

from compression.factorization.given_ranks import read_ranks
from lightning_modules.networks.blocks.row_file import with_rows
from lightning_modules.networks.blocks.rows import read_rows
from lightning_modules.registry import schema
from tests.fuzz.inputs import (
    changed,
    damaged,
    json_files,
    written_json,
    written_yaml,
    yaml_files,
)
from tests.fuzz.run_targets import RUNS
from tests.fuzz.target import Target, at

ROWS = [
    [1, "Conv", [8, 3, 2, None, 1, "Hardswish"]],
    [2, "MBConv", [2, 8, 2, 3]],
    {"repeat": 1, "kind": "MBConv", "t": 2, "c": 8},
    [1, "GlobalAvgPool", []],
    [1, "FixedConv", ["num_classes", 1, 1, None, 1, None]],
]
ROW_FILE = {"backbone": ROWS, "input_channel": 3, "depth_multiple": 0.5, "width_multiple": 1.0}
RANKS = {"layer1.*": [12, 8], "layer2": {"conv": 4}}
NODE = {
    "name": "rows", "_target_": "lightning_modules.networks.blocks.network.BlockNetwork",
    "depth_multiple": 1.0, "width_multiple": 1.0,
}  # fmt: skip
NETWORKS = ("trained", "pruned_factorized", "factorized", "distilled", "int8")
FILES = ("network.yaml", "recipe.json", "weights.safetensors", "probe.safetensors")


class Canary:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch ran",)


def node_of(name: str) -> dict[str, Any]:
    """The model node of an option that is made of rows."""
    from tests.fuzz.run_targets import composed

    return dict(composed([f"model={name}"]).model)


def prepare_node(folder: Path) -> None:
    """Resolvers, for composing."""
    from tests.fuzz.run_targets import prepare_runs

    prepare_runs(folder)


def read_row_list(folder: Path, rows: Any) -> None:
    """The rows of a command."""
    read_rows(rows)


def build_rows(folder: Path, rows: Any) -> None:
    """The network of them, without weights."""
    import torch

    from lightning_modules.networks import meta_network
    from tests.fuzz.run_targets import composed

    torch.set_num_threads(1)
    global _node
    if _node is None:
        from lightning_modules.registry import plain

        _node = plain(composed(["model=rows"]).model)
    node = {**_node, "blocks": rows}
    schema("model")(OmegaConf.create(node), "model")
    meta_network(node, num_classes=3, image_size=32)


_node: dict[str, Any] | None = None


def read_row_file(path: Path) -> None:
    """A file of rows."""
    read_rows(with_rows({**NODE, "blocks": str(path)})["blocks"])


def recipes() -> st.SearchStrategy[bytes]:
    """Of the runs that are kept."""
    texts = [(RUNS / name / "model" / "recipe.json").read_text() for name in NETWORKS]
    return st.one_of([json_files(json.loads(text)) for text in texts])


def read_recipe(path: Path) -> None:
    """As it is told, without a network."""
    from compression.recipe import Recipe

    recipe = Recipe.from_json(path.read_bytes().decode("utf-8", "replace"))
    recipe.summary()
    recipe.layers()


@st.composite
def networks(draw: Any) -> tuple[str, str, bytes, bool]:
    """A saved network with one changed file, whose hashes may fit."""
    name = draw(st.sampled_from(NETWORKS))
    file = draw(st.sampled_from(FILES))
    if name == "int8" and file == "weights.safetensors":
        file = "network.int8.onnx"
    content = (RUNS / name / "model" / file).read_bytes()
    if file.endswith(".yaml"):
        made = draw(changed(yaml.safe_load(content)).map(written_yaml) | damaged([content]))
    elif file.endswith(".json"):
        made = draw(changed(json.loads(content)).map(written_json) | damaged([content]))
    elif file.endswith(".onnx"):
        made = draw(damaged([content]))
    else:
        made = draw(tensor_files(content))
    return name, file, made, draw(st.integers(0, 5)) > 0


def tensor_files(content: bytes) -> st.SearchStrategy[bytes]:
    """safetensors with a changed header, or with changed bytes."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]

    def written(header: Any) -> bytes:
        text = written_json(header)
        return len(text).to_bytes(8, "little") + text + data

    sizes = [
        n.to_bytes(8, "little") + content[8:] for n in (0, 2**63 - 1, 2**64 - 1, 10**8, length - 1)
    ]
    return changed(header).map(written) | damaged([content, *sizes])


def prepare_networks(folder: Path) -> None:
    """Copies of the saved networks."""
    import torch

    torch.set_num_threads(1)
    for name in NETWORKS:
        shutil.copytree(RUNS / name / "model", folder / name / "model")


def read_network(folder: Path, damage: tuple[str, str, bytes, bool]) -> None:
    """As `load_network`, from a folder whose hashes were made to fit, or not."""
    from lightning_modules.networks import load_network

    name, file, content, fits = damage
    model = folder / name / "model"
    (model / file).write_bytes(content)
    try:
        if fits:
            _rehash(model)
        load_network(folder / name)
    finally:
        for changed_file in (file, "network.yaml"):
            shutil.copyfile(RUNS / name / "model" / changed_file, model / changed_file)


def _rehash(model: Path) -> None:
    from lightning_modules.networks import description

    try:
        said = yaml.safe_load((model / "network.yaml").read_text())
        said["sha256"] = {
            name: hashlib.sha256((model / name).read_bytes()).hexdigest()
            for name in description.hashed(model)
        }
        said["sha256"]["network.yaml"] = description._own_sha256(said)
        text = yaml.safe_dump(said, sort_keys=False)
    except Exception:  # it is too damaged for hashes
        return
    (model / "network.yaml").write_text(text)


@functools.cache
def checkpoint() -> tuple[bytes, Any]:
    """Of a run that was killed: the file, and what is in it."""
    import torch

    content = (
        RUNS / "unfinished" / "steps" / "02_tucker" / "checkpoints" / "last.ckpt"
    ).read_bytes()
    return content, torch.load(io.BytesIO(content), weights_only=True)


@st.composite
def pth_files(draw: Any) -> bytes:
    """What `torch.save` writes: whole, changed, damaged, with code."""
    import torch

    content, found = checkpoint()
    few = dict(list(found["state_dict"].items())[:4])
    plain = {
        "epoch": 1, "state_dict": few, "model_ema": dict(few), "args": {"lr": 0.1}, "odd": [1, "a"],
    }  # fmt: skip
    kinds = ("damaged", "changed", "pickled", "legacy", "canary")
    match draw(st.sampled_from(kinds)):
        case "damaged":
            return draw(damaged([content], most=8))
        case "changed":
            return _saved(draw(changed(plain)))
        case "pickled":
            return draw(damaged([pickle.dumps(plain["args"]), pickle.dumps([1, {"a": (2,)}])]))
        case "legacy":
            written = io.BytesIO()
            torch.save(few, written, _use_new_zipfile_serialization=False)
            return draw(damaged([written.getvalue()], most=6))
    return draw(st.sampled_from((_saved({"state_dict": Canary()}), pickle.dumps(Canary()))))


def _saved(value: Any) -> bytes:
    import torch

    written = io.BytesIO()
    torch.save(value, written)
    return written.getvalue()


def read_weights(suffix: str) -> Any:
    """As `model.weights=FILE`."""

    def read(folder: Path, content: bytes) -> None:
        from lightning_modules.networks import read_state

        path = folder / f"weights{suffix}"
        path.write_bytes(content)
        state, _ = read_state(path)
        sum(float(tensor.sum()) for tensor in state.values() if tensor.is_floating_point())

    return read


def safetensors() -> st.SearchStrategy[bytes]:
    """Of a saved network."""
    return tensor_files((RUNS / "trained" / "model" / "weights.safetensors").read_bytes())


def checkpoints() -> st.SearchStrategy[bytes]:
    """`last.ckpt`: damaged, or with changed content."""
    content, found = checkpoint()
    plain = {
        key: value for key, value in found.items() if key not in ("state_dict", "optimizer_states")
    }
    return damaged([content], most=6) | changed(plain).map(_saved)


def read_last(folder: Path, content: bytes) -> None:
    """As a resumed run reads it."""
    from compression.recipe import Entry
    from lightning_modules.training.callbacks.checkpoint_files import (
        newest_checkpoint,
        read_checkpoint,
    )

    for file in folder.glob("*.ckpt*"):
        file.unlink()
    (folder / "last.ckpt").write_bytes(content)
    found = newest_checkpoint(folder)
    if found is not None:
        [Entry(**entry) for entry in found.resume_state.get("entries", [])]
        read_checkpoint(folder)


def read_rank_file(path: Path) -> None:
    """As `compression.tucker.ranks=FILE`."""
    read_ranks(str(path), "compression.tucker.ranks")


TARGETS = [
    Target("rows", changed(ROWS), read_row_list),
    Target("networks of rows", lambda: changed(ROWS), build_rows, prepare_node),
    Target("row files", yaml_files(ROW_FILE), at("net.yaml", read_row_file)),
    Target("rank files", yaml_files(RANKS), at("ranks.yaml", read_rank_file)),
    Target("recipes", recipes, at("recipe.json", read_recipe)),
    Target("saved networks", lambda: networks(), read_network, prepare_networks, weight=2,
           allowed=("subprocess.Popen",)),
    Target("weights, torch", lambda: pth_files(), read_weights(".pth")),
    Target("weights, safetensors", safetensors, read_weights(".safetensors")),
    Target("checkpoints", checkpoints, read_last),
]  # fmt: skip
