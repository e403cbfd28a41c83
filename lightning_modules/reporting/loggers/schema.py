"""Which loggers a run has, and which cannot be; free of torch."""

from importlib.util import find_spec
from typing import Annotated, Any, Literal

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import AfterValidator, Strict

from compression.registry import Registry
from lightning_modules.errors import ConfigError
from lightning_modules.registry import plain, require_extra
from lightning_modules.reporting.loggers.wandb_server import DISABLED, ONLINE, check_key
from lightning_modules.schema import Wanted, check_settings, declared

DEFAULT = "wandb"  # of conf/config.yaml
NONE = "none"  # the option that stands for no logger, and the name of its empty node
LOGGERS = Registry(
    kind="logger",
    group="model_diet.loggers",
    paths={
        "csv": "pytorch_lightning.loggers:CSVLogger",
        "tensorboard": "lightning_modules.reporting.loggers.tensorboard:TensorBoardRun",
        "mlflow": "lightning_modules.reporting.loggers.mlflow:MlflowRun",
        "wandb": "lightning_modules.reporting.loggers.wandb:WandbRun",
    },
    methods=("log_hyperparams", "log_metrics", "finalize"),
    error=ConfigError,
)
# Those that need an extra: its name, which is that of the package too.
EXTRAS = ("tensorboard", "mlflow")


def _is_place(uri: str) -> str:
    if uri != "databricks" and ("://" not in uri or uri.startswith("file:")):
        raise ValueError  # MLflow keeps no runs in a plain folder any more
    return uri


@declared(more="ignore")
class WandbSettings:
    """Of `wandb.init`; it has many more. The last two modes are former names of the first two."""

    mode: Literal["offline", "online", "shared", "disabled", "dryrun", "run"] = "offline"


@declared(more="ignore")
class MlflowSettings:
    """Of a run in MLflow; Lightning's logger has more."""

    tracking_uri: Annotated[
        str,
        Strict(),
        AfterValidator(_is_place),
        Wanted("a file, as sqlite:///outputs/mlflow.db, or a server's address"),
    ]


SETTINGS: dict[str, type] = {"wandb": WandbSettings, "mlflow": MlflowSettings}


def chosen_loggers(cfg: DictConfig) -> dict[str, DictConfig]:
    """The loggers by name, without those that are to do nothing.

    Such are those that were set to null, or whose `_target_` was, W&B where it is disabled, and
    the default where its package is not installed.
    """
    found = {name: node for name, node in cfg.logger.items() if not _is_left_out(node)}
    return {} if lacks_default(cfg) else found


def _is_left_out(node: Any) -> bool:
    if not OmegaConf.is_dict(node):
        return node is None
    target = node.get("_target_", "")
    return target is None or (LOGGERS.name_of(target) == DEFAULT and node.get("mode") == DISABLED)


def lacks_default(cfg: DictConfig) -> bool:
    """Whether nobody chose a logger, and the package of the default one is not installed."""
    if list(cfg.logger) != [DEFAULT] or _is_installed(DEFAULT):
        return False
    hydra = cfg.hydra if "hydra" in cfg else HydraConfig.get()
    typed = (word.lstrip("+~").split("=")[0].split(".")[0] for word in hydra.overrides.task)
    return "logger" not in typed


def check_loggers(cfg: DictConfig) -> None:
    """Refuses loggers that cannot be, as far as that shows before torch is imported.

    Raises:
        ConfigError: one sentence on the first mistake found.
    """
    if NONE in cfg.logger and len(cfg.logger) > 1 and _is_list(cfg):
        names = ",".join(map(str, cfg.logger))
        raise ConfigError(
            f"logger=[{names}] has {NONE} beside others; leave {NONE} out, or choose logger={NONE}."
        )
    for name, node in chosen_loggers(cfg).items():
        place = f"logger.{name}"
        if not OmegaConf.is_dict(node):
            raise ConfigError(f"{place}={node} is no node; give it keys, as {place}._target_=...")
        target = node.get("_target_")
        if target is None:
            raise ConfigError(
                f"{place} has settings but was not chosen; choose it with logger={name}, or give "
                f"{place}._target_ where it is a class of your own."
            )
        known = LOGGERS.name_of(target)
        if known in EXTRAS:
            require_extra(known, known, what=f"logger={name}")
        if known in SETTINGS:
            check_settings(SETTINGS[known], plain(node), place)
        if known == DEFAULT and not _is_installed(DEFAULT):
            raise ConfigError(
                f"logger={DEFAULT} needs the package {DEFAULT}, which is not installed: run "
                f"`pip install {DEFAULT}`, or choose another logger."
            )
        if known == DEFAULT and node.get("mode") in ONLINE:
            check_key(node.mode)
        if not isinstance(target, str) or not _is_installed(target.partition(".")[0]):
            raise ConfigError(
                f"{place}._target_={target} does not exist: no such package can be imported here."
            )


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # an empty name, or a module without a spec
        return False


def _is_list(cfg: DictConfig) -> bool:
    """Whether several options were chosen: Hydra notes the choice only where it is one.

    `logger=none +logger.mine._target_=...` is one option, and a logger that is none.
    """
    if "hydra" in cfg:
        return "logger" not in cfg.hydra.runtime.choices
    return HydraConfig.initialized() and "logger" not in HydraConfig.get().runtime.choices
