"""The distillation terms by name, what each may be told, and what it asks of a run; no torch."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Strict

from compression.registry import Registry
from lightning_modules.errors import ConfigError
from lightning_modules.registry import build
from lightning_modules.schema import AtLeast0, Flag, Wanted, check_settings, declared

Modules = Annotated[
    Sequence[Annotated[str, Strict()]],
    Wanted("a list of the student's modules, as [features.stage2], or null"),
]


@declared()
class TermSettings:
    """What all terms have.

    Attributes:
        compares_features: whether it compares outputs of inner modules, which a teacher pairs.
        single_labels: whether it needs one labelled class an image, as mixed images have not.
        weight: of this term in the sum of all terms.
    """

    compares_features: ClassVar[bool] = False
    single_labels: ClassVar[bool] = False

    weight: AtLeast0 = 1.0


@declared()
class LogitTermSettings(TermSettings):
    """The settings of a `LogitTerm`.

    Attributes:
        normalize_logits: compare z-scores of the logits (Sun et al. 2024), on both sides.
    """

    normalize_logits: Flag = False


@declared()
class DecoupledSettings(LogitTermSettings):
    """The settings of `Decoupled`.

    Attributes:
        target_weight: of the labelled class against the rest (the paper's alpha).
        other_weight: of the other classes among themselves (the paper's beta).
    """

    single_labels: ClassVar[bool] = True

    target_weight: AtLeast0 = 1.0
    other_weight: AtLeast0 = 8.0


@declared()
class DistSettings(LogitTermSettings):
    """The settings of `Dist`.

    Attributes:
        inter_weight: of the relations between classes (the paper's beta).
        intra_weight: of the relations between images (the paper's gamma).
    """

    inter_weight: AtLeast0 = 2.0
    intra_weight: AtLeast0 = 2.0


@declared()
class FeatureTermSettings(TermSettings):
    """The settings of a `FeatureTerm`.

    Attributes:
        features: the student's modules that it looks at; None means all pairs.
    """

    compares_features: ClassVar[bool] = True

    features: Modules | None = None


@declared()
class RelationalSettings(FeatureTermSettings):
    """The settings of `Relational`.

    Attributes:
        distance_weight: of distances between two images.
        angle_weight: of angles between three.
    """

    distance_weight: AtLeast0 = 25.0
    angle_weight: AtLeast0 = 50.0


TERMS = Registry(
    kind="distillation term",
    group="model_diet.distillation_terms",
    paths={
        name: f"lightning_modules.distillation.{path}"
        for name, path in {
            "soft_targets": "logit_term:SoftTargets",
            "dkd": "decoupled:Decoupled",
            "dist": "dist:Dist",
            "hints": "hints:Hints",
            "residual": "hints:Residuals",
            "attention": "attention:Attention",
            "relational": "relational:Relational",
            "similarity": "relational:Similarity",
        }.items()
    },
    methods=(),  # what is built must be a `TermSettings`
    error=ConfigError,
)
TERM_SETTINGS: dict[str, type[TermSettings]] = {
    "soft_targets": LogitTermSettings,
    "dkd": DecoupledSettings,
    "dist": DistSettings,
    "relational": RelationalSettings,
    **dict.fromkeys(("hints", "residual", "attention", "similarity"), FeatureTermSettings),
}


def _chosen(term: Any) -> Any:
    if isinstance(term, Mapping) and "_target_" not in term:
        raise ValueError(
            "{place} has settings but was not chosen; add it to distillation=[...], or give its "
            "_target_."
        )
    return term


Term = Annotated[Any, TERMS, BeforeValidator(_chosen)]


def build_term(term: Any, key: str) -> Any:
    """The term that a setting names, or is.

    Args:
        term: a registered name, a node with a `_target_`, or a term.
        key: of the setting, such as `distillation.terms.dkd`.

    Raises:
        ConfigError: it is none, or cannot be built.
    """
    if isinstance(term, Mapping):
        try:
            found = build(dict(term))  # with what its arguments build
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from None
    else:
        found = TERMS.part(term, key)
    if not isinstance(found, TermSettings):
        kind = type(found)
        raise ConfigError(
            f"{key}: {kind.__module__}.{kind.__qualname__} is no distillation term; derive your "
            "class from LogitTerm or FeatureTerm of lightning_modules.distillation."
        )
    return found


def settings_of(term: Any, key: str) -> TermSettings:
    """What a term asks of a run: of ours its declared settings, of another the built term.

    Args:
        term: a registered name, or a node with a `_target_`.
        key: of the setting, such as `distillation.terms.dkd`.

    Raises:
        ConfigError: a setting is impossible, or it is no term.
    """
    settings: dict[str, Any] = {}
    name: str | None = term if isinstance(term, str) else None
    if isinstance(term, Mapping):
        settings = {name: value for name, value in term.items() if name != "_target_"}
        name = TERMS.name_of(str(term["_target_"]))
    if name not in TERM_SETTINGS:
        return build_term(term, key)
    return check_settings(TERM_SETTINGS[name], settings, key)
