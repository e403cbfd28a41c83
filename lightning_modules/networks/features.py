"""`Features`: what chosen modules of a network give, seen by forward hooks."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from compression.cost import observed_pass
from compression.errors import CompressionError
from lightning_modules.errors import ConfigError


class Features:
    """The outputs of some modules, of the latest forward pass inside `with`.

        with Features(network, ["layer2"]) as features:
            logits = network(images)
            features.outputs["layer2"]  # N x C x H x W, with its gradient

    The hooks exist only inside `with`, so that no copy, checkpoint or saved network carries them;
    on leaving, the tensors are let go. The network itself is never changed. Of a module that is
    called twice the last output counts; what an in-place layer does to an output shows in it.

    Args:
        network: any module.
        paths: names of modules as in `network.named_modules()`; `body.` may be left out.
        whole: those of them that may give something else than one tensor.

    Attributes:
        outputs: by path, as it was given.

    Raises:
        ConfigError: there is no such module (says the nearest ones), or, during the forward pass,
            it gives something else than a tensor.
    """

    def __init__(
        self, network: nn.Module, paths: Iterable[str], *, whole: Iterable[str] = ()
    ) -> None:
        self.outputs: dict[str, Any] = {}
        self._whole = frozenset(whole)
        self._modules = {path: find_module(network, path) for path in paths}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "Features":
        for path, module in self._modules.items():
            hook = partial(self._keep, path)
            self._handles.append(module.register_forward_hook(hook))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.outputs.clear()

    def _keep(self, path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor) and path not in self._whole:
            raise ConfigError(
                f"The module {path} ({type(module).__name__}) gives a {type(output).__name__}, not "
                "one tensor; name a module inside it or after it."
            )
        self.outputs[path] = output


def find_module(network: nn.Module, path: str) -> nn.Module:
    """The module called `path`, or `body.<path>`.

    Raises:
        ConfigError: there is none; says the nearest names.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    for name in _names(path):
        if name in modules:
            return modules[name]
    names = list(dict.fromkeys(name.removeprefix("body.") for name in modules))
    near = get_close_matches(str(path).removeprefix("body."), names, n=3, cutoff=0.0)
    raise ConfigError(
        f"The network has no module {path!r}; the nearest names are {', '.join(near)}."
    )


def has_module(network: nn.Module, path: str) -> bool:
    """Whether `find_module` would find one."""
    return any(name in _names(path) for name, _ in network.named_modules() if name)


@contextmanager
def _output_shapes(paths: list[str], network: nn.Module) -> Iterator[dict[str, torch.Size]]:
    shapes: dict[str, torch.Size] = {}
    with Features(network, paths) as features:
        yield shapes
        shapes |= {path: output.shape for path, output in features.outputs.items()}


def _names(path: str) -> tuple[str, str]:
    return path, f"body.{path}"


def feature_shapes(
    network: nn.Module, paths: Iterable[str], image_size: int | Sequence[int]
) -> dict[str, torch.Size]:
    """The shape, 1 x C x H x W, of each module's output for one image; nothing is computed.

    Raises:
        ConfigError: no such module, or it gives no tensor, or the network does not use it.
        CompressionError: the network cannot take images of that size.
    """
    paths = list(paths)
    try:
        shapes = observed_pass(network, image_size, partial(_output_shapes, paths))
    except CompressionError as error:
        if isinstance(error.__cause__, ConfigError):  # of a hook: it names the module
            raise error.__cause__ from None
        raise
    unused = [path for path in paths if path not in shapes]
    if unused:
        raise ConfigError(
            f"The network's forward pass does not call the module {unused[0]!r}, so there is "
            "nothing to see of it; name another one."
        )
    return shapes
