"""The tensors of a weights file. No code of a file is ever run."""

import pickle
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lightning_modules.errors import ConfigError
from lightning_modules.files import home_expanded

State = dict[str, Tensor]

SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".tar", ".safetensors")
# Where training programs put the weights in their checkpoints; averaged ones come first.
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "averaged_model")
NESTS = (*AVERAGED, "state_dict", "model_state_dict", "model", "net", "network", "module")
# Lightning's own WeightAveraging keeps the averaged weights as `state_dict`, and beside them this.
RAW_BESIDE_AVERAGED = "current_model_state"

# Plain containers of a command's arguments, which training programs put beside the weights;
# Lightning's dict is not imported for it.
HARMLESS: list[Callable | tuple[Callable, str]] = [
    Namespace,
    (OrderedDict, "pytorch_lightning.utilities.parsing.AttributeDict"),
    (OrderedDict, "lightning.pytorch.utilities.parsing.AttributeDict"),
]


def read_state(path: str | Path, key: str | None = None) -> tuple[State, str]:
    """The tensors of a weights file by name, on the CPU, and where in it they were in words.

    Args:
        path: `.safetensors`, or what `torch.save` wrote (`.pth`, `.pt`, `.ckpt`, `.bin`, `.tar`):
            a state dict, or a checkpoint with one inside, Lightning's among them.
        key: dotted keys that lead to the state dict inside; None: averaged weights (EMA) come
            before raw ones, and both before what has other names.

    Raises:
        ConfigError: no such file or key, an unknown kind, several state dicts of unknown names, or
            a file that would need to run code.
    """
    path = Path(home_expanded(path))
    if not path.is_file():
        raise ConfigError(f"There is no weights file {path}; check model.weights.")
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path} is no {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file.")
    content = _content(path)
    if key is not None:
        return _chosen(content, key, path), f" (weights_key={key})"
    return _found(content, path)


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"{path} is refused: it holds more than tensors, and reading that could run code in "
            f"it; save its state_dict() alone, or as .safetensors."
        ) from error
    except Exception as error:  # damage shows as an exception of any kind
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(f"{path} is damaged or no weights file: {reason}.") from error


def _chosen(content: Any, key: str, path: Path) -> State:
    for part in key.split("."):
        inside = content.get(part) if isinstance(content, Mapping) else None
        if inside is None:
            known = [name for name, _ in _nests(content)] if isinstance(content, Mapping) else []
            there = f"there are {', '.join(known)}" if known else "it holds one state dict only"
            raise ConfigError(f"model.weights_key={key}: {path} has no {part}; {there}.")
        content = inside
    tensors = _tensors(content)
    if not tensors:
        raise ConfigError(f"model.weights_key={key}: {path} has no tensors there.")
    return tensors


def _found(content: Any, path: Path) -> tuple[State, str]:
    """The flat state dict inside a checkpoint, however it is nested."""
    keys: list[str] = []
    averaged = isinstance(content, Mapping) and RAW_BESIDE_AVERAGED in content
    while isinstance(content, Mapping):
        nests = dict(_nests(content))
        named = [name for name in NESTS if name in nests]
        tensors = _tensors(content)
        if tensors and not named:
            return tensors, _said(keys, averaged)
        if not named and len(nests) > 1:
            raise ConfigError(
                f"{path} holds several state dicts: {', '.join(nests)}; choose one with "
                f"model.weights_key={next(iter(nests))}."
            )
        if not nests:
            break
        keys.append(named[0] if named else next(iter(nests)))
        averaged = averaged or keys[-1] in AVERAGED
        content = nests[keys[-1]]
    raise ConfigError(f"{path} holds no state_dict: no names with tensors were found in it.")


def _said(keys: list[str], averaged: bool) -> str:
    if not averaged:
        return ""
    return f" (averaged weights, EMA{', under ' + '.'.join(keys) if keys else ''})"


def _nests(content: Mapping[Any, Any]) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """The mappings inside that hold tensors, at whatever depth; not those of optimizers."""
    for name, value in content.items():
        if isinstance(value, Mapping) and "param_groups" not in value and _holds_tensors(value):
            yield str(name), value


def _holds_tensors(content: Mapping[Any, Any]) -> bool:
    return any(
        isinstance(value, Tensor) or (isinstance(value, Mapping) and _holds_tensors(value))
        for value in content.values()
    )


def _tensors(content: Any) -> State:
    if not isinstance(content, Mapping):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
