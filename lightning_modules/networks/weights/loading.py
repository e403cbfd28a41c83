"""Loading weights into a network: all that belongs to it, nothing left out in silence."""

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.network import Network
from lightning_modules.networks.weights.names import own_names
from lightning_modules.networks.weights.positions import interpolated
from lightning_modules.networks.weights.reading import State, read_state

# What a file may hold beyond the network: other heads, auxiliary ones, and no parameters.
HEADS = re.compile(
    r"^(aux\w*|\w*head\w*|(pre_)?(classifier|logits)\w*|fc\d*|output|last_linear)\.", re.IGNORECASE
)
HEAD_STD = 0.01  # of a new head's weights
BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "n_averaged", "mask", "index",
           "pixels.mean", "pixels.std")  # fmt: skip


def load_weights(
    network: Network, path: str | Path, *, key: str | None = None, partial: bool = False
) -> str:
    """Load a file of weights into the body of `network`.

    Only the classifier's head may have another size: it then starts anew and small (see
    `soften_head`), and buffers that the file lacks stay as they are. Position embeddings of another
    image size are interpolated.

    Names are those of the network's library: torchvision's or timm's for their networks, those of
    the published checkpoints for our own (pytorchcv's for ShuffleNet v1); see `names.own_names`
    for others.

    Args:
        network: whose body is filled.
        path: see `reading.read_state`.
        key: leads to the state dict in a checkpoint that has several.
        partial: take what fits of a file that lacks parameters (up to half of the network's) or
            has more of them.

    Returns:
        A sentence such as "loaded 294 of 296 tensors from a.pth; new: output.weight, output.bias".

    Raises:
        ConfigError: no such file, not safe to read, not finite, or for another architecture.
    """
    state, where = read_state(path, key)
    new, said = load_state(
        network.body, state, num_classes=network.num_classes, source=str(path), partial=partial
    )
    network.new_tensors = new
    soften_head(network.body, set(new) & head_keys(network.body, network.num_classes))
    total = len(network.body.state_dict())
    return f"loaded {total - len(new)} of {total} tensors from {path}{where}{said}"


def load_state(
    body: nn.Module,
    state: Mapping[str, Tensor],
    *,
    num_classes: int,
    source: str,
    partial: bool = False,
) -> tuple[list[str], str]:
    """Load what fits of `state` into `body`, as `load_weights` says.

    Returns:
        The names that stay new, and what was done to make it fit, in words.
    """
    wanted = body.state_dict()
    head = head_keys(body, num_classes)
    named, how = own_names(state, wanted, head)
    resized = interpolated(body, named)
    named = {**named, **resized}
    buffers = {name for name, _ in body.named_buffers()}
    _check_shapes(named, wanted, head | buffers, source)
    fitting = {k: v for k, v in named.items() if k in wanted and v.shape == wanted[k].shape}
    _check_enough(set(fitting) - head, set(wanted) - head, named, wanted, source)
    new = [key for key in wanted if key not in fitting]
    unused = [key for key in named if key not in wanted]
    if not partial:
        absent = [key for key in new if key not in head | buffers]
        _check_whole(absent, [key for key in unused if not _spare(key, named[key])], source)
    _check_finite(fitting, buffers, source)
    body.load_state_dict(with_metadata(fitting, wanted), strict=False)
    sizes = _listed("interpolated for another image size", list(resized))
    return new, f"{how}{sizes}{_listed('new', new)}{_listed('not used', unused)}"


def with_metadata(state: Mapping[str, Tensor], own: Mapping[str, Any]) -> OrderedDict[str, Tensor]:
    """`state` as a module takes it in, with the metadata of its `own` state.

    Some networks (MNASNet) read a version there, which a plain dict of tensors lacks.
    """
    complete = OrderedDict(state)
    vars(complete)["_metadata"] = vars(own)["_metadata"]
    return complete


def _check_shapes(
    named: State, wanted: Mapping[str, Tensor], spared: Collection[str], source: str
) -> None:
    wrong = [
        key
        for key in wanted
        if key in named and named[key].shape != wanted[key].shape and key not in spared
    ]
    if wrong:
        shapes = (f"{k} {_shape(named[k])} there and {_shape(wanted[k])} here" for k in wrong[:5])
        raise ConfigError(f"{source} is for another architecture: {'; '.join(shapes)}.")


def _check_enough(
    fitting: set[str], needed: set[str], named: State, wanted: Mapping[str, Tensor], source: str
) -> None:
    """A few equal names, such as `conv1.weight`, are a coincidence."""
    if len(fitting) >= len(needed) / 2 and fitting:
        return
    matched = (
        f"only {len(fitting)} of {len(needed)} tensors match"
        if fitting
        else ("no tensor of it matches")
    )
    theirs = [key for key in named if key not in wanted][:5]
    ours = [key for key in wanted if key not in named][:5]
    raise ConfigError(
        f"{source} is for another architecture: {matched}; it has {', '.join(theirs)} where the "
        f"network has {', '.join(ours)}."
    )


def _check_whole(absent: list[str], unused: list[str], source: str) -> None:
    for count, what, names in (
        (len(unused), "that the network lacks", unused),
        (len(absent), "fewer than the network", absent),
    ):
        if count:
            raise ConfigError(
                f"{source} is for another architecture: it has {count} parameters {what} "
                f"({_few(names)}); to take what fits, add model.partial_weights=true."
            )


def _check_finite(fitting: State, buffers: Collection[str], source: str) -> None:
    """NaN is never a weight; a mask may well hold infinity."""
    wrong = [
        key
        for key, tensor in fitting.items()
        if tensor.is_floating_point()
        and bool(torch.isnan(tensor).any() if key in buffers else not tensor.isfinite().all())
    ]
    if wrong:
        raise ConfigError(
            f"{source} holds NaN or infinite numbers in {len(wrong)} tensors ({_few(wrong)}): its "
            "training failed; take an earlier checkpoint."
        )


def _spare(key: str, tensor: Tensor) -> bool:
    """Whether nothing of a network is lost with a tensor that it has no place for."""
    return bool(HEADS.match(key)) or not tensor.is_floating_point() or key.endswith(BUFFERS)


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


@torch.no_grad()
def soften_head(body: nn.Module, names: Collection[str]) -> None:
    """Draw the weights of a new head from N(0, 0.01), its biases become zero.

    Families draw their heads for a thousand classes: EfficientNet's rule, U(+-1/sqrt(classes)), is
    13 times wider at six, and the first steps of a training then spoil what the weights knew.

    Args:
        body: whose head is new.
        names: of the head's tensors that are new; those of a norm stay as they are.
    """
    normed = {name.rpartition(".")[0] for name in names if name.endswith(".running_mean")}
    for name, parameter in body.named_parameters():
        if name in names and parameter.ndim > 1:
            nn.init.normal_(parameter, std=HEAD_STD)
        elif name in names and name.rpartition(".")[0] not in normed:
            nn.init.zeros_(parameter)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _listed(title: str, names: list[str]) -> str:
    return f"; {title}: {_few(names)}" if names else ""


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"
