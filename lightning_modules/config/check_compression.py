"""What the configuration alone shows of compression steps that cannot work."""

from collections.abc import Sequence
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import BeforeValidator

from compression.errors import CompressionError
from compression.steps import StepSettings, batch_norm_refusal, step_settings
from lightning_modules.errors import ConfigError
from lightning_modules.networks import resolved
from lightning_modules.registry import schema
from lightning_modules.schema import Positive, Wanted, check_settings, declared, whole_from

HYDRAS = ("_convert_", "_recursive_")  # keys of a node that are for Hydra


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


@declared()
class FineTuning:
    """The node `fine_tuning` of a step; `conf/compression/_fine_tuning.yaml` says what it means."""

    epochs: Annotated[float, whole_from(0)] | None = None
    lr: Positive | None = None
    teacher: Annotated[
        Sequence[str] | None, BeforeValidator(_as_list), Wanted("a teacher's name, or a list")
    ] = None
    prepare_epochs: Annotated[float, whole_from(0)] | None = None


def check_compression(cfg: DictConfig) -> None:
    """Refuses settings of steps that cannot be, and steps where they cannot be.

    Raises:
        ConfigError, CompressionError: one sentence on the first mistake found.
    """
    folding = None  # the step that folded BatchNorm
    for name, node in cfg.compression.items():
        place = f"compression.{name}"
        if not OmegaConf.is_dict(node) or node.get("_target_") is None:
            raise ConfigError(
                f"{place} has settings but was not chosen; add '+compression={name}'."
            )
        settings = resolved(node, place)
        step = _step(settings.pop("_target_"), place)
        tuning = settings.pop("fine_tuning", None)
        own = step.check({key: settings[key] for key in settings if key not in HYDRAS}, place)
        reading = getattr(own, "reads_batch_norm", None)
        if folding is not None and reading is not None:
            raise ConfigError(batch_norm_refusal(folding, f"{place}.{reading}"))
        folding = name if step.folds_batch_norm else folding
        if step.last and name != list(cfg.compression)[-1]:
            raise ConfigError(
                f"{place} must be the last step; name it last in '+compression=[...]'."
            )
        _check_fine_tuning(cfg, f"{place}.fine_tuning", tuning, step)
        if step.fine_tuned and not step.has_modules:
            schema("quantized_training")(cfg, place)
    if cfg.from_run is not None and not cfg.compression:
        raise ConfigError(
            f"from_run={cfg.from_run} starts from a trained network, but no compression step was "
            "chosen; add '+compression=tucker'."
        )


def _step(target: Any, place: str) -> type[StepSettings]:
    try:
        found: type[StepSettings] = step_settings(str(target))
    except CompressionError as error:
        raise ConfigError(f"{place}._target_: {error}") from error
    return found


def _check_fine_tuning(cfg: DictConfig, place: str, node: Any, step: type[StepSettings]) -> None:
    if node is not None and not isinstance(node, dict):
        raise ConfigError(f"{place}={node} is no node; give its keys, as {place}.epochs=5.")
    tuning = check_settings(FineTuning, node or {}, place)
    for teacher in tuning.teacher or ():
        if teacher not in cfg.teacher:
            raise ConfigError(
                f"{place}.teacher names {teacher}, which this run does not have; add "
                f"'+teacher={teacher}'."
            )
    # Without a number of its own a step is fine-tuned as long as the run trains.
    given = {"epochs": tuning.epochs, "prepare_epochs": tuning.prepare_epochs or 0}
    for key, value in given.items():
        if value != 0 and not step.fine_tuned:
            raise ConfigError(
                f"{place}.{key}={'null' if value is None else value}: what {step.name} makes "
                "cannot be trained; give 0, and fine-tune in the step before (for an int8 network "
                "there is quantize_aware)."
            )
