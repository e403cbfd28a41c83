"""The engine: runs steps round by round, for plain PyTorch as for an experiment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from compression.context import Batches, Context
from compression.cost import network_cost
from compression.errors import CompressionError
from compression.evaluation_mode import evaluation_mode
from compression.latency import RelativeLatency
from compression.layer_moments import InputMoments
from compression.onnx import is_onnx_network
from compression.outputs import main_output
from compression.recalibration import recalibrate
from compression.recipe import Entry, Recipe
from compression.step import Step
from compression.steps import batch_norm_refusal

FineTune = Callable[[nn.Module, Step, int], nn.Module | None]


def check_order(steps: Sequence[Step], done: Recipe | None = None) -> None:
    """Refuse a chain in which anything follows a step that must be last, such as quantisation.

    Or one that reads BatchNorm, where an earlier step folded that into other layers.

    Args:
        steps: in the order in which they are to be done.
        done: what had been done to the network before.

    Raises:
        CompressionError: names both steps, or what is no step.
    """
    wrong: Any
    for wrong in [step for step in steps if not isinstance(step, Step)]:
        kind = wrong if isinstance(wrong, type) else type(wrong)
        better = "make an object of it" if kind is wrong else "derive it from compression.Step"
        raise CompressionError(
            f"{kind.__module__}.{kind.__qualname__} is no compression step; {better}."
        )
    for step, following in pairwise(steps):
        if step.last:
            raise CompressionError(
                f"{step.name} must be the last step, but {following.name} follows it."
            )
    known = [entry.known_class() for entry in (done.entries if done else ())]
    folded = [kind.name for kind in known if kind is not None and kind.folds_batch_norm]
    for step in steps:
        reading = step.reads_batch_norm
        if folded and reading is not None:
            raise CompressionError(batch_norm_refusal(folded[0], f"{step.name}.{reading}"))
        folded += [step.name] if step.folds_batch_norm else []


def no_images(step: Step) -> CompressionError:
    """The refusal of a step that weighs layers on images that are not there."""
    return CompressionError(
        f"{step.name} weighs each layer by what treating it does to the logits of training images, "
        "and there are none here; give batches=, or choose another way than optimal."
    )


def run_round(
    step: Step, network: nn.Module, context: Context, round: int
) -> tuple[nn.Module, Entry]:
    """One round without its fine-tuning: plan, apply, recalibrate BatchNorm.

    A step that keeps the outputs keeps the running statistics too.

    `network` stays as it is; the new one comes back with the entry for the recipe. Where there are
    training images, the step sees what they make of the inputs of layers.

    Raises:
        CompressionError: the step cannot be done on this network.
    """
    context = with_moments(context, network)
    entry = Entry.of(step, step.plan(network, context, round))
    smaller = step.apply(network, entry.plan, context)
    if context.train_batches is not None and not step.keeps_outputs:
        recalibrate(smaller, context.train_batches())
    return smaller, entry


def with_moments(context: Context, network: nn.Module) -> Context:
    """The context with what training images, where there are any, make of the inputs of layers.

    Args:
        context: stays as it is.
        network: that enters a round.
    """
    if context.train_batches is None or is_onnx_network(network):
        return context
    moments = InputMoments(network, context.train_batches, seed=context.seed)
    return replace(context, moments=moments)


def compress(
    network: nn.Module,
    steps: Sequence[Step],
    *,
    sample: Tensor,
    batches: Batches | None = None,
    val_batches: Batches | None = None,
    fine_tune: FineTune | None = None,
    seed: int = 0,
    scans: Path | None = None,
) -> tuple[nn.Module, Recipe]:
    """Make any plain PyTorch network smaller, without Hydra or Lightning.

    Args:
        network: stays as it is; maps the sample to logits N x classes.
        steps: done in this order, each in its own number of rounds.
        sample: a batch as the network takes it, N x 3 x H x W; its size is the image size.
        batches: (images, labels) for BatchNorm and data-driven steps; iterated more than once,
            so a list or a `DataLoader`, not a generator.
        val_batches: more of them, on which networks are evaluated; where there are none, those
            above.
        fine_tune: called with (network, step, round) after each round; trains in place, or
            returns the network to go on with.
        seed: for steps that draw anything.
        scans: folder in which sensitivity scans on just these batches are kept and found again.

    Returns:
        The smaller network and the recipe that rebuilds its structure, with what had been done to
        a network that carries a `recipe` already.

    Raises:
        CompressionError: the chain's order is wrong, the network is none that can be changed, it
            cannot take the sample, or a step cannot be done on it.
    """
    check_order(steps, getattr(network, "recipe", None))
    for step in steps:
        if step.needs_images and batches is None:
            raise no_images(step)
    check_network(network, sample)
    for name, given in {"batches": batches, "val_batches": val_batches}.items():
        if isinstance(given, Iterator):
            raise CompressionError(
                f"{name} is a {type(given).__name__}, which is empty once it was read; give a list "
                "or a DataLoader."
            )
    recipe = Recipe(list(getattr(network, "recipe", Recipe()).entries))
    common = Context(
        sample=sample,
        image_size=(sample.shape[-2], sample.shape[-1]),
        seed=seed,
        train_batches=None if batches is None else lambda: batches,
        val_batches=None if val_batches is None else lambda: val_batches,
        scans=scans,
        fine_tuned=fine_tune is not None,
    )
    for step in steps:
        context = _entered(common, step, network)
        for round in range(step.rounds):
            network, entry = run_round(step, network, context, round)
            recipe.entries.append(entry)
            tuned = fine_tune(network, step, round) if fine_tune is not None else None
            network = network if tuned is None else tuned
        network = step.finish(network)
    if hasattr(network, "recipe"):  # a network that carries its own history
        setattr(network, "recipe", recipe)  # noqa: B010 - a module declares no such attribute
    return network, recipe


def check_network(network: nn.Module, sample: Tensor) -> None:
    """Refuse what is no network of Python modules with weights, or cannot take the sample.

    Args:
        network: stays as it is.
        sample: a batch as the network takes it, N x C x H x W.

    Raises:
        CompressionError: one sentence on what is wrong and what to give instead.
    """
    if not isinstance(network, nn.Module):
        raise CompressionError(
            f"What is to be compressed must be a torch.nn.Module, not {type(network).__name__}."
        )
    tensors = (*network.parameters(), *network.buffers())
    if any(tensor.is_meta for tensor in tensors) and not is_onnx_network(network):
        raise CompressionError(
            "The network lies on the meta device, where its weights have no values; give one with "
            "weights."
        )
    for name, module in network.named_modules():
        wrong = _unchangeable(module)
        if wrong is not None:
            raise CompressionError(f"{f'The module {name}' if name else 'The network'} {wrong}.")
    if not isinstance(sample, Tensor) or sample.dim() != 4:
        found = list(sample.shape) if isinstance(sample, Tensor) else type(sample).__name__
        raise CompressionError(f"sample must be a batch of images, N x C x H x W, not {found}.")
    _require_pass(network, sample)


def _unchangeable(module: nn.Module) -> str | None:
    """Why no step can change a module, and what to give instead."""
    if isinstance(module, torch.jit.ScriptModule):
        return "is TorchScript, which cannot be changed; give the module that it was made from"
    if "train" in vars(module):  # torch.export's
        return "is an exported graph; give the module that it was made from"
    if hasattr(module, "_orig_mod"):  # torch.compile's
        return "is compiled; give the one that torch.compile was given, its _orig_mod"
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return f"is {type(module).__name__}; give the one inside, its module"
    tensors = (*module._parameters.values(), *module._buffers.values())
    if any(tensor is not None and is_lazy(tensor) for tensor in tensors):
        kind = type(module).__name__
        return f"is {kind} without weights yet; pass a batch through the network first"
    return None


def _require_pass(network: nn.Module, sample: Tensor) -> None:
    images = sample[:2].to(_device(network))
    try:
        with evaluation_mode(network), torch.no_grad(), torch.random.fork_rng(devices=[]):
            main_output(network(images))
    except CompressionError:
        raise
    except Exception as error:  # whatever the network's own code raises
        kind = f"{str(sample.dtype).removeprefix('torch.')} {list(sample.shape)}"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise CompressionError(f"The network cannot take the sample ({kind}): {reason}.") from error


def _device(network: nn.Module) -> torch.device:
    tensors = (*network.parameters(), *network.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def entry_latency(step: Step, latency: RelativeLatency) -> dict[str, float]:
    """The part of `Context.entry_cost` that is measured: only where the step's target asks."""
    target = getattr(step, "target", None)
    asked = getattr(target, "measure", None) == "latency"
    return {"latency": latency.reference_ms} if asked else {}


def _entered(context: Context, step: Step, network: nn.Module) -> Context:
    """The context with what is known of the network as it enters a step."""
    size = context.image_size
    latency = RelativeLatency(network, size, context.images)
    measures = ("macs", "params", "file_bytes")
    costs: dict[str, float] = {name: network_cost(network, name, size) for name in measures}
    costs |= entry_latency(step, latency)
    return replace(context, entry_cost=costs, relative_latency=latency)
