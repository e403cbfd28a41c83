"""The multirun without a search: Hydra's own, whose trial folders belong to their overrides."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_modules.config import current_words, written
from lightning_modules.errors import ConfigError
from lightning_modules.files import DAMAGE, read_yaml
from lightning_modules.runs import METRICS_FILE, NEUTRAL, held
from lightning_modules.runs.run_directory import short_path

HYDRAS = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
NUMBERED = "trials/${hydra.job.num}"  # the usual name of a trial's folder

Trial = list[str]  # its overrides


class PlainSweeper(Sweeper):
    """Takes the place of Hydra's: it quotes texts again, and repeats no trial under another name.

    A folder that a command names a second time holds trials already. The same overrides continue
    them, or give what they measured; others are refused before anything is trained.
    """

    hydras: ClassVar[type[Any]]  # which it calls

    def __init__(self, **settings: Any) -> None:
        """Takes the settings of Hydra's sweeper."""
        self.own = self.hydras(**settings)
        self.own.split_arguments = self._split  # static in Hydra, and called of its `self`

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Takes the composed multirun."""
        self.root, self.loader = config, hydra_context.config_loader
        self.own.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Runs all trials, while no other multirun works in the same folder.

        Raises:
            ConfigError: another one does, or a trial's folder belongs to other overrides.
        """
        with held(Path(self.root.hydra.sweep.dir)):
            return self.own.sweep(arguments)

    def _split(self, overrides: list[Override], max_batch_size: int | None) -> list[list[Trial]]:
        """The batches of trials; refuses those of other folders."""
        batches = self.hydras.split_arguments([*map(_quoted, overrides)], max_batch_size)
        self._check_folders([trial for batch in batches for trial in batch])
        return batches

    def _check_folders(self, trials: Sequence[Trial]) -> None:
        owners: dict[Path, Trial] = {}
        for number, words in enumerate(trials):
            folder = self._folder(number, words)
            owner = owners.setdefault(folder, words)
            if _meanings(owner) != _meanings(words):
                raise ConfigError(
                    f"{short_path(folder)} would be the folder of two trials, of "
                    f"{_differing(owner, words)} and of {_differing(words, owner)}; give "
                    "hydra.sweep.subdir a part that differs, such as ${hydra.job.num}."
                )
            check_owner(folder, words)

    def _folder(self, number: int, words: Trial) -> Path:
        """Where the launcher will run a trial; only an unusual name is worth composing it."""
        own = OmegaConf.to_container(self.root.hydra.sweep, resolve=False)
        assert isinstance(own, dict)
        if own["subdir"] == NUMBERED and "${hydra" not in str(own["dir"]):
            return Path(self.root.hydra.sweep.dir, "trials", str(number))
        trial = self.loader.load_sweep_config(self.root, words)
        with open_dict(trial):
            trial.hydra.job.num, trial.hydra.job.id = number, f"{trial.hydra.job.name}_{number}"
        HydraConfig.instance().set_config(trial)
        return Path(trial.hydra.sweep.dir, trial.hydra.sweep.subdir)


def check_owner(folder: Path, words: Sequence[str]) -> None:
    """Refuses a trial whose folder holds one with other overrides, finished or not.

    What changes no figure, such as the logger, may differ.

    Args:
        folder: of the trial.
        words: its overrides.

    Raises:
        ConfigError: names what differs.
    """
    path = folder / ".hydra" / "overrides.yaml"
    if not path.is_file():
        if any((folder / name).exists() for name in ("steps", "model", METRICS_FILE)):
            raise ConfigError(
                f"{short_path(folder)} holds a trial that does not say by which overrides it was "
                f"begun (it has no .hydra/{path.name}); give another hydra.sweep.dir."
            )
        return
    try:
        stored = current_words(read_yaml(path), announce=False)
    except (OSError, *DAMAGE):
        raise ConfigError(f"{path} cannot be read; give another hydra.sweep.dir.") from None
    if _meanings(stored) != _meanings(words):
        raise ConfigError(
            f"{short_path(folder)} belongs to a trial with {_differing(stored, words)}, and this "
            f"command gives it {_differing(words, stored)}; the overrides that began it continue "
            "it, and others need another hydra.sweep.dir."
        )


def register_plain_sweeper() -> None:
    """Puts `PlainSweeper` in the place of Hydra's class, which plugins are found by."""
    known = Plugins.instance().class_name_to_class
    if known[HYDRAS] is not PlainSweeper:
        PlainSweeper.hydras, known[HYDRAS] = known[HYDRAS], PlainSweeper


def _quoted(override: Override) -> Override:
    """A sweep over values, its texts quoted where Hydra has forgotten the quotes."""
    if not override.is_discrete_sweep():
        return override
    words = f"{override.get_key_element()}={','.join(written(override))}"
    return OverridesParser.create().parse_override(words)


def _meanings(words: Iterable[str]) -> dict[str, str]:
    """Key -> value as it is read, so that neither order nor spelling counts."""
    read = OverridesParser.create().parse_overrides([w for w in words if not _is_neutral(w)])
    return {one.get_key_element(): repr(one.value()) for one in read}


def _is_neutral(word: str) -> bool:
    key = f"{word.partition('=')[0].lstrip('+~').partition('@')[0]}."
    return key.startswith(("hydra.", "hydra/", *(f"{name}." for name in NEUTRAL)))


def _differing(words: Sequence[str], others: Sequence[str]) -> str:
    """The overrides that others lack, or have with another value."""
    there = _meanings(others).items()
    own = [w for w in words if not _is_neutral(w) and not _meanings([w]).items() <= there]
    return " ".join(own) or "no other override than that"
