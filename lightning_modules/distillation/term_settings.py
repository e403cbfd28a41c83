"""What each distillation term may be told, and what it asks of a run; declared without torch."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Strict

from lightning_modules.schema import AtLeast0, Flag, Wanted, declared

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
