"""From the configuration to the data module of a run or script; imports torch."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from datamodules.loading import ImageData
from datamodules.sources import ReadSource, Source
from datamodules.splits import ReadySplits, Splitter
from lightning_modules.registry import build_part, plain
from lightning_modules.runs.class_samplers import SAMPLING, class_sampler
from lightning_modules.runs.data_splits import SPLIT_KEYS, build_source, make_splits
from lightning_modules.runs.evaluation_images import EvaluationData
from lightning_modules.runs.overrides import bash_word, command, key_of, typed_word

OWN_KEYS = ("name", "root", "license", "source", *SPLIT_KEYS)  # told by other means


def make_data(cfg: DictConfig, splits: Splitter | None = None) -> ImageData:
    """The data module that `cfg.data` and `cfg.augment` describe.

    Args:
        cfg: the composed configuration.
        splits: of a run; None: those that the configuration describes, kept with no run.
    """
    return _data_of(cfg, build_source(cfg.data), splits or make_splits(cfg))


def make_evaluation_data(cfg: DictConfig, measured: EvaluationData) -> ImageData:
    """The data module of images to measure a network on, prepared; see `evaluation_data`.

    Args:
        cfg: the configuration of the network's run, with a command's overrides.
        measured: the images.

    Raises:
        DataError: too many of them cannot be read.
    """
    data = _data_of(cfg, ReadSource(measured.index), ReadySplits())
    data.prepare_data()
    data.setup("test")
    return data


def _data_of(cfg: DictConfig, source: Source, splits: Splitter) -> ImageData:
    settings = plain(cfg.data)
    settings = {key: value for key, value in settings.items() if key not in OWN_KEYS}
    return ImageData(
        source=source,
        splits=splits,
        augmentation=build_part(cfg.augment, "augmentation", "augment"),
        sampling=class_sampler(cfg.sampling, "sampling", SAMPLING),
        cache_dir=cfg.cache_dir,
        seed=cfg.seed,
        audit_command=audit_command(cfg),
        **settings,
    )


def audit_command(cfg: DictConfig) -> str:
    """`python scripts/audit_data.py` with the words that chose the data of this run or script."""
    if HydraConfig.initialized():
        hydra = HydraConfig.get()
        chosen = [word for word in hydra.overrides.task if _is_of_data(key_of(word))]
        option = typed_word("data", hydra.runtime.choices["data"])
        words = [option, *map(bash_word, chosen)]
    else:
        words = [typed_word("data", cfg.data.name), typed_word("data.root", cfg.data.root)]
    return command("scripts/audit_data.py", *words)


def _is_of_data(key: str) -> bool:
    # An experiment may set keys of the data too.
    return key.startswith("data.") or key == "experiment"
