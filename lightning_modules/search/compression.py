"""The space of `sweep=compression`: how far each chosen step goes, as a whole or layer by layer."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from optuna.trial import Trial

from lightning_modules.errors import ConfigError
from lightning_modules.registry import build, plain
from lightning_modules.schema import require_choice
from lightning_modules.search.custom_space import Draw

if TYPE_CHECKING:  # it loads torch
    from compression.factorization import Candidate

# The one parameter of a step that is searched; factorisations have `ratio`.
PARAMETERS = {"prune": "target.macs", "prune_layers": "target.macs", "prune_weights": "sparsity"}


def suggest(root: DictConfig, trial: Trial) -> list[str]:
    """Draws what each step of the command line keeps; returns the overrides.

    With `sweep.space.by=layer` a factorisation's rank is drawn for each layer that it could change
    and the units of each stage for `prune_layers`; other steps have one parameter in any case.

    Raises:
        ConfigError: no step was chosen, or `by` is neither `step` nor `layer`.
    """
    space, draw = root.sweep.space, Draw(root, trial)
    if not root.compression:
        raise ConfigError("sweep=compression varies the steps of a run; add '+compression=svd'.")
    require_choice("sweep.space.by", space.by, ("step", "layer"))
    for name, node in root.compression.items():
        place, factorizes = f"compression.{name}", ".factorization." in node._target_
        if space.by == "layer" and factorizes:
            _ranks(draw, place, _layers(root, name), space.keep)
        elif space.by == "layer" and node._target_.endswith(".PruneLayers"):
            _units(draw, place, _stages(root))
        else:
            kind = node._target_.rpartition(".")[0].rpartition(".")[2]
            draw(f"{place}.{'ratio' if factorizes else PARAMETERS.get(kind, 'ratio')}", space.keep)
    return draw.overrides


def _ranks(draw: Draw, place: str, layers: "Sequence[Candidate]", keep: Any) -> None:
    """A ratio of the full rank for each layer; the parameters are called as the layers."""
    from compression.factorization import Ratio

    if f"{place}.ranks" in draw.taken:
        return
    ranks = {}
    for layer in layers:
        ratio = draw.parameter(f"{place}.ranks.{layer.name}", keep)
        rank = layer.clamp_min_rank(Ratio(ratio).rank(layer, 0, 1))
        ranks[layer.name] = rank[0] if len(rank) == 1 else rank
    draw.overrides.append(f"++{place}.ranks={_as_dict(ranks)}")


def _units(draw: Draw, place: str, stages: list[tuple[int, int]]) -> None:
    """How many units each stage keeps, from as many as must stay to all."""
    if f"{place}.keep" in draw.taken:
        return
    ranges = [f"range({low},{high})" for low, high in stages]
    kept = [draw.parameter(f"{place}.keep.{n}", one) for n, one in enumerate(ranges)]
    draw.overrides += [f"{place}.keep=[{','.join(map(str, kept))}]", f"{place}.target=null"]


def _as_dict(ranks: Mapping[str, Any]) -> str:
    """In Hydra's grammar, where a list has no blanks."""
    items = (f"{layer}:{str(rank).replace(' ', '')}" for layer, rank in ranks.items())
    return "{" + ",".join(items) + "}"


def _layers(root: DictConfig, name: str) -> "list[Candidate]":
    """The layers that a factorisation could change."""
    settings = plain(root.compression[name])
    settings.pop("fine_tuning", None)  # not the step's own
    step, network = build(settings), _network(root)
    found: list[Candidate] = step.candidates(network, network.image_size)[0]
    return [layer for layer in found if layer.min_rank != layer.max_rank]


def _stages(root: DictConfig) -> list[tuple[int, int]]:
    """The smallest and largest number of units that each stage of the network can have."""
    from compression.pruning import unit_stages

    network = _network(root)
    stages = unit_stages(network, network.image_size)
    return [(len(s.units) - len(s.removable), len(s.units)) for s in stages]


def _network(root: DictConfig) -> Any:
    """What enters the first step; its weights do not matter."""
    if root.from_run is not None:
        return _saved(Path(root.from_run))
    nodes = OmegaConf.create({"model": root.model, "data": root.data})
    return _without_weights(OmegaConf.to_yaml(nodes))


@functools.lru_cache(maxsize=1)
def _saved(run: Path) -> Any:
    from lightning_modules.networks import load_network

    return load_network(run)


@functools.lru_cache(maxsize=1)
def _without_weights(text: str) -> Any:
    from lightning_modules.networks import meta_network

    cfg = OmegaConf.create(text)
    classes = len(build(cfg.data.source).check())
    return meta_network(cfg.model, num_classes=classes, image_size=cfg.data.image_size)
