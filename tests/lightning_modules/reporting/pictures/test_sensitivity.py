"""What stands in the picture of a sensitivity scan."""

import numpy as np

from compression.sensitivity.sensitivity_scan import Point, Scan
from lightning_modules.reporting.pictures.drawing import save
from lightning_modules.reporting.pictures.sensitivity import MAX_LAYERS, draw_sensitivity


def scan_of(losses: dict[str, dict[float, float]], *, saved: float = 0.1) -> Scan:
    points = [
        Point(layer=layer, ratio=s, kept=s, what="", f1=0.8 - lost, params=1,
              macs=round(1000 * (1 - saved * (1 - s))))
        for layer, own in losses.items()
        for s, lost in own.items()
    ]  # fmt: skip
    return Scan(f1=0.8, macs=1000, params=2, points=points)


def test_a_row_for_each_layer(tmp_path):
    losses = {"body.a.conv": {0.25: 0.2, 0.5: 0.05}, "body.a.$b": {0.5: -0.02}}
    figure = draw_sensitivity(scan_of(losses), title="run: sensitivity to prune")
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["conv", "$b"]
    dots = {c.get_label(): c.get_offsets().tolist() for c in left.collections}
    assert np.allclose(dots["0.25 kept"], [[0.2, 0]])
    assert np.allclose(dots["0.5 kept"], [[0.05, 0], [-0.02, 1]])
    assert np.allclose([bar.get_width() for bar in right.patches], [7.5, 5, 5])
    assert "macro-F1 0.800 and 1,000 MACs before" in figure.get_suptitle()
    assert left.get_xscale() == "linear"
    assert save(figure, tmp_path / "scan.png").stat().st_size > 5000


def test_one_great_loss_leaves_room_for_the_small_ones():
    figure = draw_sensitivity(scan_of({"a": {0.5: 0.7}, "b": {0.5: 0.02}}), title="")
    assert figure.axes[0].get_xscale() == "symlog"
    low, high = figure.axes[0].get_xlim()
    assert low < 0 and high > 0.7


def test_of_too_many_layers_those_that_save_most():
    losses = {f"layer{n}": {0.9 - n / 100: 0.1} for n in range(MAX_LAYERS + 5)}
    figure = draw_sensitivity(scan_of(losses), title="")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [f"layer{n}" for n in range(5, MAX_LAYERS + 5)]
    assert f"the {MAX_LAYERS} that save most" in figure.get_suptitle()
