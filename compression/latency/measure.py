"""Latency, measured fairly: several networks take turns, so that a busy machine slows them all."""

import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from compression.errors import CompressionError
from compression.images import RAW_PIXELS, ImageKind
from compression.latency.threads import torch_threads
from compression.network_copy import copy_network
from compression.onnx import export_onnx, fixed_batch, onnx_session
from compression.onnx.failure import first_line

if TYPE_CHECKING:
    import onnxruntime

# A network, images N x C x H x W and threads -> one forward pass, ready to be timed.
MakePass = Callable[[nn.Module, np.ndarray, int], Callable[[], object]]
WARMUP = 5
# Timed passes of each network: on a busy machine the medians of 50 short passes of one and the same
# network were seen to differ by a factor of two, those of 300 by 2 %.
MIN_REPEATS, MAX_REPEATS = 50, 500
SECONDS = 3.0  # to spend on a comparison, within these bounds


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The time of one forward pass of one batch, and under which conditions.

    Attributes:
        median_ms: milliseconds.
        iqr_ms: between the quartiles.
        device: the processor.
        threads: of the backend.
        batch: images per forward pass.
        backend: that ran it.
        note: a sentence that says why batch or backend are not those that were asked for.
    """

    median_ms: float
    iqr_ms: float
    device: str
    threads: int
    batch: int
    backend: str
    note: str = ""


def measure_latency(
    networks: Sequence[nn.Module],
    *,
    image_size: int | Sequence[int],
    backend: str | MakePass = "onnxruntime",
    threads: int = 1,
    batch: int = 1,
    repeats: int | None = None,
    images: ImageKind = RAW_PIXELS,
) -> list[Latency]:
    """Time copies of `networks` on the CPU, one forward pass each in turn.

    All of them in the same way: in eager mode where the backend cannot run one of them, and one
    image at a time where one of them takes no other number; `Latency.note` says so.

    Args:
        networks: take N x C x H x W, uint8 N x 3 x H x W by default.
        image_size: an int or [height, width] in pixels.
        backend: `onnxruntime` is how small networks are shipped, and up to ten times faster than
            `eager` PyTorch; exporting takes some seconds per network. Or a function that makes a
            forward pass in anything else.
        threads: of the backend.
        batch: images per forward pass.
        repeats: timed passes of each network; None: 50 to 500, the shorter they are the more.
        images: the kind that the networks take.

    Raises:
        CompressionError: unknown backend.
    """
    make = PASSES.get(backend) if isinstance(backend, str) else backend
    if make is None:
        raise CompressionError(f"Unknown backend {backend!r}; there are {' and '.join(PASSES)}.")
    name = backend if isinstance(backend, str) else getattr(backend, "__name__", "own")
    pixels, note = random_images(image_size, batch, images), ""
    try:
        calls = [make(network, pixels, threads) for network in networks]
        if batch > 1 and any(getattr(call, "batch", batch) == 1 for call in calls):
            batch, note = 1, "Measured one image at a time: its file takes no other number."
            calls = [make(network, pixels[:1], threads) for network in networks]
    except CompressionError as error:
        if make is eager_call:
            raise
        note = f"Measured in eager PyTorch, not in {name}. {error}"
        name = "eager"
        calls = [eager_call(network, pixels, threads) for network in networks]
    with torch_threads(threads):
        times = stable_times(calls) if repeats is None else interleaved_times(calls, repeats)
    latency = partial(
        Latency, device=processor(), threads=threads, batch=batch, backend=name, note=note
    )
    low, median, high = 1e3 * np.percentile(times, (25, 50, 75), axis=1)
    return [
        latency(median_ms=float(m), iqr_ms=float(h - lo))
        for lo, m, h in zip(low, median, high, strict=True)
    ]


def interleaved_times(calls: Sequence[Callable[[], object]], repeats: int) -> np.ndarray:
    """Seconds of each call, calls x repeats; one run of each in turn, after a few to warm up."""
    times = np.empty((len(calls), repeats))
    for turn in range(-WARMUP, repeats):
        for index, call in enumerate(calls):
            start = perf_counter()
            call()
            if turn >= 0:
                times[index, turn] = perf_counter() - start
    return times


def stable_times(calls: Sequence[Callable[[], object]]) -> np.ndarray:
    """Seconds of each call, calls x turns; the shorter they are, the more turns they take."""
    times = interleaved_times(calls, MIN_REPEATS)
    turns = int(SECONDS / np.median(times, axis=1).sum())
    if turns > MIN_REPEATS:
        times = np.hstack([times, interleaved_times(calls, min(turns, MAX_REPEATS) - MIN_REPEATS)])
    return times


def random_images(
    image_size: int | Sequence[int], batch: int = 1, kind: ImageKind = RAW_PIXELS
) -> np.ndarray:
    """Images to time a network with, batch x C x H x W.

    Raises:
        CompressionError: numbers that nothing but PyTorch knows.
    """
    if kind.dtype == torch.bfloat16:
        raise CompressionError(
            "A network of bfloat16 images cannot be timed outside PyTorch; give network.float() "
            "and floating images."
        )
    return kind.random(image_size, batch).numpy()


def onnx_call(
    network: nn.Module, images: np.ndarray, threads: int = 1, *, compare: bool = True
) -> Callable[[], object]:
    """One forward pass in onnxruntime, ready to be timed; see `export_onnx` for `compare`.

    Raises:
        CompressionError: the network cannot be exported, or not be run there.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        kind = ImageKind.of(torch.from_numpy(images))
        export_onnx(network, path, images.shape[-2:], compare=compare, images=kind)
        try:
            call = SessionCall(onnx_session(str(path), threads=threads), images)
            call()
        except Exception as error:  # onnxruntime's own have no common base
            reason = first_line(error)
            raise CompressionError(f"onnxruntime cannot run this network: {reason}.") from error
    return call


class SessionCall:
    """One forward pass of a graph.

    Args:
        session: of a graph with one input.
        images: N x C x H x W.

    Attributes:
        batch: how many of the images go through: the only number that the graph takes, or all.
    """

    def __init__(self, session: "onnxruntime.InferenceSession", images: np.ndarray) -> None:
        self.batch = fixed_batch(session) or len(images)
        self._run = partial(session.run, None, {"images": images[: self.batch]})

    def __call__(self) -> object:
        return self._run()


def eager_call(network: nn.Module, images: np.ndarray, threads: int = 1) -> Callable[[], object]:
    """One forward pass in PyTorch, one operation after the other, ready to be timed."""
    twin = copy_network(network).to("cpu").to(memory_format=torch.contiguous_format).eval()
    batch = torch.from_numpy(images)

    @torch.inference_mode()
    def call() -> object:
        return twin(batch)

    return call


PASSES: dict[str, MakePass] = {"onnxruntime": onnx_call, "eager": eager_call}


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or "cpu"
