"""Weights from files: safe formats only, and nothing left out in silence."""

import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.network import Network

State = dict[str, Tensor]

# Where training programs put the weights in their checkpoints; averaged ones are preferred.
NESTS = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "network")
PREFIX = re.compile(r"^(?:(?:module|_orig_mod|model|network|student|body)\.)+")


def load_weights(network: Network, path: str | Path) -> str:
    """Load a .pth, .pt or .safetensors file into the body of `network`.

    Only the classifier's head may have another size: it then stays new. What else the file lacks
    stays new too, up to half of the network; what the network lacks is passed over, and said.

    Names are those of the network's library: torchvision's or timm's for their networks, those of
    the published checkpoints for our own (pytorchcv's for ShuffleNet v1); prefixes that training
    programs add are taken off.

    Returns:
        A sentence such as "loaded 294 of 296 tensors from a.pth; new: output.weight, output.bias".

    Raises:
        ConfigError: no such file, not safe to read, or made for another architecture.
    """
    state = read_state(path)
    new = load_state(network.body, state, num_classes=network.num_classes, source=str(path))
    network.new_tensors = new
    wanted = network.body.state_dict()
    unused = [key for key in _renamed(state, wanted) if key not in wanted]
    return (
        f"loaded {len(wanted) - len(new)} of {len(wanted)} tensors from {path}"
        f"{_listed('new', new)}{_listed('not used', unused)}"
    )


def read_state(path: str | Path) -> State:
    """The tensors of a weights file by name, on the CPU. No code of the file is ever run.

    Raises:
        ConfigError: no such file, an unknown kind, or a file that would need to run code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ConfigError(f"There is no weights file {path}; check model.weights.")
    if path.suffix not in (".pth", ".pt", ".safetensors"):
        raise ConfigError(f"{path} is no .pth, .pt or .safetensors file.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"{path} is refused: it holds more than tensors, and reading that could run code in "
            f"it; save its state_dict() alone, or as .safetensors."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise ConfigError(f"{path} is damaged or no weights file: {error}.") from error
    return _tensors(content, path)


def load_state(
    body: nn.Module, state: Mapping[str, Tensor], *, num_classes: int, source: str
) -> list[str]:
    """Load what fits of `state` into `body`, as `load_weights` says; the names that stay new."""
    wanted = body.state_dict()
    state = _renamed(state, wanted)
    fitting = {k: v for k, v in state.items() if k in wanted and v.shape == wanted[k].shape}
    head = head_keys(body, num_classes)
    wrong = [key for key in wanted if key in state and key not in fitting and key not in head]
    if wrong:
        shapes = (f"{k} {_shape(state[k])} there and {_shape(wanted[k])} here" for k in wrong[:5])
        raise ConfigError(f"{source} is for another architecture: {'; '.join(shapes)}.")
    _check_enough(set(fitting) - head, set(wanted) - head, state, wanted, source)
    body.load_state_dict(with_metadata(fitting, wanted), strict=False)
    return [key for key in wanted if key not in fitting]


def with_metadata(state: Mapping[str, Tensor], own: Mapping[str, Any]) -> OrderedDict[str, Tensor]:
    """`state` as a module takes it in, with the metadata of its `own` state.

    Some networks (MNASNet) read a version there, which a plain dict of tensors lacks.
    """
    complete = OrderedDict(state)
    vars(complete)["_metadata"] = vars(own)["_metadata"]
    return complete


def _renamed(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> State:
    """Without the prefixes that training programs put before the names."""
    return {key if key in wanted else PREFIX.sub("", key): value for key, value in state.items()}


def _check_enough(
    fitting: set[str],
    needed: set[str],
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    source: str,
) -> None:
    """A few equal names, such as `conv1.weight`, are a coincidence."""
    if len(fitting) >= len(needed) / 2 and fitting:
        return
    matched = (
        f"only {len(fitting)} of {len(needed)} tensors match"
        if fitting
        else ("no tensor of it matches")
    )
    theirs = [key for key in state if key not in wanted][:5]
    ours = [key for key in wanted if key not in state][:5]
    raise ConfigError(
        f"{source} is for another architecture: {matched}; it has {', '.join(theirs)} where the "
        f"network has {', '.join(ours)}."
    )


def _tensors(content: Any, path: Path) -> State:
    """The flat state dict inside a checkpoint, however it is nested."""
    while isinstance(content, Mapping):
        tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        nest = next((k for k in NESTS if isinstance(content.get(k), Mapping)), None)
        if nest is None and tensors:
            return tensors
        content = content.get(nest)
    raise ConfigError(f"{path} holds no state_dict: no names with tensors were found in it.")


def head_keys(body: nn.Module, num_classes: int) -> set[str]:
    """Tensors of the last Linear or 1x1 convolution with one output per class, and its norm's."""
    keys = set()
    for name, module in body.named_modules():
        linear = isinstance(module, nn.Linear) and module.out_features == num_classes
        pointwise = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
        if linear or (pointwise and module.out_channels == num_classes):
            keys = {f"{name}.weight", f"{name}.bias"}
        elif isinstance(module, nn.BatchNorm2d) and keys and module.num_features == num_classes:
            keys |= {f"{name}.{key}" for key in module.state_dict()}
    return keys


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _listed(title: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"; {title}: {', '.join(names[:5])}{more}"
