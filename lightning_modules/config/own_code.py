"""Code that a command names by `_target_`: where it lies, and a network of it as `model=custom`."""

import re
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from lightning_modules.config.former_words import as_written
from lightning_modules.errors import ConfigError
from lightning_modules.registry import ROOTS
from lightning_modules.runs import key_of, packages_of

OPTION = "model=custom"  # what a network of one's own begins with
TARGET = "model._target_"
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def own_network(words: Sequence[str]) -> list[str]:
    """The words of a command, in which `model._target_` of one's own means `model=custom` too.

    So nothing stays of the default network. What is typed of the model is passed on whether the
    option has the key or not, and the network's name is that of its class.

    Args:
        words: overrides and flags.
    """
    keys = [key_of(word) for word in words]
    typed = {key: word.split("=", 1)[1] for key, word in zip(keys, words, strict=True) if key}
    target = typed.get(TARGET, "").strip("'\"")
    chosen = f"model={typed['model']}" if "model" in typed else OPTION
    continues = any(typed.get(key, "null") not in ("", "null") for key in ("from_run", "resume"))
    if chosen != OPTION or not target or continues or target.partition(".")[0] in ROOTS:
        return list(words)
    found = [] if "model" in typed else [OPTION]
    if "model.name" not in typed and DOTTED.fullmatch(target):
        found.append(f"model.name={target.rpartition('.')[2]}")
    return [*found, *(f"++{w}" if w.startswith("model.") and "=" in w else w for w in words)]


def named_packages(words: Iterable[str]) -> set[str]:
    """The packages outside this one that words name: by a `_target_`, or by `trust`."""
    found: set[str] = set()
    for word in words:
        value = word.partition("=")[2] if key_of(word) == "trust" else ""
        found |= set(re.findall(r"\w+", value))
        found |= set(re.findall(r"_target_\s*[=:]\s*['\"]?(\w+)", word))
    return found - set(ROOTS)


def find_own_code(packages: Iterable[str]) -> None:
    """Lets packages that a command names be imported from the current directory too.

    It is searched last, and only where one of them lies there and nowhere else: what a saved run
    names is not looked for there, unless the command trusts it.

    Raises:
        ConfigError: Python has a module of its own of such a name.
    """
    here = Path.cwd()
    for package in packages:
        place = next((p for p in (here / f"{package}.py", here / package) if p.exists()), None)
        if place is None or str(here) in sys.path:
            continue
        if package in sys.stdlib_module_names:
            raise ConfigError(
                f"{place.name} cannot be named in a command: Python has a module {package} of its "
                "own; give the file another name."
            )
        if package not in sys.modules and find_spec(package) is None:
            sys.path.append(str(here))


def find_composed_code(cfg: DictConfig) -> None:
    """The same for what a composed configuration names that no saved run began.

    Raises:
        ConfigError: as `find_own_code`.
    """
    if cfg.get("resume") is None:
        composed = as_written(cfg)
        trust = composed.get("trust")
        named = {str(name) for name in trust} if isinstance(trust, list) else set()
        find_own_code(packages_of(composed) | named)
