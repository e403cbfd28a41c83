"""A saved network: a folder that loads anywhere, without a pickle and without the user's code.

`model/` holds `network.yaml` (see `description`), `recipe.json` (how the network was compressed),
`weights.safetensors` and `probe.safetensors` (see `probe`). An int8 network has
`network.int8.onnx` (logits out) in the place of the weights.
"""

import copy
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import onnx
import torch
from omegaconf import DictConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from compression.cost import count_macs, count_params
from compression.errors import CompressionError
from compression.onnx import is_onnx_network, stored_content
from compression.recipe import Recipe
from lightning_modules.errors import ConfigError
from lightning_modules.files import whole_file, whole_folder, write_bytes, write_text
from lightning_modules.networks.blocks.former import as_saved
from lightning_modules.networks.building import MetaInit, assemble, plain_node
from lightning_modules.networks.description import (
    FOLDER,
    INT8,
    WEIGHTS,
    Description,
    find_folder,
    read_description,
    weights_file,
    write_description,
)
from lightning_modules.networks.network import Network
from lightning_modules.networks.probe import INT8_TOLERANCE, check_probe, make_probe
from lightning_modules.networks.weights import with_metadata


def save_network(
    network: Network,
    directory: str | Path,
    *,
    model_cfg: DictConfig | Mapping[str, Any] | None = None,
    recipe: Recipe | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write `directory/model/` whole or not at all; an earlier one is replaced.

    Args:
        network: on any device, in any memory format; stays as it is.
        directory: of the run; made where it is missing.
        model_cfg: what `build_network` was given; None: `network.model_cfg`.
        recipe: all that was done to the network since; None: `network.recipe`.
        extra: plain data to keep in `network.yaml`.

    Returns:
        The folder `directory/model`.

    Raises:
        ConfigError: the names do not fit the classes, the logits are not finite, or a
            description is not plain data.
    """
    names = network.class_names
    if names is not None and len(names) != network.num_classes:
        raise ConfigError(
            f"The network has {network.num_classes} classes but {len(names)} class names."
        )
    folder = Path(directory) / FOLDER
    node = plain_node(network.model_cfg if model_cfg is None else model_cfg)
    with whole_folder(folder) as part:
        _write(part, network, node, network.recipe if recipe is None else recipe, dict(extra or {}))
    return folder


def load_network(
    run_or_model_dir: str | Path, *, trust: Iterable[str] = (), any_size: bool = False
) -> Network:
    """The network of a run directory or of its `model/`, in eval mode on the CPU.

    Built as an outline without weights, restructured as the recipe says, loaded strictly; then the
    probe's logits must come out again (to 1e-4 of the largest; exactly on the same machine).

    Args:
        run_or_model_dir: where `save_network` wrote.
        trust: packages outside this one whose networks and steps may be run.
        any_size: whether it shall take images of other sizes than it was trained on. Without, they
            are refused, unless it resizes by itself (`model.input_size`); an int8 network takes no
            other size, a float one where its layers do.

    Returns:
        The network with its `class_names`, `image_size`, `levels`, `model_cfg` and `recipe`.

    Raises:
        ConfigError: says which check failed.
    """
    folder = find_folder(run_or_model_dir)
    trust = list(trust)
    description = read_description(folder, trust=trust)
    recipe = _recipe(folder)
    if weights_file(folder).name == INT8:
        if any_size:
            raise ConfigError(
                f"{folder} holds an int8 network, whose file takes images of "
                f"{' x '.join(map(str, description['image_size']))} pixels only: leave any_size "
                "out, or load the float network that it came from."
            )
        return _load_int8(folder, description, recipe, trust)
    state = _tensors(folder / WEIGHTS)
    # Whole networks for constructors that read the random values they make.
    for mode in (MetaInit(), nullcontext()):
        try:
            with mode:
                network = _structure(description, recipe, trust, state)
        except Exception as error:  # whatever a constructor of one's own raises
            if isinstance(mode, MetaInit):
                continue
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{folder} cannot be rebuilt: {error}.") from error
        _fill(network, state)
        if not any(t.is_meta for t in (*network.parameters(), *network.buffers())):
            break
    network.eval()
    check_probe(network, _tensors(folder / "probe.safetensors"))
    network.any_size = any_size
    return network


def _load_int8(folder: Path, description: Description, recipe: Recipe, trust: list[str]) -> Network:
    """An eval-only network around the file; its structure is only there to be counted."""
    try:
        tensors = {tensor.name for tensor in onnx.load(folder / INT8).graph.initializer}
    except Exception as error:  # protobuf's own have no common base
        raise ConfigError(f"{folder / INT8} is no ONNX file: {error}.") from error
    try:
        with MetaInit():
            network = _structure(description, recipe, trust, tensors)
    except Exception:  # whatever a constructor raises that reads its random values
        network = _structure(description, recipe, trust, tensors)
    graph: nn.Module = network
    if not is_onnx_network(graph):
        raise ConfigError(f"{folder} holds {INT8}, but its recipe does not end with quantisation.")
    graph.onnx_content = (folder / INT8).read_bytes()
    check_probe(network, _tensors(folder / "probe.safetensors"), tolerance=INT8_TOLERANCE)
    return network


def load_recipe(run_or_model_dir: str | Path, *, trust: Iterable[str] = ()) -> Recipe:
    """How a saved network was compressed; without entries where it was not.

    Raises:
        ConfigError: no saved network there, or a check of its description failed.
    """
    folder = find_folder(run_or_model_dir)
    read_description(folder, trust=trust)
    return _recipe(folder)


def _write(
    folder: Path, network: Network, node: dict[str, Any], recipe: Recipe, extra: dict[str, Any]
) -> None:
    twin = copy.deepcopy(network).to("cpu", torch.float32).eval()
    cost = {}
    graph: nn.Module = twin
    if is_onnx_network(graph):
        write_bytes(folder / INT8, stored_content(graph))
        cost = {"macs": count_macs(twin, twin.image_size), "params": count_params(twin)}
    else:
        state = {
            name: tensor.detach().clone(memory_format=torch.contiguous_format)
            for name, tensor in twin.state_dict().items()
        }
        _fill(twin, state)  # the probe is answered by the very tensors that are written
        _save_tensors(state, folder / WEIGHTS)
    _save_tensors(make_probe(twin, network.image_size), folder / "probe.safetensors")
    write_text(folder / "recipe.json", recipe.to_json())
    description = {
        "model": {**node, "pretrained": False, "weights": None},
        "num_classes": network.num_classes,
        "class_names": network.class_names,
        "image_size": network.image_size,
        "levels": network.levels,
        "recipe": recipe.summary(),
        **({"cost": cost} if cost else {}),  # of the float network that an int8 one came from
        "extra": extra,
        "torch": torch.__version__,
    }
    write_description(folder, description)


def _structure(
    description: Description, recipe: Recipe, trust: list[str], tensors: Collection[str]
) -> Network:
    node = {**description["model"], "pretrained": False}  # whatever a changed file says
    network = assemble(
        as_saved(node, tensors),
        num_classes=description["num_classes"],
        image_size=description["image_size"],
    )
    network.model_cfg = node
    try:
        network = cast(Network, recipe.replay(network, trust=trust))
    except CompressionError as error:
        raise ConfigError(f"The saved recipe cannot be replayed: {error}") from error
    network.recipe = recipe
    network.levels = description.get("levels")  # earlier versions took all 16
    names = description["class_names"]
    network.class_names = None if names is None else tuple(names)
    return network


def _fill(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Make the tensors of `state` those of the network, all of them and no others.

    Layers that share a parameter share it afterwards, too.
    """
    names: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    try:
        network.load_state_dict(with_metadata(state, network.state_dict()), assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"The saved weights do not match the network: {reason}") from error
    for first, *others in names.values():
        for path, _, name in (other.rpartition(".") for other in others):
            setattr(network.get_submodule(path), name, network.get_parameter(first))


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    with whole_file(path) as part:  # safetensors itself lets no other account read
        save_file(tensors, part)


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise ConfigError(f"{path} is no safetensors file: {error}.") from error


def _recipe(folder: Path) -> Recipe:
    try:
        return Recipe.from_json((folder / "recipe.json").read_text(encoding="utf-8"))
    except (CompressionError, UnicodeDecodeError) as error:
        raise ConfigError(f"{folder / 'recipe.json'} cannot be read: {error}") from error
