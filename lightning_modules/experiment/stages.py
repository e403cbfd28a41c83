"""The stages of a run, and the network that the first one gets.

Training comes first, then each compression step with its fine-tuning.
"""

from collections.abc import Callable
from dataclasses import dataclass

from omegaconf import DictConfig
from torch import Tensor, nn

from compression.step import Step
from datamodules.loading import ImageData
from lightning_modules.distillation import ORIGINAL
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network, build_network, load_network
from lightning_modules.networks.description import INT8, find_folder, weights_file
from lightning_modules.registry import build, plain
from lightning_modules.runs import saved_run

TRAINING = "00_train"  # the stage without a step


@dataclass(frozen=True)
class Stage:
    """One directory under `steps/`.

    Attributes:
        name: `00_train`, `01_tucker`, ...
        step: what changes the network before it is fitted; None for plain training.
        epochs: epochs of each fit.
        prepare_epochs: epochs with the step's penalty before its first round.
        lr: peak learning rate, or None for the optimizer's.
        teachers: names of the teachers that teach here, or None for all.
    """

    name: str
    step: Step | None
    epochs: int
    lr: float | None = None
    teachers: tuple[str, ...] | None = None
    prepare_epochs: int = 0

    @property
    def rounds(self) -> int:
        """How often the step plans, applies and is fine-tuned; plain training is one round."""
        return self.step.rounds if self.step else 1

    def has(self, teacher: str) -> bool:
        """Whether a teacher of the run teaches here."""
        original = self.step is None and teacher == ORIGINAL
        return not original and (self.teachers is None or teacher in self.teachers)

    def epochs_of(self, round: int) -> int:
        """Epochs of the fit of a round; round -1 is the preparation."""
        return self.prepare_epochs if round < 0 else self.epochs

    def penalty_of(self, round: int) -> Callable[[nn.Module], Tensor | None] | None:
        """What is added to the loss of a round's fit: only where another plan follows it."""
        return self.step.penalty if self.step and round < self.rounds - 1 else None


def stages_of(cfg: DictConfig) -> list[Stage]:
    """All stages of a run, in order; training is left out where the run starts from another."""
    stages = []
    if cfg.from_run is None:
        stages.append(Stage(TRAINING, None, _epochs(cfg, None)))
    for number, (name, node) in enumerate(cfg.compression.items(), start=1):
        settings = plain(node)
        tuning = settings.pop("fine_tuning", None) or {}  # not the step's own
        names = tuning.get("teacher")
        stages.append(
            Stage(
                name=f"{number:02d}_{name}",
                step=build(settings),
                epochs=_epochs(cfg, tuning.get("epochs")),
                lr=tuning.get("lr"),
                teachers=(names,) if isinstance(names, str) else names and tuple(names),
                prepare_epochs=_capped(cfg, tuning.get("prepare_epochs") or 0),
            )
        )
    _check_validated(cfg, stages)
    return stages


def is_fine_tuned(cfg: DictConfig, stage: Stage) -> bool:
    """Whether a run trains its network in a stage, or in a later one."""
    stages = enumerate(cfg.compression.values(), start=1)
    later = [node for number, node in stages if number >= int(stage.name.partition("_")[0])]
    return any(_epochs(cfg, (node.get("fine_tuning") or {}).get("epochs")) for node in later)


def _check_validated(cfg: DictConfig, stages: list[Stage]) -> None:
    """Where the best epoch is delivered, each fit needs one that is validated."""
    every = cfg.trainer.get("check_val_every_n_epoch", 1)
    for stage in stages:
        for epochs in (stage.epochs, stage.prepare_epochs):
            if cfg.trainer.keep == "best" and 0 < epochs < every:
                raise ConfigError(
                    f"trainer.check_val_every_n_epoch={every}: {stage.name} has {epochs} epochs, "
                    "so none would be validated and trainer.keep=best has no best one; lower it, "
                    "or set trainer.keep=last."
                )


def _epochs(cfg: DictConfig, own: int | None) -> int:
    return _capped(cfg, cfg.trainer.max_epochs if own is None else own)


def _capped(cfg: DictConfig, epochs: int) -> int:
    cap = cfg.trainer.limit_epochs
    return epochs if cap is None else min(epochs, cap)


def initial_network(cfg: DictConfig, data: ImageData) -> Network:
    """The network that the first stage gets: a new one, or that of `from_run`.

    That the run of `from_run` has this data's classes and the configured model was checked before.

    Raises:
        ConfigError: the run holds an int8 network, which nothing can change any more.
    """
    size = data.image_size
    if cfg.from_run is None:
        network = build_network(cfg.model, num_classes=data.num_classes, image_size=size)
        network.class_names = data.class_names
        return network
    if weights_file(find_folder(cfg.from_run)).name == INT8:
        raise ConfigError(
            f"{cfg.from_run} holds an int8 network, which no step can follow; start from the run "
            "it was quantised from."
        )
    network = load_network(cfg.from_run, trust=saved_run.trusted_packages(cfg))
    network.image_size = size
    return network
