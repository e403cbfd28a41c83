"""What a run's latency is measured in: as configured, else said before training, or refused."""

import logging
import re

import pytest
from torch import nn

from compression.onnx import Exportability
from lightning_modules.errors import ConfigError
from lightning_modules.experiment import latency_plan as module
from lightning_modules.experiment.latency_plan import (
    latency_askers,
    latency_targets,
    plan_latency,
)

FREE = Exportability("free")
FIXED = Exportability("fixed", "Its file takes one image at a time: it counts them (net.py:3).")
NONE = Exportability("none", "This network cannot be exported to ONNX: it draws numbers.")


@pytest.fixture
def planned(homes, compose_config, monkeypatch):
    """Plans for a network of which the trial finds out something."""

    def plan(found, *words, asked=None):
        calls.append(found)
        monkeypatch.setattr(module, "try_export", lambda *_: calls.append("tried") or found)
        network = nn.Linear(1, len(calls))  # another structure each time
        return plan_latency(compose_config(*words), network, (32, 32), asked=asked)

    calls = []
    plan.calls = calls
    return plan


@pytest.mark.parametrize(
    ("found", "words", "backend", "batch", "says"),
    [
        (FREE, [], "onnxruntime", 1, ""),
        (FREE, ["latency.batch=8"], "onnxruntime", 8, ""),
        (FIXED, [], "onnxruntime", 1, ""),
        (
            FIXED, ["latency.batch=8"], "onnxruntime", 1,
            "onnxruntime latency can't be measured at batch 8: Its file takes one image at a time: "
            "it counts them (net.py:3); measured at 1.",
        ),
        (
            NONE, ["latency.batch=8"], "eager", 8,
            "onnxruntime latency can't be measured: This network cannot be exported to ONNX: it "
            "draws numbers; measured in eager mode instead.",
        ),
        (
            NONE, ["latency.backend=openvino"], "eager", 1,
            "openvino latency can't be measured: This network cannot be exported to ONNX: it draws "
            "numbers; measured in eager mode instead.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_said_at_once(planned, caplog, found, words, backend, batch, says):
    with caplog.at_level(logging.INFO):
        plan = planned(found, *words)
    assert (plan.backend, plan.batch, plan.instead) == (backend, batch, says)
    assert caplog.messages == ([says] if says else [])


@pytest.mark.parametrize("words", [["latency.backend=eager"], ["latency.backend=compile"]])
def test_what_is_not_exported_is_not_tried(planned, words):
    planned(NONE, *words, asked="objective=cost/latency_ms")
    assert "tried" not in planned.calls


@pytest.mark.parametrize(("found", "batch"), [(NONE, 1), (FIXED, 8)])
def test_what_was_asked_for_is_refused_before_the_training(planned, found, batch):
    asked = "objective=cost/latency_ms"
    says = f"{asked} needs a latency that onnxruntime cannot measure at batch {batch}: "
    with pytest.raises(ConfigError, match=re.escape(says) + ".*; latency.backend=eager can.$"):
        planned(found, f"latency.batch={batch}", asked=asked)
    plan = planned(found, f"latency.batch={batch}", "resume=run", asked=asked)
    assert (plan.backend, plan.instead, plan.asked) == (
        "onnxruntime",
        "",
        asked,
    )


def test_what_can_be_exported_is_tried_once(homes, compose_config, monkeypatch):
    tried = []
    found = {2: FREE, 3: NONE}
    monkeypatch.setattr(module, "try_export", lambda n, _: tried.append(n) or found[n.out_features])
    for width in (2, 2, 3, 3):
        plan_latency(compose_config(), nn.Linear(1, width), (32, 32), asked=None)
    assert [network.out_features for network in tried] == [2, 3, 3]


@pytest.mark.parametrize(
    ("words", "askers", "targets"),
    [
        ([], [], []),
        (["objective=cost/latency_iqr_ms"], ["objective=cost/latency_iqr_ms"], []),
        (["objective=[val/f1,score/time]"], ["objective=score/time"], []),
        (["sweep.limits.latency_ms=2"], ["sweep.limits.latency_ms=2"], []),
        (
            ["+compression=[prune,svd]", "compression.svd.target.latency=0.5"],
            [],
            ["compression.svd.target.latency=0.5"],
        ),
        (["+compression=quantize"], [], []),
    ],
)
def test_who_asks(compose_config, words, askers, targets):
    cfg = compose_config(*words)
    assert [*latency_askers(cfg)] == askers
    assert [*latency_targets(cfg)] == targets
