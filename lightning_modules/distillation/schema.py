"""What `distillation` and the teachers may say, checked without torch."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from omegaconf import DictConfig

from lightning_modules.distillation.schedule import Schedule, schedule_of
from lightning_modules.errors import ConfigError
from lightning_modules.registry import plain
from lightning_modules.schema import is_number, is_whole, require_choice

AGGREGATIONS = (
    "mean_probabilities",
    "mean_logits",
    "sum_of_losses",
    "confidence_weighted",
    "best_per_sample",
)
PRECISIONS = ("32", "16", "bf16")
TEACHER_KEYS = (
    "run", "model", "weights", "weight", "temperature", "image_size", "features", "precision",
    "channels_last",
)  # fmt: skip


def temperature_schedule(setting: Any) -> Schedule:
    """The schedule of `distillation.temperature`.

    Raises:
        ConfigError: it is no schedule, or not above 0 throughout.
    """
    schedule = schedule_of(setting, "distillation.temperature")
    if not min(schedule.start, schedule.end) > 0:
        raise ConfigError(f"distillation.temperature={setting}; it must be above 0.")
    return schedule


def alpha_schedule(setting: Any) -> Schedule:
    """The schedule of `distillation.alpha`.

    Raises:
        ConfigError: it is no schedule, or leaves 0..1.
    """
    schedule = schedule_of(setting, "distillation.alpha")
    if not (0 <= schedule.start <= 1 and 0 <= schedule.end <= 1):
        raise ConfigError(f"distillation.alpha={setting}; it must lie in 0..1.")
    return schedule


def check_aggregation(name: str) -> None:
    """Refuses an unknown way to make one target of several teachers.

    Raises:
        ConfigError: with those that there are.
    """
    require_choice("distillation.aggregation", name, AGGREGATIONS)


def augmentation_repeats_of(cache: int | None, repeats: int | None) -> int | None:
    """How many augmentations of each image training repeats; None means a new one each epoch.

    Raises:
        ConfigError: a number is not whole or below 1, or the two contradict each other.
    """
    for key, value in {"cache": cache, "augmentation_repeats": repeats}.items():
        if value is not None and not is_whole(value):
            raise ConfigError(
                f"distillation.{key}={value}; it must be a whole number >= 1 of augmentations "
                "of each image, or null."
            )
    if None not in (cache, repeats) and cache != repeats:
        raise ConfigError(
            f"distillation.cache={cache} stores {cache} augmentations and "
            f"distillation.augmentation_repeats={repeats} trains on another number; leave "
            "augmentation_repeats out."
        )
    return repeats if cache is None else cache


def check_term_weights(weights: Mapping[str, Any]) -> None:
    """Refuses terms whose weights are negative, or all 0, or no terms at all.

    Raises:
        ConfigError: names the term.
    """
    if not weights:
        raise ConfigError(
            "distillation.terms is empty: nothing would be learnt from the teachers; choose one "
            "with distillation=soft_targets."
        )
    for name, weight in weights.items():
        if not is_number(weight) or not weight >= 0:
            raise ConfigError(f"distillation.terms.{name}.weight={weight}; it must be >= 0.")
    if sum(weights.values()) == 0:
        raise ConfigError(
            f"The weights of all distillation terms ({', '.join(weights)}) are 0; give one more."
        )


def check_distillation(cfg: DictConfig) -> None:
    """Refuses what cannot work of `distillation`, alone and with the run's teachers.

    Raises:
        ConfigError: one sentence on the first mistake found.
    """
    node = plain(cfg.distillation)
    temperature_schedule(node["temperature"])
    alpha_schedule(node["alpha"])
    check_aggregation(node["aggregation"])
    augmentation_repeats_of(node["cache"], node["augmentation_repeats"])
    terms = node["terms"]
    for name, term in terms.items():
        if "_target_" not in term:
            raise ConfigError(
                f"distillation.terms.{name} has settings but was not chosen; add {name} to "
                "distillation=[...]."
            )
    check_term_weights({name: term.get("weight", 1.0) for name, term in terms.items()})
    teachers = plain(cfg.teacher)
    for name, teacher in teachers.items():
        _check_teacher(name, teacher)
    if teachers:
        _check_features(terms, teachers)
        _check_mixing(cfg, terms)
        if node["cache"] is not None:
            _check_cache(cfg, terms)


def compares_features(term: Mapping[str, Any]) -> bool:
    """Whether a term's node is one of those that look at inner modules."""
    return "features" in term


def _check_teacher(name: str, node: Mapping[str, Any]) -> None:
    for key in node:
        if key not in TEACHER_KEYS:
            near = get_close_matches(str(key), TEACHER_KEYS, n=1, cutoff=0.0)[0]
            raise ConfigError(f"There is no key teacher.{name}.{key}; did you mean {near}?")
    require_choice(f"teacher.{name}.precision", str(node.get("precision") or 32), PRECISIONS)
    features = node.get("features") or {}
    if not isinstance(features, dict) or not all(isinstance(v, str) for v in features.values()):
        raise ConfigError(
            f"teacher.{name}.features={features} must pair modules, as "
            "{student.module: teacher.module}."
        )


def _check_features(terms: dict[str, Any], teachers: dict[str, Any]) -> None:
    pairs = {name: node["features"] for name, node in teachers.items() if node.get("features")}
    known = sorted({path for features in pairs.values() for path in features})
    looking = {name: term for name, term in terms.items() if compares_features(term)}
    if pairs and not looking:
        raise ConfigError(
            f"teacher.{next(iter(pairs))}.features pairs modules, but no distillation term "
            f"compares them; add one, as distillation=[{','.join([*terms, 'attention'])}]."
        )
    for name, term in looking.items():
        if not pairs:
            example = next(iter(teachers))
            raise ConfigError(
                f"distillation={name} compares modules, but no teacher names any; give "
                f"'+teacher.{example}.features={{student.module: teacher.module}}' "
                "(scripts/describe.py lists the modules)."
            )
        for path in term["features"] or []:
            if path not in known:
                raise ConfigError(
                    f"distillation.terms.{name}.features names {path}, which no teacher's "
                    f"features pair; there are {', '.join(known)}."
                )


def _mixing(cfg: DictConfig) -> str | None:
    """The option that mixes images, or None."""
    return cfg.mixing.get("_target_")


def _check_mixing(cfg: DictConfig, terms: dict[str, Any]) -> None:
    if "dkd" in terms and _mixing(cfg):
        raise ConfigError(
            "distillation=dkd sets one labelled class apart, and mixed images have two; use "
            "mixing=none, or another distillation."
        )


def _check_cache(cfg: DictConfig, terms: dict[str, Any]) -> None:
    live = (
        f"the teachers must see each batch: leave distillation.cache={cfg.distillation.cache} out"
    )
    looking = [name for name, term in terms.items() if compares_features(term)]
    if looking:
        raise ConfigError(
            f"distillation={looking[0]} compares inner modules, which no cache keeps, so {live}."
        )
    if _mixing(cfg):
        raise ConfigError(f"Mixed images are new in every batch, so {live}, or use mixing=none.")
