"""Paths of a command line as a person types them: `data.root=/photos (1)`, `data.root=~/été`.

Hydra's grammar knows no letter beyond ASCII and gives brackets, commas, quotes and numbers a
meaning of their own. Of keys that hold a path such a value is taken as it stands; of others it is
said how to quote it. `~` is the home folder wherever a configuration names a path.
"""

import os
import re
from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_modules.config.former_words import as_written
from lightning_modules.errors import ConfigError
from lightning_modules.files import home_expanded
from lightning_modules.runs import bash_word, key_of, leaves, quote

# Keys whose values are paths.
PATH = re.compile(
    r"data\.(root|exclude|split\.file"
    r"|source\.(\w+\.)*(root|file|path|table|annotations|class_map|classes))"
    r"|model\.weights|teacher\.\w+\.(run|weights|model\.weights)"
    r"|from_run|resume|experiment|outputs_dir|cache_dir|hydra\.(run|sweep)\.dir|out|root"
)
SWEEPS = ("-m", "--multirun")

LONG_NUMBER = re.compile(r"\d{4001}")  # of which Python makes no number


def take_paths(words: Iterable[str]) -> list[str]:
    """The words of a command line, the paths among them quoted where Hydra would not take them.

    Args:
        words: overrides and flags; with `-m`, a comma parts values where no such file exists.

    Raises:
        ConfigError: a path names a variable of the environment as if it were a key, or a number
            has too many digits.
    """
    words = list(words)
    for word in words:
        if LONG_NUMBER.search(word):
            raise ConfigError(f"{word[:60]}... has a number of more than 4,000 digits; shorten it.")
        if word.lstrip("+~").startswith(("@", "=")):  # for Hydra the folder of all groups
            raise ConfigError(f"{word} names no key; name one, as in seed=1 or data@place=csv.")
        if re.match(r"~[^=]*@[^=]*=\s*\[", word):
            raise ConfigError(f"{word} removes a list of options; name one option, or none.")
    return [_taken(word, sweep=not set(SWEEPS).isdisjoint(words)) for word in words]


def _taken(word: str, *, sweep: bool) -> str:
    key, (name, _, text) = key_of(word), word.partition("=")
    if not _is_path(key) or text in ("", "null") or name.startswith("~"):
        return word
    found = re.search(r"\$\{(\w+)\}", text)
    if found and found[1] in os.environ:
        raise ConfigError(
            f"{word} names a key {found[1]}, which the configuration does not have; for the "
            f"variable of the environment write ${{oc.env:{found[1]}}}, or let the shell put it in."
        )
    if text.startswith("~") and not os.path.lexists(text):
        text = home_expanded(text)
        word = f"{name}={text}"
    if means_itself(text) or (not os.path.lexists(text) and _is_understood(text)):
        return word
    if sweep and "," in text and not os.path.lexists(text):
        return f"{name}={','.join(map(quote, text.split(',')))}"
    return f"{name}={quote(text)}"


def _is_understood(text: str) -> bool:
    """Whether Hydra reads a text, a list, or several values, where a path may be meant."""
    try:
        override = OverridesParser.create().parse_override(f"key={text}")
    except HydraException:
        return False
    return override.is_sweep_override() or not isinstance(override.value(), bool | int | float)


def means_itself(text: str) -> bool:
    """Whether Hydra reads a text as just this text."""
    try:
        override = OverridesParser.create().parse_override(f"key={text}")
    except HydraException:
        return False
    return not override.is_sweep_override() and override.value() == text


def path_of(text: str) -> str:
    """The path that the value of an override means: quoted for Hydra or not."""
    try:
        value = OverridesParser.create().parse_override(f"key={text}").value()
    except HydraException:
        return text
    return value if isinstance(value, str) else text


def how_to_quote(word: str, reason: str) -> str:
    """What to say of a word that Hydra cannot read.

    Args:
        word: as it was typed.
        reason: in Hydra's words.
    """
    name, sign, text = word.partition("=")
    if not sign:
        return (
            f"{word} is no key=value; where a value has a space in it, the whole needs quotes, as "
            "'data.root=my photos'."
        )
    quoted = f'"{text}"' if not set('"\\') & set(text) else quote(text)
    return (
        f"{word} cannot be read ({reason}); if the value is a text, quote it for Hydra, and all of "
        f"it for the shell: {bash_word(f'{name}={quoted}')}"
    )


def check_paths(cfg: DictConfig) -> None:
    """Puts the home folder in the place of `~`, in all paths of a composed configuration.

    Raises:
        ConfigError: a path is no text, or data has none.
    """
    for key, value in leaves(as_written(cfg)):
        name = ".".join(map(str, key))
        for depth in range(1, len(key)):
            if _is_path(above := ".".join(key[:depth])):
                name, value = above, {".".join(key[depth:]): value}
        if not _is_path(name) or (value is None and name != "data.root"):
            continue
        if value is None or value == "":
            raise ConfigError(f"{name} has no value; give it as {name}=... on the command line.")
        if not isinstance(value, str):
            raise ConfigError(f"{name}={value} is no path; give a text, such as {name}=photos.")
        if value.startswith("~"):
            with open_dict(cfg):
                OmegaConf.update(cfg, name, home_expanded(value))


def _is_path(key: str) -> bool:
    return PATH.fullmatch(key) is not None
