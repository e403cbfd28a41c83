"""The space of `sweep=architecture`: the stages of `model=staged`, each as its kind takes it."""

from omegaconf import DictConfig
from optuna.trial import Trial

from lightning_modules.errors import ConfigError
from lightning_modules.search.custom_space import Draw


def suggest(root: DictConfig, trial: Trial) -> list[str]:
    """Draws a network stage by stage; returns the overrides that describe it.

    A stage of which there are no repeats, and an argument that a kind does not take, is not drawn.
    A stride is drawn while the product of all strides stays within `sweep.space.stride`.

    Args:
        root: the composed multirun; `sweep.space` holds the ranges as expressions.
        trial: gets the parameters, which are called as the keys they set.

    Raises:
        ConfigError: the model has no stages, or an expression cannot be read.
    """
    from lightning_modules.networks.blocks.staged import arguments_of  # torch

    if "stages" not in root.model:
        raise ConfigError(
            "sweep=architecture varies the stages of model=staged, but the command line chose "
            f"model={root.hydra.runtime.choices.model}; leave model out."
        )
    space, draw = root.sweep.space, Draw(root, trial)
    stem = {key: draw(f"model.stem.{key}", ranges) for key, ranges in space.stem.items()}
    stride = stem["s"]
    for name in root.model.stages:
        place = f"model.stages.{name}"
        if not draw(f"{place}.repeat", space.stage.repeat):
            continue
        kind = draw(f"{place}.kind", space.stage.kind)
        for key in (key for key in space.stage if key in arguments_of(kind) - {"s"}):
            draw(f"{place}.{key}", space.stage[key])
        free = stride * 2 <= space.stride
        stride *= draw(f"{place}.s", space.stage.s if free else "choice(1)")
    for key, ranges in space.head.items():
        draw(f"model.head.{key}", ranges)
    return draw.overrides
