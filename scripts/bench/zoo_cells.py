"""What the zoo table says in one cell: a column's trial of one network, told in a few words.

- `reached 0.599`: of the MACs; planned, applied, ran forward and backward, saved, and reloaded with
  equal outputs.
- `not applicable 0.958`: by arithmetic on the layers' shapes, with the least ranks (1, but the
  three colours of an image stay), the step cannot get below that; it refused, and said so.
- `equal 3e-07`: largest difference of two logits, relative to the largest logit; `at 0.9 of the
  MACs` where the network was pruned to that, as `prune` could not get to its share.
- `yes`: done and compared.
- `before training: ...`: refused for the reason that follows, by what is asked before a training;
  `after training: ...`: refused only when it was done.
- `not asked: ...`: why two networks cannot be compared.
- `not installed`: the format's package is missing here.
"""

import copy
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from compression import compress, recalibrate
from compression.context import Context
from compression.cost import count_macs
from compression.errors import CompressionError
from compression.onnx import try_export
from compression.outputs import main_output
from compression.pruning import Prune
from compression.quantization import Quantize, QuantizeAware
from compression.quantization.settings import MIN_IMAGES
from compression.step import Step
from compression.structure import check_structure
from lightning_modules.deployment import export, format_named
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network, load_network, save_network
from scripts.bench.masked import enliven, masked_difference
from scripts.bench.zoo_networks import CLASSES, zoo_network
from scripts.bench.zoo_steps import SHARE, least_share, steps_of

SLACK = 1.021  # the tolerance of a target, and channels in multiples of 8
MOST = 0.9  # of the MACs, which all can be pruned to
EQUAL = 1e-4  # of the largest logit
NOT_INSTALLED = "not installed"


class Case:
    """One network of the table, with what several columns need of it.

    Args:
        name: of `zoo_networks.NETWORKS`.
    """

    def __init__(self, name: str) -> None:
        network, self.size = zoo_network(name)
        self.network = enliven(network)

    def images(self, number: int) -> Tensor:
        """Random uint8 N x 3 x H x W, always the same."""
        generator = torch.Generator().manual_seed(0)
        size = (number, 3, self.size, self.size)
        return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)

    @cached_property
    def normalized(self) -> Network:
        """With running statistics of its own activations, as a trained network has them.

        With others, what is calibrated in evaluation says nothing of a training step.
        """
        network = copy.deepcopy(self.network)
        recalibrate(network, [self.images(MIN_IMAGES)])
        return network

    @cached_property
    def pruned(self) -> Network | CompressionError:
        """To `SHARE` of the MACs, without BatchNorm's recalibration; or why it was refused."""
        try:
            return self.compressed(Prune(target={"macs": SHARE}))
        except CompressionError as error:
            return error

    def compressed(self, *steps: Step) -> Network:
        """A smaller network; its recipe holds the plans."""
        return compress(self.network, steps, sample=self.images(2))[0]

    @property
    def context(self) -> Context:
        """For a step that wants data."""
        batches = [(self.images(MIN_IMAGES), torch.arange(MIN_IMAGES) % CLASSES)]
        return Context(
            sample=self.images(2),
            image_size=(self.size, self.size),
            train_batches=lambda: batches,
            loss=nn.functional.cross_entropy,
        )


def prune(case: Case) -> str:
    """To `SHARE` of the MACs."""
    if isinstance(case.pruned, CompressionError):
        return _refused(case, [Prune(target={"macs": SHARE})], case.pruned)
    return _reached(case, case.pruned)


def masked(case: Case) -> str:
    """The pruned network against the original with the removed channels set to 0.

    Where `SHARE` of the MACs is out of reach, a little is taken out for the comparison.
    """
    smaller, told = case.pruned, ""
    if isinstance(smaller, CompressionError):
        try:
            smaller = case.compressed(Prune(target={"macs": MOST}))
        except CompressionError as error:
            return f"not asked: {error}"
        told = f" at {MOST} of the MACs"
    plan = smaller.recipe.entries[-1].plan
    found = masked_difference(case.network, smaller, plan, case.images(2))
    return f"{'equal' if found <= EQUAL else 'differs'} {found:.0e}{told}"


def factorized(case: Case, kind: str) -> str:
    """By `tucker` or `svd` to `SHARE` of the MACs."""
    steps = steps_of(case.network, case.size, kind)
    try:
        smaller = case.compressed(*steps)
    except CompressionError as error:
        bound = least_share(case.network, case.size, kind)
        if bound > SHARE * 1.02:
            return f"not applicable {bound:.3f}"
        return _refused(case, steps, error)
    return _reached(case, smaller)


def quantize(case: Case) -> str:
    """An int8 network that answers with numbers."""
    step = Quantize(images=MIN_IMAGES, method="minmax")
    try:
        int8 = step.apply(case.normalized, step.plan(case.normalized, case.context, 0))
    except CompressionError as error:
        return _refused(case, [step], error)
    return _answer(int8, case)


def quantize_aware(case: Case) -> str:
    """The same after a training step in which every parameter that learns gets a gradient."""
    step = QuantizeAware(images=MIN_IMAGES, method="minmax")
    learning = _with_gradient(copy.deepcopy(case.normalized), case)
    try:
        network = step.apply(case.normalized, step.plan(case.normalized, case.context, 0))
        lost = learning - _with_gradient(network.train(), case)
        if lost:
            return f"after training: no gradient reaches {', '.join(sorted(lost)[:3])}"
        # Random networks have gradients of any size.
        nn.utils.clip_grad_norm_(network.parameters(), 1e-2, error_if_nonfinite=True)
        torch.optim.SGD(network.parameters(), lr=1.0).step()
        int8 = step.finish(network.eval())
    except CompressionError as error:
        return _refused(case, [step], error)
    return _answer(int8, case)


def exported(case: Case, name: str) -> str:
    """Written in a format, opened, and compared on a few images."""
    try:
        form = format_named(name)
    except ConfigError as error:
        if "install" in str(error):
            return NOT_INSTALLED
        raise
    images = case.images(4).numpy()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"network{form.suffix}"
            report = export(
                case.network, form, path, resize_mode="stretch", images=images, image_source="noise"
            )
    except (CompressionError, ConfigError) as error:
        if name != "executorch" and (reason := try_export(case.network, case.size).reason):
            return f"before training: {reason}"
        return f"after training: {error}"
    return "yes" if report["max_batch"] is None else "yes, one image at a time"


COLUMNS: dict[str, Callable[[Case], str]] = {
    "prune": prune,
    "masked": masked,
    "tucker": lambda case: factorized(case, "tucker"),
    "svd": lambda case: factorized(case, "svd"),
    "quantize": quantize,
    "quantize_aware": quantize_aware,
    "onnx": lambda case: exported(case, "onnx"),
    "openvino": lambda case: exported(case, "openvino"),
    "executorch": lambda case: exported(case, "executorch"),
}


def _reached(case: Case, smaller: Network) -> str:
    """The share of the MACs, once all that a run does with a network has worked."""
    images = case.images(2)
    reached = count_macs(smaller, case.size) / count_macs(case.network, case.size)
    if reached > SHARE * SLACK:
        return f"after training: stopped at {reached:.3f} of the MACs"
    learner = copy.deepcopy(smaller).train()
    main_output(learner(images)).square().sum().backward()
    gradients = [p.grad for p in learner.parameters() if p.grad is not None]
    if not all(gradient.isfinite().all() for gradient in gradients):
        return "after training: a gradient is not finite"
    with tempfile.TemporaryDirectory() as folder:
        save_network(smaller, folder)
        with torch.no_grad():
            same = torch.equal(load_network(folder)(images), smaller(images))
        if not same:
            return "after training: it answers otherwise when it is loaded again"
    return f"reached {reached:.3f}"


def _answer(int8: nn.Module, case: Case) -> str:
    logits = int8(case.images(2))
    sound = logits.shape == (2, CLASSES) and bool(logits.isfinite().all())
    return "yes" if sound else "after training: its answers are no numbers"


def _with_gradient(network: nn.Module, case: Case) -> set[str]:
    """Names of the parameters that a step of training would change."""
    images, labels = case.images(2), torch.arange(2) % CLASSES
    nn.functional.cross_entropy(main_output(network(images)), labels).backward()
    return {name for name, p in network.named_parameters() if p.grad is not None}


def _refused(case: Case, steps: Sequence[Step], error: CompressionError) -> str:
    """The reason, and whether a run would give one before its training, by structure alone."""
    try:
        check_structure(case.network, {step.name: step for step in steps}, case.size)
    except CompressionError as before:
        return f"before training: {before}"
    return f"after training: {error}"
