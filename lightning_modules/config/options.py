"""What `conf/` and folders of one's own offer: groups, options, and `python run.py --help`."""

import contextlib
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from pkgutil import resolve_name
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
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
Options of your own:    python run.py --config-dir my_conf model=mine  (my_conf/model/mine.yaml)
Hydra's own flags:      python run.py --hydra-help
"""


CONFIG_DIR = ("--config-dir", "-cd")  # Hydra's flag for a folder of options of one's own


def option_folders(arguments: Sequence[str]) -> list[Path]:
    """Where the options of a command lie: in `conf/`, and in the folders that it names.

    Args:
        arguments: a command line, with Hydra's `--config-dir` or `hydra.searchpath=[...]`.
    """
    folders = [CONF]
    for flag, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, _, value = flag.partition("=")
        if name in CONFIG_DIR:
            folders.append(Path(value or following))
        if name == "hydra.searchpath":
            folders += _searched(value)
    return folders


def _searched(value: str) -> Iterable[Path]:
    """The folders of a search path: `file://FOLDER`, just `FOLDER`, or `pkg://PACKAGE`."""
    try:
        named = OverridesParser.create().parse_override(f"key={value}").value()
    except HydraException:  # composing says it
        return
    for text in named if isinstance(named, list) else [named]:
        scheme, _, place = str(text).rpartition("://")
        if scheme in ("", "file"):
            yield Path(place)
        if scheme != "pkg":
            continue
        with contextlib.suppress(ModuleNotFoundError):  # Hydra's to say
            spec = find_spec(place.replace("/", "."))
            yield from map(Path, (spec and spec.submodule_search_locations) or ())


def options_of(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """The options of a group by name; files that begin with `_` are parts of options."""
    found = set()
    for folder in folders or [CONF]:
        files = (folder / group).rglob("*.yaml")
        paths = (path.relative_to(folder / group) for path in files if path.stem[0] != "_")
        found |= {path.with_suffix("").as_posix() for path in paths}
    return sorted(found)


def help_screen(folders: Sequence[Path] = ()) -> str:
    """Every group with its options, and commands to copy.

    Args:
        folders: where options lie; by default in `conf/`.

    Hydra's own help composes the configuration of each option only to list its name, which takes
    seconds where there are many; the files' names say the same.
    """
    rows = []
    places = [path for folder in folders or [CONF] if folder.is_dir() for path in folder.iterdir()]
    for group in sorted({path.name for path in places if path.is_dir() and path.name[0].isalpha()}):
        plus = "+" if group in ("teacher", "compression") else " "
        rows.append(f" {plus}{group:<13} {', '.join(options_of(group, folders))}")
    return TEXT.format(groups="\n".join(rows))


def option_file(group: str, option: str, folders: Sequence[Path] = ()) -> Path | None:
    """The file of an option; None where there is none."""
    files = (folder / group / f"{option}.yaml" for folder in folders or [CONF])
    return next((path for path in files if path.is_file()), None)


def option_values(group: str, option: str, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """The values of an option, over those of the files that it begins with."""
    path = option_file(group, option, folders)
    assert path is not None, (group, option)
    own = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = [name for name in own.pop("defaults", []) if name != "_self_"]
    nodes = [*(_beginning(group, option, name, folders) for name in names), own]
    merged = OmegaConf.merge(*nodes)
    assert isinstance(merged, DictConfig)
    return plain(merged, resolve=False)


def _beginning(group: str, option: str, name: str, folders: Sequence[Path]) -> dict[str, Any]:
    """A file that an option's defaults name: beside it, or as `/group/name@_here_`."""
    name = name.removesuffix("@_here_")
    beside = str(PurePosixPath(option).parent / name)
    name = name.removeprefix(f"/{group}/") if name[0] == "/" else beside
    return option_values(group, name, folders)


def check_options(arguments: Sequence[str], folders: Sequence[Path] = ()) -> None:
    """Refuses unknown options of known groups, with all that exist (sweeps over options too).

    Those of installed packages become known by being named.

    Args:
        arguments: a command line.
        folders: where options lie; by default where the command line says.

    Raises:
        ConfigError: there is no such option, or it needs what is not installed.
    """
    folders = folders or option_folders(arguments)
    for argument in arguments:
        group = key_of(argument)
        if group == "hydra/launcher" and (name := argument.split("=", 1)[1]) in LAUNCHERS:
            require_extra(*LAUNCHERS[name], what=argument)
        if not group or not any((folder / group).is_dir() for folder in folders):
            continue
        known = options_of(group, folders)
        names = argument.split("=", 1)[1].replace("[", "").replace("]", "").split(",")
        for name in (name.strip(" '\"") for name in names):
            if name in ("", "null") or not name.replace("_", "").replace("/", "").isalnum():
                continue  # a null, or a sweep expression: Hydra's to judge
            if name not in known and (_offer_package(group, name) or is_offered(group, name)):
                continue
            if name not in known:
                raise ConfigError(f"There is no {group}={name}; there are: {', '.join(known)}.")
            if (path := option_file(group, name, folders)) is not None:
                _check_acyclic(path)


def offer(option: str, content: dict[str, Any], *, package: str | None = None) -> None:
    """Makes `group/name` an option of this process, which no file is.

    Args:
        option: such as `experiment/mine`.
        content: its values.
        package: the node that they go to, as `# @package` says it in a file; by default the group.
    """
    from hydra.core.config_store import ConfigStore

    group, _, name = option.rpartition("/")
    node = OmegaConf.create(content)
    ConfigStore.instance().store(group=group, name=name, node=node, package=package)


def is_offered(group: str, name: str) -> bool:
    """Whether `offer` made an option of a group."""
    from hydra.core.config_store import ConfigStore

    node: Any = ConfigStore.instance().repo
    for part in f"{group}/{name}.yaml".split("/"):
        node = node.get(part) if isinstance(node, dict) else None
    return node is not None


def _offer_package(group: str, name: str) -> bool:
    """Makes what an installed package offers an option of its group; false where none does.

    Nothing of the package is imported yet.
    """
    path = resolve_name(OFFERED[group]).path(name, group) if group in OFFERED else None
    if path is None:
        return False
    offer(f"{group}/{name}", {name: {"_target_": path}})
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
