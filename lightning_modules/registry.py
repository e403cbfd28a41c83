"""What a name leads to: objects by `_target_`, schemas by component, earlier names.

Module paths that moved, and keys and options that were renamed, stand in one table,
`aliases.yaml`. It serves imports, saved runs and typed commands, and goes with the next version.
"""

import copy
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from compression.errors import own_words
from lightning_modules.errors import USER_ERRORS, ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

ROOTS = ("compression", "datamodules", "lightning_modules")

# The checks of what the components' settings may say: functions beside them, free of torch, which
# run before it is imported. By names, since `config`, which runs them, lies below the components.
SCHEMAS = {
    "model": "lightning_modules.networks.schema:check_model",
    "compression": "lightning_modules.config.check_compression:check_compression",
    "distillation": "lightning_modules.distillation.schema:check_distillation",
    "teachers": "lightning_modules.distillation.teacher_runs:check_teachers",
    "training": "lightning_modules.training.schema:check_training",
    "quantized_training": "lightning_modules.training.schema:check_quantized_training",
    "loggers": "lightning_modules.reporting.loggers.schema:check_loggers",
    "objectives": "lightning_modules.search.objectives:check_objectives",
    "search": "lightning_modules.search.check:check_search",
    "latency": "lightning_modules.deployment.backends:check_latency",
}


# Groups of conf/ -> the parts that installed packages may offer as options of theirs.
OFFERED = {
    "compression": "compression.steps:STEPS",
    "logger": "lightning_modules.reporting.loggers.schema:LOGGERS",
}


def schema(component: str) -> Callable[..., None]:
    """The check of a component's settings; it raises a user's error for the first mistake."""
    return resolve_name(SCHEMAS[component])


def build(node: "DictConfig | dict[str, Any]", **extra: Any) -> Any:
    """The object that `node` describes by its `_target_`.

    Nested nodes with a `_target_` are built too, but for those of a class that declares its
    settings, which finds its parts itself; lists and dicts arrive as plain Python ones. `extra`
    keywords are passed on untouched, so they may hold modules and data.

    Raises:
        ConfigError: the target does not exist or refuses its arguments.
    """
    target = node.get("_target_")
    declared = isinstance(target, str) and _declared(target)
    if declared and not isinstance(node, dict):
        node = plain(node)
    if isinstance(node, dict) and isinstance(target, str) and (declared or _is_flat(node)):
        own = {key: copy.deepcopy(value) for key, value in node.items() if key != "_target_"}
        return _call(target, own | extra)
    from hydra.errors import InstantiationException  # not for a user of plain networks
    from hydra.utils import instantiate

    try:
        # Hydra would merge keywords into the node, which copies and cannot hold a network.
        factory = instantiate(node, _partial_=True, _convert_="all")
        return factory(**extra)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, USER_ERRORS):
            raise cause from None
        if cause is None:
            raise ConfigError(f"{target} cannot be built: {str(error).splitlines()[0]}") from error
        hint = how_to_find(cause, str(target))
        raise ConfigError(f"{target} cannot be built: {own_words(cause)}{hint}.") from cause
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise ConfigError(f"{target} cannot be built: {error}") from error


def build_part(
    node: "DictConfig | dict[str, Any]",
    kind: str,
    place: str,
    methods: Sequence[str] = ("__call__",),
    **extra: Any,
) -> Any:
    """What `build` makes of a node, which must be a part of some kind.

    Args:
        node: of this package or of somebody's own.
        kind: of the part, in words, such as `optimizer`.
        place: key of the node.
        methods: and attributes that each part of the kind has.
        extra: as of `build`.

    Raises:
        ConfigError: it cannot be built, or lacks one of the methods.
    """
    part = build(node, **extra)
    missing = [name for name in methods if not hasattr(part, name)]
    if missing:
        raise ConfigError(
            f"{place}._target_={node.get('_target_')} makes no {kind}: its "
            f"{type(part).__qualname__} has no {', '.join(missing)}."
        )
    return part


def plain(node: "DictConfig", *, resolve: bool = True) -> dict[str, Any]:
    """A configuration node as plain Python values, its interpolations resolved unless told not to.

    Raises:
        OmegaConfBaseException: an interpolation names nothing.
    """
    from omegaconf import OmegaConf  # not for a user of plain networks

    content = OmegaConf.to_container(node, resolve=resolve)
    assert isinstance(content, dict), node
    return {str(key): value for key, value in content.items()}


def _is_flat(node: dict[str, Any]) -> bool:
    """Whether a plain node is a mere call, with nothing in it for Hydra to build or resolve."""
    text = str({key: value for key, value in node.items() if key != "_target_"})
    return not any(
        word in text
        for word in ("_target_", "_partial_", "_args_", "_convert_", "_recursive_", "${")
    )


def _declared(target: str) -> bool:
    """Whether the class at a dotted path was made by `declared`."""
    try:
        return hasattr(resolve_name(target), "__declared__")
    except Exception:  # whatever the import raises; it is told where the class is built
        return False


def _call(target: str, arguments: dict[str, Any]) -> Any:
    try:
        factory = resolve_name(target)
    except Exception as error:  # whatever the import raises
        reason = f"{own_words(error)}{how_to_find(error, target)}"
        raise ConfigError(f"{target} cannot be built: {reason}.") from error
    try:
        return factory(**arguments)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise ConfigError(f"{target} cannot be built: {error}") from error


def how_to_find(error: BaseException, target: str) -> str:
    """Where a command looks for the package of a `_target_`, if that is what it did not find."""
    package = target.partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or error.name != package:
        return ""
    return (
        f"; what a command names may lie in the current directory, {Path.cwd()}, as {package}.py "
        f"or {package}/; where a saved run names it, add 'trust=[{package}]'"
    )


def takes(node: Mapping[str, Any], argument: str) -> bool:
    """Whether the target of `node` has an argument of that name.

    Raises:
        ConfigError: the target does not exist.
    """
    target = node.get("_target_")
    try:
        found = resolve_name(str(target))
        # Of declared classes the signature is known from the first object on.
        declared = getattr(found, "__dataclass_fields__", {})
        return argument in declared or argument in inspect.signature(found).parameters
    except Exception as error:  # whatever the import raises
        raise ConfigError(f"{target} cannot be built: {error}.") from error


def require_extra(extra: str, package: str, *, what: str) -> None:
    """Refuses what needs a package that is not installed, before anything heavy is loaded.

    Args:
        extra: of this project's `pyproject.toml`, such as `slurm`.
        package: as imported, such as `hydra_plugins.hydra_submitit_launcher`.
        what: needs it, as the user typed it.

    Raises:
        ConfigError: with the command that installs it.
    """
    try:
        found = find_spec(package)
    except ModuleNotFoundError:  # of the package's parent
        found = None
    if found is None:
        raise ConfigError(
            f"{what} needs {package.rpartition('.')[2]}, which is not installed; install it with: "
            f"pip install 'model-diet[{extra}]' (here: pip install '.[{extra}]')."
        )


@functools.cache
def table() -> dict[str, dict[str, Any]]:
    """`aliases.yaml`: `modules`, `names` map dotted paths; `keys` to `options` settings."""
    path = Path(__file__).with_name("aliases.yaml")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)


def current_path(path: str) -> str:
    """Where the class or function of an earlier dotted `path` lives now; others come back as is."""
    known = table()
    if path in known["names"]:
        return known["names"][path]
    module, _, name = path.rpartition(".")
    return f"{known['modules'][module]}.{name}" if module in known["modules"] else path


def current_targets(node: Any) -> Any:
    """A copy of a plain configuration node whose `_target_`s are today's."""
    if isinstance(node, dict):
        return {
            key: current_path(value)
            if key == "_target_" and isinstance(value, str)
            else current_targets(value)
            for key, value in node.items()
        }
    return [current_targets(value) for value in node] if isinstance(node, list) else node


class MovedModules(MetaPathFinder, Loader):
    """Imports a module by the path it had: asked last, so only where nothing else has the name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that moved; None for all others."""
        if fullname.partition(".")[0] not in ROOTS or fullname not in table()["modules"]:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """A view of the present module."""
        present = importlib.import_module(table()["modules"][spec.name])
        moved = ModuleType(spec.name, f"Moved to `{present.__name__}`.")
        _follow_names(moved, functools.partial(getattr, present))
        return moved

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the module was imported under its present name."""


class RenamedMembers(MetaPathFinder):
    """Lets a module that kept its path answer to names that its members had; asked first."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The usual spec of such a module, whose loader adds the names; None for all others."""
        if fullname not in _homes():
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _RenamingLoader(fullname, spec.loader.path)
        return spec


class _RenamingLoader(SourceFileLoader):
    """Loads a module's own file, and looks what is missing there up in the table."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _follow_names(module, module.__dict__.get("__getattr__"))


@functools.cache
def _homes() -> frozenset[str]:
    """The modules of which a class or function has another name now."""
    return frozenset(path.rpartition(".")[0] for path in table()["names"])


def _follow_names(module: ModuleType, otherwise: Callable[[str], Any] | None) -> None:
    """Makes a module find its former names, then what it found before."""

    def find(name: str) -> Any:
        path = table()["names"].get(f"{module.__name__}.{name}")
        if path is not None:
            return resolve_name(path)
        # Its own dunders: the present module's __path__ would import submodules twice.
        if otherwise is None or name.startswith("__"):
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        return otherwise(name)

    module.__dict__["__getattr__"] = find


def install_aliases() -> None:
    """Lets earlier names of modules and their members be imported, once a process."""
    if any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, RenamedMembers())
    sys.meta_path.append(MovedModules())
    for name in _homes() & sys.modules.keys():
        _follow_names(sys.modules[name], sys.modules[name].__dict__.get("__getattr__"))
