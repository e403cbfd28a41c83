"""A latency that is computed instead of measured: the same on every machine."""

from collections.abc import Callable

import numpy as np
import pytest
from torch import nn

from compression.cost.macs import count_macs
from compression.latency import measure as latency
from compression.latency import relative_latency
from compression.pruning import width_times

OVERHEAD = 0.25  # of the first network's time; the rest goes with the MACs


@pytest.fixture
def fake_latency(monkeypatch) -> list[float]:
    """Milliseconds of each network that was 'exported', in order: overhead and MACs.

    A single layer that may be pruned takes the longer, the more weights it has.
    """
    exported: list[float] = []
    whole: list[int] = []

    def onnx_call(network: nn.Module, images: np.ndarray, **_) -> float:
        macs = count_macs(network, images.shape[-2:])
        whole.append(macs)
        exported.append(8 * (OVERHEAD + (1 - OVERHEAD) * macs / whole[0]))
        return exported[-1]

    def interleaved_times(calls: list[float], repeats: int) -> np.ndarray:
        assert len(calls) <= 2 and repeats > 0
        return np.array(calls)[:, None] / 1e3

    def compare_layers(layers: list) -> list[float]:
        return [sum(parameter.numel() for parameter in layer.parameters()) for layer, _ in layers]

    monkeypatch.setattr(width_times, "compare_layers", compare_layers)
    monkeypatch.setattr(relative_latency, "onnx_call", onnx_call)
    monkeypatch.setattr(latency, "interleaved_times", interleaved_times)
    return exported


def scripted(latency_at: Callable[[float], float], least: float = 0.0):
    """`candidate_at` and `latency_of` for a search, and the shares that were measured."""
    from compression.bisection import UnreachableTargetError

    asked: list[float] = []

    def candidate_at(ratio: float) -> tuple[str, nn.Module]:
        if ratio < least:
            raise UnreachableTargetError("no further", least, 1.0)
        return f"plan {ratio:.4f}", nn.Linear(1, max(1, round(1e6 * ratio)), device="meta")

    def latency_of(network: nn.Module) -> float:
        asked.append(network.out_features / 1e6)
        return latency_at(asked[-1])

    return candidate_at, latency_of, asked
