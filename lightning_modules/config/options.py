"""What `conf/` offers: the groups, their options, and what `python run.py --help` says of them."""

import contextlib
from pathlib import Path, PurePosixPath
from pkgutil import resolve_name
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from lightning_modules.errors import ConfigError
from lightning_modules.registry import OFFERED, plain, require_extra
from lightning_modules.runs import key_of

CONF = Path(__file__).resolve().parents[2] / "conf"
# hydra/launcher -> the extra that brings it, and its package
LAUNCHERS = {
    "joblib": ("parallel", "hydra_plugins.hydra_joblib_launcher"),
    "submitit_local": ("slurm", "hydra_plugins.hydra_submitit_launcher"),
    "submitit_slurm": ("slurm", "hydra_plugins.hydra_submitit_launcher"),
}
TEXT = """\
Model Diet trains, distils, compresses and searches small image classifiers.

Groups: choose with group=option
{groups}

Examples
  python run.py                                      demo data, no download, no account
  python run.py model=mnasnet data=taco              train on TACO
  python run.py model=timm model.name=resnet50d      any network of timm
  python run.py data=image_folder data.root=photos   train on your own images
  python run.py '+teacher=[shufflenet_g3,resnet18]'  distil from two teachers
  python run.py +compression=tucker                  train, factorise, fine-tune
  python run.py +compression=tucker from_run=last    compress the newest finished run
  python run.py -m hydra/sweeper=optuna              search hyper-parameters
  python run.py -m hydra/sweeper=optuna sweep=architecture sweep.limits.macs=5e5
  python run.py resume=last                          continue an interrupted run

Any key can be changed: python run.py trainer.max_epochs=10 optimizer.lr=1e-3
All keys and values:    python run.py --cfg job
Hydra's own flags:      python run.py --hydra-help
"""


def options_of(group: str) -> list[str]:
    """The options of a group by name; files that begin with `_` are parts of options."""
    folder = CONF / group
    paths = (path.relative_to(folder) for path in folder.rglob("*.yaml") if path.stem[0] != "_")
    return sorted(path.with_suffix("").as_posix() for path in paths)


def help_screen() -> str:
    """Every group with its options, and commands to copy.

    Hydra's own help composes the configuration of each option only to list its name, which takes
    seconds where there are many; the files' names say the same.
    """
    rows = []
    for group in sorted(path.name for path in CONF.iterdir() if path.is_dir()):
        plus = "+" if group in ("teacher", "compression") else " "
        rows.append(f" {plus}{group:<13} {', '.join(options_of(group))}")
    return TEXT.format(groups="\n".join(rows))


def option_values(group: str, option: str) -> dict[str, Any]:
    """The values of an option, over those of the files that it begins with."""
    own = yaml.safe_load((CONF / group / f"{option}.yaml").read_text(encoding="utf-8"))
    names = [name for name in own.pop("defaults", []) if name != "_self_"]
    nodes = [*(_beginning(group, option, name) for name in names), own]
    merged = OmegaConf.merge(*nodes)
    assert isinstance(merged, DictConfig)
    return plain(merged, resolve=False)


def _beginning(group: str, option: str, name: str) -> dict[str, Any]:
    """A file that an option's defaults name: beside it, or as `/group/name@_here_`."""
    name = name.removesuffix("@_here_")
    beside = str(PurePosixPath(option).parent / name)
    return option_values(group, name.removeprefix(f"/{group}/") if name[0] == "/" else beside)


def check_options(arguments: list[str]) -> None:
    """Refuses unknown options of known groups, with all that exist (sweeps over options too).

    Those of installed packages become known by being named.

    Raises:
        ConfigError: there is no such option, or it needs what is not installed.
    """
    for argument in arguments:
        group = key_of(argument)
        if group == "hydra/launcher" and (name := argument.split("=", 1)[1]) in LAUNCHERS:
            require_extra(*LAUNCHERS[name], what=argument)
        if not group or not (CONF / group).is_dir():
            continue
        known = options_of(group)
        names = argument.split("=", 1)[1].replace("[", "").replace("]", "").split(",")
        for name in (name.strip(" '\"") for name in names):
            if name in ("", "null") or not name.replace("_", "").replace("/", "").isalnum():
                continue  # a null, or a sweep expression: Hydra's to judge
            if name not in known and _offer(group, name):
                continue
            if name not in known:
                raise ConfigError(f"There is no {group}={name}; there are: {', '.join(known)}.")
            _check_acyclic(CONF / group / f"{name}.yaml")


def _offer(group: str, name: str) -> bool:
    """Makes what an installed package offers an option of its group; false where none does.

    Nothing of the package is imported yet.
    """
    path = resolve_name(OFFERED[group]).path(name, group) if group in OFFERED else None
    if path is None:
        return False
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group=group, name=name, node={name: {"_target_": path}})
    return True


def _check_acyclic(path: Path) -> None:
    """An alias of YAML inside its own anchor, which Hydra would follow for ever."""
    text = path.read_text(encoding="utf-8")
    if "&" in text and "*" in text:
        with contextlib.suppress(yaml.YAMLError):  # Hydra's to say
            _walk(yaml.safe_load(text), (), path)


def _walk(node: Any, above: tuple[int, ...], path: Path) -> None:
    if id(node) in above:
        raise ConfigError(f"{path} has an alias (*) that stands inside its own anchor (&).")
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        _walk(child, (*above, id(node)), path)
