"""What a finished run says of itself, read without torch and without running its code."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from compression.registry import inside
from lightning_modules.errors import ConfigError
from lightning_modules.files import DAMAGE, read_yaml
from lightning_modules.registry import ROOTS, plain
from lightning_modules.runs.overrides import typed_word
from lightning_modules.runs.renames import current_config, current_option
from lightning_modules.runs.run_files import RESULT, STAGES, lead_to_data, read_settings, run_of
from lightning_modules.runs.saved_model import current_model

# What a saved configuration may name without being asked about.
OWN_CODE = {
    "model": ("lightning_modules.networks.",),
    "data": ("datamodules.",),
    "augment": ("datamodules.", "albumentations.", "torchvision.transforms."),
}
# Where the code that a command names is trusted in saved networks too; nothing of conf/ is foreign.
NAMING = ("model", "compression", "teacher", "data")
WEIGHT_SOURCES = (
    "pretrained",
    "weights",
    "weights_key",
    "partial_weights",
)  # model keys that do not shape the network


def description(run: Path) -> dict[str, Any]:
    """What `model/network.yaml` says of the run's network, read without torch.

    Returns:
        All of it, in today's names and `_target_`s.

    Raises:
        ConfigError: the directory holds no saved network, or one that this version does not know.
    """
    folder = run if (run / "network.yaml").is_file() else run / "model"
    path = folder / "network.yaml"
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        stage = last_stage(run)
        hint = "give the directory that a finished run printed at its end."
        if stage is not None:
            hint = f"the network of its last finished stage is {stage}, which can be given instead."
        raise ConfigError(
            f"{run} is not a finished run: it has no model/network.yaml; {hint}"
        ) from None
    except ConfigError:
        content = None
    if not _describes(content):
        raise ConfigError(f"{path} cannot be read; the run is damaged.")
    try:
        current = current_config(content)
        return {k: current_model(v) if k == "model" else v for k, v in current.items()}
    except ConfigError as error:
        raise ConfigError(f"{folder / 'network.yaml'} cannot be read: {error}") from None
    except DAMAGE:
        raise ConfigError(
            f"{folder / 'network.yaml'} cannot be read; the run is damaged."
        ) from None


def _describes(content: Any) -> bool:
    """Whether that is what `network.yaml` says, as far as it is read without torch."""
    from lightning_modules.schema import is_whole  # pydantic: not for --help

    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        return False
    names, size, model = (content.get(key) for key in ("class_names", "image_size", "model"))
    sized = isinstance(size, list) and len(size) == 2 and all(is_whole(side) for side in size)
    named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return named and (sized or size is None) and isinstance(model, dict | None)


def last_stage(run: Path) -> Path | None:
    """The folder of the last stage that a stopped run finished; None where there is none."""
    done = sorted(path.parent for path in run.glob(f"{STAGES}/*/{RESULT}"))
    whole = [folder for folder in done if (folder / "model" / "network.yaml").is_file()]
    return whole[-1] if whole else None


def read_config(path: Path) -> DictConfig:
    """A stored configuration, in today's names."""
    stored = read_settings(path)
    try:
        current = OmegaConf.create(current_config(plain(stored, resolve=False)))
    except (OmegaConfBaseException, *DAMAGE) as error:
        raise ConfigError(f"{path} cannot be read; the run is damaged.") from error
    if any(not OmegaConf.is_dict(current.get(group)) for group in OWN_CODE):
        raise ConfigError(f"{path} lacks {' or '.join(OWN_CODE)}; the run is damaged.")
    return current


def saved_config(
    run: Path, *, allowed: Collection[str] = (), trust: Collection[str] = ()
) -> DictConfig:
    """The composed configuration that the run was started with, which leads to the data of then.

    Args:
        run: a run directory, or the folder of a stage.
        allowed: keys whose `_target_` the user names anew, so that the saved one does not count.
        trust: packages outside this one whose code a saved run may name.

    Raises:
        ConfigError: the directory was not made by `run.py`, or its model or data name code that
            is not this package's: a run from elsewhere must not choose what is executed here.
    """
    run = run_of(run)
    path = run / ".hydra" / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{run} is not a run directory: it has no .hydra/config.yaml.")
    cfg = read_config(path)
    lead_to_data(cfg, run)
    for group, packages in OWN_CODE.items():
        node = OmegaConf.to_container(cfg[group], resolve=False)
        for key, target in targets(node, group):
            own = str(target).startswith(packages) or inside(str(target), trust)
            if not own and not {key, key.split(".")[0]} & set(allowed):
                raise ConfigError(
                    f"{run} wants to run {target}, which is not this package's code; if you trust "
                    f"it, say so with {typed_word(key, str(target))} or "
                    f"'trust=[{str(target).split('.')[0]}]'."
                )
    return cfg


def same_structure(saved: dict[str, Any], model: DictConfig) -> bool:
    """Whether a configured model node shapes the network that was saved.

    A key that the saved node lacks did not exist when the network was made, so it says nothing.
    """
    wanted = plain(model)
    return all(wanted.get(key) == saved[key] for key in saved if key not in WEIGHT_SOURCES)


def choice(run: Path, group: str) -> str | None:
    """The option of a configuration group that the run was started with, where it is on record.

    A teacher trained on the way was not started by a command of its own, so it has none.
    """
    path = run_of(run) / ".hydra" / "hydra.yaml"
    if not path.is_file():
        return None
    option = OmegaConf.select(read_settings(path), f"hydra.runtime.choices.{group}")
    if not isinstance(option, str):
        raise ConfigError(f"{path} says no option of {group}; the run is damaged.")
    return current_option(group, option)


def targets(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """All (key, `_target_` value) pairs below a plain configuration node."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield f"{prefix}._target_", node["_target_"]
        for key, value in node.items():
            yield from targets(value, f"{prefix}.{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from targets(value, f"{prefix}.{number}")


def trusted_packages(cfg: DictConfig) -> set[str]:
    """The packages that a command names: by `trust`, or by what it runs of its own."""
    groups = plain(cfg, resolve=False)
    named = packages_of({group: groups.get(group) for group in NAMING})
    trust = groups.get("trust")
    return named | (set(trust) if isinstance(trust, list) else set())


def trust_word(run: Path) -> str:
    """` 'trust=[...]'`, as a command that loads a run needs it; empty where all code is ours."""
    path = run / ".hydra" / "config.yaml"
    if not path.is_file():
        return ""
    cfg = plain(read_config(path), resolve=False)
    foreign = packages_of({"compression": cfg.get("compression") or {}})
    for group, packages in OWN_CODE.items():
        named = [str(target) for _, target in targets(cfg.get(group), group)]
        foreign |= {name.split(".")[0] for name in named if not name.startswith(packages)}
    return f" 'trust=[{','.join(sorted(foreign))}]'" if foreign else ""


def packages_of(node: dict[str, Any]) -> set[str]:
    """The packages outside this one of all that a plain node names by `_target_`."""
    return {str(target).split(".")[0] for _, target in targets(node, "")} - set(ROOTS)
