import sys
from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from compression.errors import CompressionError
from compression.latency import measure as latency
from compression.latency.measure import measure_latency
from compression.onnx.export import export_onnx
from compression.onnx.network import onnx_session


class Tiny(nn.Module):
    """uint8 in, three logits out; remembers that it was called."""

    def __init__(self, name: str = "", calls: list | None = None, width: int = 4) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, width, 3), nn.Linear(width, 3)
        self.name, self.calls = name, calls

    def __deepcopy__(self, memo):
        twin = Tiny(self.name, self.calls, self.conv.out_channels)
        twin.load_state_dict(self.state_dict())
        return twin

    def forward(self, images):
        if self.calls is not None:
            self.calls.append((self.name, torch.get_num_threads()))
        return self.head(self.conv(images.float() / 255).relu().mean((2, 3)))


def test_networks_take_turns():
    calls, threads = [], torch.get_num_threads()
    networks = [Tiny("a", calls), Tiny("b", calls)]
    measured = measure_latency(networks, image_size=[8, 12], backend="eager", batch=2, repeats=9)
    assert len(calls) == 2 * (9 + latency.WARMUP)
    assert all(first != second for first, second in pairwise(calls))
    assert {n for _, n in calls} == {1} and torch.get_num_threads() == threads
    for result in measured:
        assert result.median_ms > 0 and result.iqr_ms >= 0
        assert (result.threads, result.batch, result.backend) == (1, 2, "eager")


def test_a_larger_network_takes_longer():
    small, large = measure_latency(
        [Tiny(), Tiny(width=256)], image_size=64, backend="eager", repeats=15
    )
    assert large.median_ms > 1.5 * small.median_ms


def test_onnxruntime_and_the_exported_file(tmp_path, capfd):
    (result,) = measure_latency([Tiny()], image_size=16, repeats=3)
    assert result.backend == "onnxruntime" and result.median_ms > 0 and result.device
    network = Tiny()
    path = export_onnx(network, tmp_path / "tiny.onnx", [10, 14])
    assert capfd.readouterr() == ("", "")
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.onnx"]
    graph = onnx.load(path).graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    images = torch.randint(0, 256, (5, 3, 10, 14), dtype=torch.uint8)
    (logits,) = onnx_session(str(path)).run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), network(images).detach())


def test_what_cannot_be_exported_leaves_nothing(tmp_path):
    class Branches(nn.Module):
        def forward(self, images):
            return images.float() if images.sum() > 3 else sys.maxsize * images.float()

    with pytest.raises(CompressionError, match="cannot be exported"):
        export_onnx(Branches(), tmp_path / "a.onnx", 8)
    assert not list(tmp_path.iterdir())


class Loops(Tiny):
    """Takes one image at a time in a file."""

    def forward(self, images):
        return torch.cat([self.head((i[None] / 255).mean((2, 3)) @ self.mix) for i in images])

    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.ones(3, 4))

    def __deepcopy__(self, memo):
        return Loops()


class Branches(nn.Module):
    """Has no graph."""

    def forward(self, images):
        pixels = images.float().mean((2, 3))
        return pixels if pixels.sum() > 3 else -pixels


@pytest.mark.slow
def test_what_fixes_its_batch_is_measured_at_it():
    for result in measure_latency([Loops()], image_size=8, batch=4, repeats=3):
        assert (result.backend, result.batch) == ("onnxruntime", 1)
        assert result.note == "Measured one image at a time: its file takes no other number."


def test_what_nothing_exports_is_measured_in_eager_mode():
    for result in measure_latency([Tiny(), Branches()], image_size=8, batch=2, repeats=3):
        assert (result.backend, result.batch) == ("eager", 2) and result.median_ms > 0
        assert result.note.startswith("Measured in eager PyTorch, not in onnxruntime. This network")
        assert "values of tensors decide" in result.note

    def own(network, images, threads):
        raise CompressionError("No kernel for it.")

    (result,) = measure_latency([Tiny()], image_size=8, backend=own, repeats=3)
    assert result.note == "Measured in eager PyTorch, not in own. No kernel for it."


def test_unknown_backend():
    with pytest.raises(CompressionError, match="onnxruntime and eager"):
        measure_latency([Tiny()], image_size=8, backend="tensorrt")


@pytest.mark.parametrize(("seconds", "turns"), [(1.0, 50), (0.01, 150), (1e-5, 500)])
def test_short_passes_take_more_turns(seconds, turns, monkeypatch):
    taken = []

    def interleaved_times(calls, repeats):
        taken.append(repeats)
        return np.full((len(calls), repeats), seconds)

    monkeypatch.setattr(latency, "interleaved_times", interleaved_times)
    times = latency.stable_times([print, print])
    assert sum(taken) == turns == times.shape[1]
