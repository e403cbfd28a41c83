"""What can be done with a network, tried before any training: each answer with its reason.

A network of one's own meets here, in a minute, all that a run would do to it: a pass of training,
each compression step as far as structure decides it, each format.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pkgutil import resolve_name

from compression.bisection import UnreachableTargetError
from compression.cost import count_macs, count_params
from compression.errors import CompressionError
from compression.images import RAW_PIXELS
from compression.onnx import Exportability, is_onnx_network, suppress_output, try_export
from compression.step import Step
from compression.steps import STEPS
from compression.structure import check_structure
from lightning_modules.deployment.exporting import export
from lightning_modules.deployment.formats import Format, known_formats
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network
from lightning_modules.training.first_step import untrained_parameters

FEWEST = 1e-9  # of the MACs: a target that no step reaches, so that it says how far it comes
IMAGES = 4  # random ones, for a pass of training and to compare a file with the network
NAMED = 4  # parameters that a sentence names


@dataclass(frozen=True)
class Support:
    """An answer.

    Attributes:
        kind: of what was tried: `training`, `compression`, `export` or `latency`.
        name: of it.
        answer: `yes`, `no`, or `?` where a package that is needed is not installed.
        reason: why not, or what it comes to; may be empty.
    """

    kind: str
    name: str
    answer: str
    reason: str = ""


def supported(network: Network) -> Iterator[Support]:
    """One answer after the other; nothing that goes wrong inside the network's code is raised.

    Args:
        network: with weights, on the processor; stays as it is.
    """
    yield _answer("training", "cost", partial(_cost, network))
    yield _answer("training", "train", partial(_trained, network))
    for name in STEPS.paths:
        yield _answer("compression", name, partial(_compressed, network, name))
    for form in known_formats():
        yield _answer("export", form.name, partial(_exported, network, form))
    yield _latency(network)


class _MissingError(Exception):
    """A package is not installed; says which."""


def _answer(kind: str, name: str, attempt: Callable[[], str]) -> Support:
    try:
        with suppress_output(stdout=True, stderr=True):
            return Support(kind, name, "yes", attempt())
    except _MissingError as error:
        return Support(kind, name, "?", str(error))
    except Exception as error:  # whatever the code of the network, or of a library, raises
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Support(kind, name, "no", text.removeprefix(f"{name}: "))


def _cost(network: Network) -> str:
    macs = count_macs(network, network.image_size)
    return f"{macs:,} MACs, {count_params(network):,} parameters"


def _trained(network: Network) -> str:
    """A forward and a backward pass on random images; names what they do not reach."""
    if is_onnx_network(network):
        raise ConfigError("An int8 network cannot be trained; take the run it was made from.")
    idle = untrained_parameters(network)
    if not idle:
        return "every parameter gets a gradient"
    more = f" and {len(idle) - NAMED} more" if len(idle) > NAMED else ""
    return f"no gradient reaches {', '.join(idle[:NAMED])}{more}"


def _compressed(network: Network, name: str) -> str:
    if is_onnx_network(network):
        raise ConfigError("No step follows quantisation; take the run that it was made from.")
    kind = resolve_name(STEPS.paths[name])
    step = _installed(kind)
    least = _least_macs(network, name, kind) if hasattr(step, "target") else None
    far = "" if least is None else f"down to {least:.2f} of the MACs"
    try:
        untold = check_structure(network, {name: step}, network.image_size)
    except CompressionError as error:
        if least is None:
            raise
        return f"{far}; not by its usual settings ({str(error).removeprefix(f'{name}: ')})"
    if untold:
        raise ConfigError(untold[0])
    return far


def _installed(kind: type[Step]) -> Step:
    """The step with its usual settings; making it refuses a package that is missing."""
    try:
        return kind()
    except CompressionError as error:
        raise _MissingError(str(error)) from error


def _least_macs(network: Network, name: str, kind: Callable[..., Step]) -> float | None:
    """How far the step comes, as a ratio of the MACs: it says so of a target out of reach."""
    try:
        check_structure(network, {name: kind(target={"macs": FEWEST})}, network.image_size)
    except UnreachableTargetError as error:
        return error.minimum if error.minimum < error.maximum else None
    except CompressionError:
        return None
    return 0.0


def _exported(network: Network, form: Format) -> str:
    try:
        form.require()
    except ConfigError as error:
        raise _MissingError(str(error)) from error
    batch = 1 if _batch(network).batch == "fixed" else IMAGES
    pixels = RAW_PIXELS.random(network.image_size, batch).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"network{form.suffix}"
        found = export(
            network, form, path, resize_mode="stretch", images=pixels, image_source="random images"
        )
    return f"{found['bytes']:,} bytes"


def _latency(network: Network) -> Support:
    """What would be timed: the default backend, or what is left where it cannot have the network.

    Never `no`: where nothing exports a network, it is timed as it is.
    """
    found = _batch(network)
    how = {
        "free": "in onnxruntime",
        "fixed": f"in onnxruntime, one image at a time. {found.reason}",
        "none": f"in eager mode. {found.reason}",
    }
    return Support("latency", "latency", "yes", how[found.batch])


def _batch(network: Network) -> Exportability:
    with suppress_output(stdout=True, stderr=True):
        return try_export(network, network.image_size)
