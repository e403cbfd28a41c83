"""The compression steps by name, and what each says of itself before torch is imported."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any, ClassVar

from compression.errors import CompressionError
from compression.registry import Registry
from compression.schema import check_settings


class StepSettings:
    """What a step says of itself, and of what its settings may be.

    Attributes:
        name: what a person calls it; of a step of this package also what recipes call it.
        version: of the schema of its plan; a recipe of another version is refused.
        last: whether no step may follow this one.
        fine_tuned: whether the network that it makes can be trained.
        has_modules: whether that network has the modules it had, for features and auxiliary losses.
        keeps_outputs: whether that network computes what it did; its BatchNorm is left as it is.
        folds_batch_norm: whether BatchNorm goes into other layers, and no later step may read it.
        searched: the setting that a search varies, such as `target.macs`; None where none makes
            sense.
        reads_batch_norm: the setting by which it does so, such as `importance=bn_scale`.
    """

    name: ClassVar[str] = "step"
    version: ClassVar[int] = 1
    last: ClassVar[bool] = False
    fine_tuned: ClassVar[bool] = True
    has_modules: ClassVar[bool] = True
    keeps_outputs: ClassVar[bool] = False
    folds_batch_norm: ClassVar[bool] = False
    searched: ClassVar[str | None] = None

    reads_batch_norm: str | None = None

    @property
    def needs_images(self) -> bool:
        """Whether it can decide nothing without training images."""
        return False

    @classmethod
    def check(cls, settings: Mapping[str, Any], place: str) -> Any:
        """Refuses settings that no network could be changed with; by default what is declared.

        Args:
            settings: of the step's node, without `_target_` and `fine_tuning`.
            place: key of the node, such as `compression.prune`.

        Returns:
            The settings as an object, where they are declared.

        Raises:
            CompressionError: one sentence on the first mistake.
        """
        # A constructor of its own, below the one that `declared` made, may take other settings.
        if getattr(cls, "__declared__", False) and hasattr(cls.__init__, "__wrapped__"):
            return check_settings(cls, settings, place)
        return None


# The compression steps of this package: what recipes store of them, and where they are now.
STEPS = Registry(
    kind="compression step",
    group="model_diet.steps",
    paths={
        "prune": "compression.pruning.prune:Prune",
        "prune_layers": "compression.pruning.prune_layers:PruneLayers",
        "prune_weights": "compression.pruning.prune_weights:PruneWeights",
        "tucker": "compression.factorization.tucker:Tucker",
        "cp": "compression.factorization.cp:CP",
        "svd": "compression.factorization.svd:SVD",
        "spatial_svd": "compression.factorization.spatial_svd:SpatialSVD",
        "hybrid": "compression.hybrid.hybrid:Hybrid",
        "merge": "compression.merging.merge:Merge",
        "quantize": "compression.quantization.quantize:Quantize",
        "quantize_aware": "compression.quantization.quantize_aware:QuantizeAware",
    },
    methods=("plan", "restructure", "apply"),
)
# Their settings, declared without torch, by the same names.
STEP_SETTINGS = {
    "prune": "compression.pruning.settings:PruneSettings",
    "prune_layers": "compression.pruning.settings:PruneLayersSettings",
    "prune_weights": "compression.pruning.settings:PruneWeightsSettings",
    "tucker": "compression.factorization.settings:TuckerSettings",
    "cp": "compression.factorization.settings:CPSettings",
    "svd": "compression.factorization.settings:SVDSettings",
    "spatial_svd": "compression.factorization.settings:SpatialSVDSettings",
    "hybrid": "compression.hybrid.settings:HybridSettings",
    "merge": "compression.merging.settings:MergeSettings",
    "quantize": "compression.quantization.settings:QuantizeSettings",
    "quantize_aware": "compression.quantization.settings:QuantizeAwareSettings",
}


def batch_norm_refusal(folding: str, setting: str) -> str:
    """Why a step that reads BatchNorm cannot follow one that folds it into other layers.

    Args:
        folding: the name of the earlier step.
        setting: of the later one, with its step, such as `prune.importance=bn_scale`.
    """
    another = setting.partition("=")[0].rpartition(".")[2]
    return (
        f"{setting} reads the scales of BatchNorm, but {folding}, which comes before it, folds "
        f"BatchNorm into convolutions; put {folding} after it, or choose another {another}."
    )


def step_settings(target: str) -> Any:
    """What declares the settings of the step at a dotted path, and what the step asks of a run.

    Of this package's steps it is a class free of torch; of anybody else's the step's own class,
    which is imported.

    Raises:
        CompressionError: there is no such class, or it is no step.
    """
    name = STEPS.name_of(target)
    if name is not None:
        return resolve_name(STEP_SETTINGS[name])
    try:
        found = resolve_name(target)
    except Exception as error:  # whatever the import raises
        raise CompressionError(f"{target} cannot be built: {error}.") from error
    steps = isinstance(found, type) and issubclass(found, StepSettings)
    if not (steps and all(hasattr(found, name) for name in STEPS.methods)):
        raise CompressionError(
            f"{target} is no compression step; derive your class from compression.Step."
        )
    return found
