"""From what a person names, a run or an exported file, to a classifier that is ready for use."""

from pathlib import Path

from datamodules.decoding import ResizeMode
from lightning_modules.config import config_over
from lightning_modules.deployment.foreign_file import open_foreign, require_sound
from lightning_modules.deployment.formats import Format, format_of
from lightning_modules.deployment.inference_model import InferenceModel, eager_model
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network, load_network, set_image_size
from lightning_modules.networks.description import INT8
from lightning_modules.runs import key_of, run_directory, saved_run


def find_model(name: str, overrides: list[str], *, named: Format | None = None) -> Path:
    """The run directory, or the file, that is meant; refused before torch is imported.

    Args:
        name: that was typed.
        overrides: Hydra overrides over a run's configuration.
        named: the format of files of its suffix.

    Raises:
        ConfigError: there is none, it is of no known format, or overrides make no sense.
    """
    path = Path(name)
    if name == "last" or path.is_dir():
        run = run_directory.resolve(name, run_directory.FINISHED)
        saved_run.description(run)
        config_over(run, overrides)
        return run
    if not path.exists():
        raise ConfigError(
            f"{name} does not exist; give a run directory, `last`, or an exported file."
        )
    format_of(path, named)
    if overrides:
        raise ConfigError(
            f"{' '.join(overrides)}: an exported file has no configuration to change; that of its "
            "run can be changed when it is exported."
        )
    return path


def open_model(
    path: Path, overrides: list[str], *, threads: int, named: Format | None = None
) -> InferenceModel:
    """The classifier at a path that `find_model` found.

    Args:
        path: a run directory or an exported file.
        overrides: Hydra overrides over the run's saved configuration.
        threads: for exported files; PyTorch's own number otherwise.
        named: the format of files of its suffix.

    Raises:
        ConfigError: it cannot be loaded.
    """
    if not path.is_dir():
        return open_foreign(format_of(path, named), path, threads=threads)
    network, resize_mode = load_run_network(path, overrides)
    return eager_model(network, name=path, resize_mode=resize_mode)


def load_run_network(run: Path, overrides: list[str]) -> tuple[Network, ResizeMode]:
    """The network of a run and its `data.resize_mode`, as the overrides would have them.

    Raises:
        ConfigError: it cannot be loaded.
    """
    cfg = config_over(run, overrides)
    require_sound_run(run)
    network = load_network(run, trust=list(cfg.trust))
    if "data.image_size" in map(key_of, overrides):
        set_image_size(network, cfg.data.image_size)
    return network, cfg.data.resize_mode


def require_sound_run(run: Path) -> None:
    """Opens the ONNX graph of an int8 run first in a process of its own.

    Raises:
        ConfigError: the process died of it; what else is wrong with it `load_network` says.
    """
    graph = run / "model" / INT8
    if graph.is_file():
        require_sound(graph, "onnx", "onnxruntime", files=[graph])
