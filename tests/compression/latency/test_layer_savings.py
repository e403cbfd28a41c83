import pytest
import torch
from torch import nn

from compression.context import Context
from compression.cost.geometry import layer_macs
from compression.latency.layer_advice import advise, elements_moved
from compression.latency.layer_savings import layer_savings
from compression.pruning.prune import Prune

FLOOR = 0.01  # ms


class Unit(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x)


def stack(width=16):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), Unit(width), Unit(width), nn.Conv2d(width, 8, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    ).eval()  # fmt: skip


@pytest.fixture
def timer():
    """A microsecond for 1000 MACs and a floor for each part; `asked` holds each measurement."""

    def measure(layers):
        measure.asked.append([tuple(shape) for _, shape in layers])
        parts = [len(one) if isinstance(one, nn.Sequential) else 1 for one, _ in layers]
        macs = [layer_macs(*pair) for pair in layers]
        return [FLOOR * part + m / 1e6 for part, m in zip(parts, macs, strict=True)]

    measure.asked = []
    return measure


def test_each_kind_of_change(timer):
    before, after = stack(), stack()
    after[1] = nn.Identity()
    after[2].conv = nn.Sequential(nn.Conv2d(16, 4, 1, bias=False), nn.Conv2d(4, 16, 3, padding=1))
    rows = layer_savings(before, after, 10, timer=timer)
    assert [(row.layer, row.change) for row in rows] == [
        ("0", "none"), ("1.conv", "removed"), ("2.conv", "factorised"), ("3", "none"),
        ("6", "none"),
    ]  # fmt: skip
    assert rows[1].macs == (16 * 16 * 9 * 100, 0) and rows[1].ms[1] == 0
    assert rows[2].macs == (16 * 16 * 9 * 100, 16 * 4 * 10 * 100)
    assert rows[2].ms == pytest.approx((0.01 + 0.2304, 0.02 + 0.064))
    assert rows[0].ms[0] == rows[0].ms[1] and rows[0].advice is None


def test_pairs_of_one_shape_are_timed_once(timer):
    before = stack()
    layer_savings(before, stack(), 10, timer=timer)
    # The floor, the stem, both units at once, the 1x1 and the classifier.
    assert len(timer.asked) == 5 and all(len(shapes) == 1 for shapes in timer.asked)


def test_a_factorised_layer_that_is_removed_or_shrunk_later(timer):
    before, removed, shrunk = stack(), stack(), stack()
    for network, rank in ((before, 8), (removed, 8), (shrunk, 4)):
        network[1].conv = nn.Sequential(
            nn.Conv2d(16, rank, 1, bias=False), nn.Conv2d(rank, 16, 3, padding=1)
        )
    removed[1] = nn.Identity()
    found = {row.layer: row for row in layer_savings(before, removed, 10, timer=timer)}
    assert found["1.conv"].change == "removed" and "1.conv.0" not in found
    found = {row.layer: row for row in layer_savings(before, shrunk, 10, timer=timer)}
    assert found["1.conv"].change == "factorised"
    assert found["1.conv"].macs[1] == found["1.conv"].macs[0] / 2


def test_pruned_channels_change_shapes_too(timer):
    network = stack(32)
    images = torch.rand(2, 3, 10, 10)
    step = Prune(ratio=0.5)
    after = step.apply(network, step.plan(network, Context(sample=images, image_size=(10, 10)), 0))
    rows = {row.layer: row for row in layer_savings(network, after, 10, timer=timer)}
    assert rows["1.conv"].change == "narrower"
    assert rows["1.conv"].macs[1] == after[1].conv.weight.numel() * 100
    assert [(1, 32, 10, 10), (1, after[1].conv.in_channels, 10, 10)] in timer.asked


def test_another_network_gives_no_rows(timer):
    assert layer_savings(stack(), nn.Sequential(nn.Flatten()), 10, timer=timer) == []


def conv(inputs, outputs, kernel=1, **settings):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, device="meta", **settings)


@pytest.mark.parametrize(
    ("layer", "left", "ms", "says"),
    [
        (conv(64, 64), conv(32, 32), (1.0, 0.3), None),  # time follows
        (conv(64, 64), conv(64, 64), (1.0, 1.0), None),  # no MACs saved
        (conv(64, 64), conv(30, 44), (1.0, 0.9), r"channels \(30, 44\) are no multiple of 8"),
        (conv(3, 64), conv(3, 32), (1.0, 0.9), None),  # the image's channels are nobody's choice
        (conv(64, 64), conv(32, 32), (0.028, 0.025), "launch-bound"),
        (conv(64, 64, 3, groups=64), conv(32, 32, 3, groups=32), (1.0, 0.9), "depthwise: onnxrunt"),
        (
            conv(64, 64),
            nn.Sequential(conv(64, 16, bias=False), conv(16, 64)),
            (1.0, 1.1),
            r"moves 1\.\d x the memory of the layer",
        ),
        (
            conv(64, 64, 3),
            nn.Sequential(conv(64, 12, bias=False), conv(12, 12, 3), conv(12, 64)),
            (0.5, 0.45),
            "moves|no multiple",
        ),
        (conv(64, 64), conv(32, 32), (1.0, 0.9), None),  # no known reason
    ],
)
def test_advice(layer, left, ms, says):
    def shape(one):
        first = one[0] if isinstance(one, nn.Sequential) else one
        return (1, first.in_channels, 14, 14)

    shapes = shape(layer), shape(left)
    macs = layer_macs(layer, shapes[0]), layer_macs(left, shapes[1])
    found = advise(layer, left, shapes=shapes, macs=macs, ms=ms, floor=FLOOR)
    if says is None:
        assert found is None
    else:
        import re

        assert re.search(says, found)


def test_elements_moved():
    assert elements_moved(conv(4, 8, bias=False), (1, 4, 5, 5)) == 100 + 32 + 200


@pytest.mark.slow
def test_a_real_measurement():
    wide, narrow = stack(128), stack(32)
    rows = {row.layer: row for row in layer_savings(wide, narrow, 32)}
    assert 0 < rows["1.conv"].ms[1] < 0.5 * rows["1.conv"].ms[0]
