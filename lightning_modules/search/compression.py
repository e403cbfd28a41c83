"""The space of `sweep=compression`: how far each chosen step goes, as a whole or layer by layer."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig, OmegaConf

from compression.steps import step_settings
from lightning_modules.errors import ConfigError
from lightning_modules.registry import build, plain
from lightning_modules.runs import build_source, quote, saved_run
from lightning_modules.schema import check_settings, declared
from lightning_modules.search.custom_space import Draw
from lightning_modules.search.space import has_key

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

    from compression.step import LayerSpace  # it loads torch


@declared(more="ignore")
class Space:
    """`sweep.space`; `keep` is an expression."""

    by: Literal["step", "layer"]


def suggest(root: DictConfig, trial: "BaseTrial") -> list[str]:
    """Draws what each step of the command line keeps; returns the overrides.

    With `sweep.space.by=layer` each layer's rank is drawn for a factorisation, each stage's units
    for `prune_layers`, and what else a step's `layer_space` names; other steps have one parameter
    in any case.

    Raises:
        ConfigError: no step was chosen, one of them has nothing to vary, or `by` is neither `step`
            nor `layer`.
    """
    space, draw = root.sweep.space, Draw(root, trial)
    if not root.compression:
        raise ConfigError("sweep=compression varies the steps of a run; add '+compression=svd'.")
    check_settings(Space, plain(space), "sweep.space")
    for name, node in root.compression.items():
        place = f"compression.{name}"
        layers = _layer_space(root, node) if space.by == "layer" else None
        if layers is None:
            step = step_settings(node._target_)
            if step.searched is None:
                raise ConfigError(
                    f"{place}: {step.name} has no setting that sweep=compression could vary; leave "
                    "it out, and do it to the best run when the search is done, with from_run=RUN."
                )
            key = f"{place}.{step.searched}"
            if has_key(root, key):
                draw(key, space.keep)
            else:  # the step's node has no such setting: `++` adds it
                draw.overrides.append(f"++{key}={quote(draw.parameter(key, space.keep))}")
        else:
            _by_layer(draw, place, layers, space.keep)
    return draw.overrides


def _by_layer(draw: Draw, place: str, layers: "LayerSpace", keep: Any) -> None:
    """A value for each layer, and the settings that they make."""
    key = f"{place}.{layers.setting}"
    if key in draw.taken:
        return
    drawn = {
        layer: draw.parameter(f"{key}.{layer}", keep if choice is None else choice)
        for layer, choice in layers.choices.items()
    }
    for name, value in layers.settings(drawn).items():
        add = "++" if isinstance(value, Mapping) else ""  # its keys are new ones
        draw.overrides.append(f"{add}{place}.{name}={quote(value)}")


def _layer_space(root: DictConfig, node: DictConfig) -> "LayerSpace | None":
    """What the step at a node says of its layers."""
    settings = plain(node)
    settings.pop("fine_tuning", None)  # not the step's own
    nodes = OmegaConf.to_yaml(OmegaConf.create({"model": root.model, "data": root.data}))
    network = _network(nodes, root.from_run, frozenset(saved_run.trusted_packages(root)))
    found: LayerSpace | None = build(settings).layer_space(network, network.image_size)
    return found


@functools.lru_cache(maxsize=1)
def _network(nodes: str, run: str | None, trust: frozenset[str]) -> Any:
    """What enters the first step; its weights do not matter."""
    from lightning_modules.networks import load_network, meta_network

    if run is not None:
        return load_network(Path(run), trust=trust)
    cfg = OmegaConf.create(nodes)
    classes = len(build_source(cfg.data).check())
    return meta_network(cfg.model, num_classes=classes, image_size=cfg.data.image_size)
