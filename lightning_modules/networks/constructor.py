"""A network's body made by its class or function, of whose arguments only the names are known."""

import inspect
import re
from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any

from torch import nn

from compression.errors import own_words
from lightning_modules.errors import USER_ERRORS, ConfigError, full_memory_said
from lightning_modules.registry import ROOTS, build, how_to_find
from lightning_modules.schema import nearest

# What constructors call the number of classes; the first that one has is meant.
CLASS_COUNTS = (
    "num_classes", "n_classes", "nb_classes", "nclasses", "numclasses", "number_of_classes",
    "class_count", "classes_num", "class_num", "num_class", "n_class", "nb_class", "nclass",
    "num_cls", "n_cls", "classes", "num_labels", "n_labels", "nc", "num_outputs", "n_outputs",
    "output_dim", "out_dim", "output_size", "out_features", "out_channels", "out_classes",
)  # fmt: skip
# The side of square images, [height, width] of others, where `image_size` gets both.
SIDES = ("img_size", "image_resolution", "input_resolution", "resolution")
# Images have three channels: said where an argument has no default, or that of grey ones.
CHANNELS = ("in_channels", "in_chans", "in_ch", "input_channels", "in_planes", "channels_in")
TEMPLATE = (
    "class Net(nn.Module): def __init__(self, num_classes, width=32): ...; or name a function that "
    "makes it, as def net(num_classes): return {name}(...) (docs/your_own_network.md)"
)


def make_body(
    body: Mapping[str, Any], *, num_classes: int, size: tuple[int, int], pretrained: bool
) -> nn.Module:
    """The module that a class or function makes: N x 3 x H x W -> logits N x `num_classes`.

    It gets the number of classes by the name that its signature has for it, the size of the
    images where it has an argument for it, and what the node says.

    Args:
        body: `_target_` and the keys that are arguments of it.
        num_classes: number of logits.
        size: (height, width) in pixels of the images that it will see.
        pretrained: whether it is to download its weights.

    Raises:
        ConfigError: there is no such class, it takes no number of classes or other arguments,
            fails, or makes no module.
    """
    target, factory = _factory(body)
    accepted = _arguments(target, factory)
    extra = _found(target, accepted, body, num_classes, size)
    if pretrained:
        _check_pretrained(target, accepted)
        extra["pretrained"] = True
    rest = {key: value for key, value in body.items() if key != "_target_"}
    if getattr(factory, "reads_rows", False) and "_target_" in str(rest):
        body = {**body, "_recursive_": False}
    try:
        with full_memory_said():
            made = build(dict(body), **extra)
    except TypeError as error:
        raise ConfigError(_said(target, error, accepted)) from error
    except USER_ERRORS as error:
        told = error.__cause__
        if isinstance(told, TypeError) and not _own(target):
            raise ConfigError(_said(target, told, accepted)) from told
        raise
    except Exception as error:  # whatever a constructor raises
        raise ConfigError(f"{target} cannot be built: {own_words(error)}.") from error
    if not isinstance(made, nn.Module):
        raise ConfigError(
            f"model._target_={target} makes a {type(made).__name__}, not a torch.nn.Module."
        )
    return made


def _factory(body: Mapping[str, Any]) -> tuple[str, Callable[..., Any]]:
    target = body.get("_target_")
    if not target:
        raise ConfigError("The model node needs a _target_ that makes the network's body.")
    try:
        factory = resolve_name(target)
    except Exception as error:  # whatever the import raises
        reason = f"{own_words(error)}{how_to_find(error, target)}"
        raise ConfigError(f"{target} cannot be built: {reason}.") from error
    if isinstance(factory, nn.Module):
        raise ConfigError(
            f"model._target_={target} is a network already; name its class, or a function that "
            f"makes a new one: {TEMPLATE.format(name=type(factory).__name__)}."
        )
    if not callable(factory):
        raise ConfigError(f"model._target_={target} is no class and no function.")
    return target, factory


def _arguments(target: str, factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError) as error:  # written in C
        raise ConfigError(f"{target} cannot be built: {own_words(error)}.") from error
    return {
        name: argument
        for name, argument in signature.parameters.items()
        if argument.kind not in (argument.POSITIONAL_ONLY, argument.VAR_POSITIONAL)
    }


def _found(
    target: str,
    accepted: Mapping[str, inspect.Parameter],
    body: Mapping[str, Any],
    num_classes: int,
    size: tuple[int, int],
) -> dict[str, Any]:
    """The arguments that follow from the data, by the names that the signature has for them."""
    extra: dict[str, Any] = {}
    name = _class_count(target, accepted, body)
    if name not in body:
        extra[name] = num_classes
    if "image_size" in accepted and "image_size" not in body:
        side = re.search(r"\bint\b", str(accepted["image_size"].annotation)) and size[0] == size[1]
        only_int = side and "tuple" not in str(accepted["image_size"].annotation).lower()
        extra["image_size"] = size[0] if only_int else size
    if _own(target):
        return extra
    for name in set(SIDES) & accepted.keys() - body.keys():
        extra[name] = size[0] if size[0] == size[1] else size
    for name in set(CHANNELS) & accepted.keys() - body.keys():
        if accepted[name].default in (inspect.Parameter.empty, 1):
            extra[name] = 3
    return extra


def _class_count(
    target: str, accepted: Mapping[str, inspect.Parameter], body: Mapping[str, Any]
) -> str:
    for name in CLASS_COUNTS:
        if name in accepted and not _holds_several(accepted[name]):
            return name
    if _open_ended(accepted):
        return next((name for name in CLASS_COUNTS if name in body), CLASS_COUNTS[0])
    name = target.rpartition(".")[2]
    taken = ", ".join(accepted) or "nothing"
    raise ConfigError(
        f"{target} takes {taken}, and no number of classes by a name such as "
        f"{', '.join(CLASS_COUNTS[:2])}, classes or nc; give it one: {TEMPLATE.format(name=name)}."
    )


def _holds_several(argument: inspect.Parameter) -> bool:
    """Whether an argument is annotated as the names of the classes, not their number."""
    words = str(argument.annotation).lower()
    return any(word in words for word in ("list", "tuple", "sequence", "iterable", "dict"))


def _check_pretrained(target: str, accepted: Mapping[str, inspect.Parameter]) -> None:
    if "pretrained" not in accepted and not _open_ended(accepted):
        raise ConfigError(
            f"{target} has no weights to download; leave model.pretrained=false and give a file "
            f"with model.weights=PATH."
        )


def _said(target: str, error: TypeError, accepted: Mapping[str, inspect.Parameter]) -> str:
    """What Python says of arguments, and what to type."""
    text = own_words(error)
    if found := re.search(r"unexpected keyword argument '(\w+)'", text):
        text += f"{nearest(found[1], accepted)}; it takes {', '.join(accepted)}"
    elif found := re.search(r"missing \d+ required .*arguments?: (.*)", str(error)):
        words = (f"model.{name}=..." for name in re.findall(r"'(\w+)'", found[1]))
        text += f"; give {' '.join(words)}"
    return f"{target} cannot be built: {text}."


def _open_ended(accepted: Mapping[str, inspect.Parameter]) -> bool:
    return any(argument.kind is argument.VAR_KEYWORD for argument in accepted.values())


def _own(target: str) -> bool:
    return target.partition(".")[0] in ROOTS
