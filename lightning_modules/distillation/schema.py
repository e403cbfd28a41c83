"""What `distillation` and the teachers may say, declared and checked without torch."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from omegaconf import DictConfig
from pydantic import BeforeValidator, Field, Strict

from compression.registry import Registry
from compression.steps import step_settings
from datamodules.typed_words import typed_word
from lightning_modules.distillation.schedule import ScheduleAbove0, ScheduleIn0To1
from lightning_modules.distillation.term_settings import Term, TermSettings, settings_of
from lightning_modules.errors import ConfigError
from lightning_modules.registry import plain
from lightning_modules.schema import (
    AtLeast0,
    Flag,
    ImageSize,
    Positive,
    Wanted,
    check_settings,
    declared,
)

AGGREGATIONS = Registry(
    kind="aggregation",
    group="model_diet.aggregations",
    paths={
        name: f"lightning_modules.distillation.aggregation:{attribute}"
        for name, attribute in {
            "mean_probabilities": "mean_probabilities",
            "mean_logits": "mean_logits",
            "sum_of_losses": "SumOfLosses",
            "confidence_weighted": "confidence_weighted",
            "best_per_sample": "best_per_sample",
        }.items()
    },
    error=ConfigError,
)


Repeats = Annotated[
    int,
    Strict(),
    Field(ge=1),
    Wanted("a whole number >= 1 of augmentations of each image, or null"),
]
Pairs = Annotated[
    Mapping[Annotated[str, Strict()], Annotated[str, Strict()]],
    Wanted("pairs of modules, as {student.module: teacher.module}"),
]
Precision = Annotated[
    Literal["32", "16", "bf16"],
    BeforeValidator(lambda value: str(32 if value is None else value)),
]


@declared()
class DistillationSettings:
    """The settings of `Distillation`, which says what they mean."""

    name: ClassVar[str] = "distillation"

    temperature: ScheduleAbove0
    alpha: ScheduleIn0To1
    terms: Mapping[str, Term]
    aggregation: Annotated[Any, AGGREGATIONS] = "mean_probabilities"
    cache: Repeats | None = None
    augmentation_repeats: Repeats | None = None

    def __post_init__(self) -> None:
        """Refuses numbers of augmentations that contradict each other, and no terms at all."""
        if not self.terms:
            raise ValueError(
                "{place}.terms is empty: nothing would be learnt from the teachers; choose one "
                "with distillation=soft_targets."
            )
        cache, repeats = self.cache, self.augmentation_repeats
        if None not in (cache, repeats) and cache != repeats:
            raise ValueError(
                f"{{place}}.cache={cache} stores {cache} augmentations and "
                f"{{place}}.augmentation_repeats={repeats} trains on another number; leave "
                "augmentation_repeats out."
            )


@declared()
class TeacherSettings:
    """The settings of a teacher's node.

    Attributes:
        run: the directory of its finished run; None means the newest of its model on this data.
        model: its network's node.
        weights: a file, instead of a run.
        weight: of its loss, or of its part in the joint target, among several.
        temperature: its own, or None for the distillation's.
        image_size: pixels that it sees; None means those that it was trained with.
        features: which of its modules (values) the student's modules (keys) are compared with.
        precision: of its forward pass.
        channels_last: run it in channels-last memory order.
    """

    run: Any = None
    model: Mapping[str, Any] | None = None
    weights: Any = None
    weight: AtLeast0 = 1.0
    temperature: Positive | None = None
    image_size: ImageSize | None = None
    features: Pairs | None = None
    precision: Precision = "32"
    channels_last: Flag | None = False


def check_term_weights(terms: Mapping[str, TermSettings]) -> None:
    """Refuses terms whose weights are all 0.

    Raises:
        ConfigError: names them.
    """
    if not any(term.weight for term in terms.values()):
        raise ConfigError(
            f"The weights of all distillation terms ({', '.join(terms)}) are 0; give one more."
        )


def check_distillation(cfg: DictConfig) -> None:
    """Refuses what cannot work of `distillation`, alone and with the run's teachers.

    Raises:
        ConfigError: one sentence on the first mistake found.
    """
    node = {key: value for key, value in plain(cfg.distillation).items() if key != "_target_"}
    settings = check_settings(DistillationSettings, node, "distillation")
    if str(settings.aggregation) not in AGGREGATIONS.paths:  # somebody else's
        AGGREGATIONS.part(settings.aggregation, "distillation.aggregation")
    terms = {
        name: settings_of(term, f"distillation.terms.{name}")
        for name, term in settings.terms.items()
    }
    check_term_weights(terms)
    teachers = {
        name: check_settings(TeacherSettings, teacher, f"teacher.{name}")
        for name, teacher in plain(cfg.teacher).items()
    }
    if teachers:
        _check_features(terms, teachers)
        _check_mixing(cfg, terms)
        if settings.cache is not None:
            _check_cache(cfg, terms)
        _check_steps(cfg, terms)


def _comparing(terms: Mapping[str, TermSettings]) -> dict[str, Any]:
    return {name: term for name, term in terms.items() if term.compares_features}


def _check_features(
    terms: Mapping[str, TermSettings], teachers: Mapping[str, TeacherSettings]
) -> None:
    pairs = {name: teacher.features for name, teacher in teachers.items() if teacher.features}
    known = sorted({path for features in pairs.values() for path in features})
    comparing = _comparing(terms)
    if pairs and not comparing:
        raise ConfigError(
            f"teacher.{next(iter(pairs))}.features pairs modules, but no distillation term "
            f"compares them; add one, as {typed_word('distillation', [*terms, 'attention'])}."
        )
    for name, term in comparing.items():
        if not pairs:
            example = next(iter(teachers))
            raise ConfigError(
                f"distillation.terms.{name} compares modules, but no teacher names any; give "
                f"'+teacher.{example}.features={{student.module: teacher.module}}' "
                "(scripts/describe.py lists the modules)."
            )
        for path in term.features or []:
            if path not in known:
                raise ConfigError(
                    f"distillation.terms.{name}.features names {path}, which no teacher's "
                    f"features pair; there are {', '.join(known)}."
                )


def _mixing(cfg: DictConfig) -> str | None:
    """The option that mixes images, or None."""
    return cfg.mixing.get("_target_")


def _check_mixing(cfg: DictConfig, terms: Mapping[str, TermSettings]) -> None:
    for name, term in terms.items():
        if term.single_labels and _mixing(cfg):
            raise ConfigError(
                f"distillation.terms.{name} needs one labelled class an image, and mixed images "
                "have two; use mixing=none, or another distillation."
            )


def _check_cache(cfg: DictConfig, terms: Mapping[str, TermSettings]) -> None:
    live = (
        f"the teachers must see each batch: leave distillation.cache={cfg.distillation.cache} out"
    )
    for name in _comparing(terms):
        raise ConfigError(
            f"distillation.terms.{name} compares inner modules, which no cache keeps, so {live}."
        )
    if _mixing(cfg):
        raise ConfigError(f"Mixed images are new in every batch, so {live}, or use mixing=none.")


def _check_steps(cfg: DictConfig, terms: Mapping[str, TermSettings]) -> None:
    """No module can be compared in a network that a step has made a graph of."""
    comparing = next(iter(_comparing(terms)), None)
    if comparing is None:
        return
    for name, step in plain(cfg.compression).items():
        if not isinstance(step, dict) or "_target_" not in step:
            continue  # not chosen, as `check_compression` says
        says, taught = step_settings(step["_target_"]), step.get("fine_tuning") or {}
        if says.fine_tuned and not says.has_modules and taught.get("teacher") != []:
            raise ConfigError(
                f"distillation.terms.{comparing} compares modules, which compression.{name} does "
                "not have; give distillation=soft_targets, or "
                f"'compression.{name}.fine_tuning.teacher=[]'."
            )
