"""Which keys of a `metrics.json` no document tells of."""

from typing import get_type_hints

from lightning_modules.runs.metrics_record import (
    LatencyRecord,
    LayerRecord,
    MetricsRecord,
    StageRecord,
    is_measured,
)


def undocumented(metrics: dict) -> list[str]:
    """Keys of what `read_metrics` gives, with their places, that its records do not declare."""
    measured = {key for key in metrics if is_measured(key)}
    found = _others({k: v for k, v in metrics.items() if k not in measured}, MetricsRecord, "")
    if "latency" in metrics:
        found += _others(metrics["latency"], LatencyRecord, "latency.")
    for step in metrics["steps"]:
        found += _others(step, StageRecord, f"{step['name']}.")
        for numbers in (step["before"], step["after"], *step["surgery"]):
            found += [f"{step['name']}.{key}" for key in numbers if not is_measured(key)]
        for layer in step.get("layers", ()):
            found += _others(layer, LayerRecord, f"{step['name']}.layers.")
    return found


def _others(content: dict, record: type, place: str) -> list[str]:
    declared = get_type_hints(record)
    required = getattr(record, "__required_keys__", set()) - {"schema"}
    missing = [f"no {place}{key}" for key in sorted(required - content.keys())]
    return [f"{place}{key}" for key in content if key not in declared] + missing
