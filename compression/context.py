"""What a step may look at while it plans: the images, their loss and the costs so far."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from compression.images import ImageKind
from compression.layer_moments import InputMoments

Batches = Iterable[tuple[Tensor, Tensor]]  # (N x C x H x W as the network takes it, int64 N)


class RelativeLatency(Protocol):
    """Latencies as ratios of one network's, such as `compression.latency.RelativeLatency`."""

    @property
    def reference_ms(self) -> float:
        """Median milliseconds of the network whose latency is 1."""

    def ratio(self, network: nn.Module) -> float:
        """Median time of `network` over that of the reference."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a step may look at while it plans; all but the first three are optional."""

    sample: Tensor  # N x C x H x W as the network takes it
    image_size: tuple[int, int]  # height, width in pixels
    seed: int = 0
    train_batches: Callable[[], Batches] | None = None
    val_batches: Callable[[], Batches] | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None  # (logits N x classes, labels N)
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None  # {"val/f1": ...}
    # Of the network as it entered the step: `macs` (of one image), `params`, `file_bytes` (without
    # the header), and where the step has a latency target `latency` (ms).
    entry_cost: dict[str, float] = field(default_factory=dict)
    relative_latency: RelativeLatency | None = None  # to the network as it entered the step
    moments: InputMoments | None = None  # of the network as it entered the round
    fine_tuned: bool = False  # whether the network is trained after the step, or after a later one
    # Folder of sensitivity scans on just these batches, which are reused and added to.
    scans: Path | None = None
    # Before training only, where all values mean nothing: the network on the processor, with random
    # weights, for what must be run to be known.
    with_values: Callable[[], nn.Module] | None = None

    @cached_property
    def images(self) -> ImageKind:
        """The kind of images that the network takes."""
        return ImageKind.of(self.sample)
