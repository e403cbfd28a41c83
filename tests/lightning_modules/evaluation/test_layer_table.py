"""What the log and `describe.py` say of the layers that a step changed."""

import json
from dataclasses import asdict

import pytest
from rich.console import Console
from torch import nn

from compression.latency.layer_savings import LayerSaving
from lightning_modules.evaluation import layer_table
from lightning_modules.evaluation.layer_table import measure_layers, messages, table_of


def row(layer, change, macs, ms, advice=None):
    return LayerSaving(layer=layer, change=change, macs=macs, ms=ms, advice=advice)


ROWS = [
    row("stem", "none", (1000, 1000), (1.0, 1.0)),
    row("a", "narrower", (1000, 250), (1.0, 0.25)),
    row("b", "narrower", (1000, 250), (1.0, 0.9), "launch-bound: small"),
    row("c", "factorised", (1000, 500), (1.0, 1.2)),
    row("d", "removed", (1000, 0), (1.0, 0)),
]


def test_the_worst_come_first_with_their_advice():
    assert messages(ROWS) == [
        "layer by layer, each timed alone: 40% of the MACs, 67% of the time (5 -> 3.35 ms)",
        "slow: c (factorised): 50% of its MACs, 120% of its time (1 -> 1.2 ms); no known reason",
        "slow: b (narrower): 25% of its MACs, 90% of its time (1 -> 0.9 ms); launch-bound: small",
    ]


def test_time_in_layers_left_alone_is_said():
    rows = [row("stem", "none", (10, 10), (4.0, 4.0)), row("a", "narrower", (99, 9), (1.0, 0.1))]
    assert messages(rows)[1] == "98% of the time that is left is in layers left alone"


def test_only_few_are_told_and_nothing_where_nothing_changed():
    many = [row(f"l{n}", "narrower", (100, 10), (1.0, 1.0)) for n in range(9)]
    assert sum(line.startswith("slow") for line in messages(many)) == layer_table.WORST
    assert messages(ROWS[:1]) == messages([]) == []


def test_the_table_has_every_changed_layer():
    stored = json.loads(json.dumps([asdict(one) for one in ROWS]))
    console = Console(width=160, record=True, quiet=False, file=None)
    with console.capture() as shown:
        console.print(table_of("01_prune", stored))
    lines = shown.get().splitlines()
    assert lines[0].strip() == "01_prune: MACs saved against milliseconds saved"
    assert [line.split()[1] for line in lines if line.startswith("│")] == ["a", "b", "c", "d"]
    assert "1,000 -> 250" in shown.get() and "launch-bound: small" in shown.get()


def test_a_step_is_measured_and_told(monkeypatch, caplog):
    monkeypatch.setattr(layer_table, "layer_savings", lambda *_: ROWS)
    with caplog.at_level("INFO"):
        rows = measure_layers(nn.Identity(), nn.Identity(), 8)
    assert [one["layer"] for one in rows] == ["stem", "a", "b", "c", "d"]
    assert rows[2]["ms"] == pytest.approx((1.0, 0.9))
    assert "slow: c" in caplog.text
