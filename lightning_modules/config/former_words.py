"""What a person wrote in former names, read in today's, with one line for each that changed."""

import re
import sys
from collections.abc import Iterable
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_modules.config.options import CONF
from lightning_modules.runs import current_key, current_option, key_of, quote, select
from lightning_modules.runs.renames import Key, in_expression, put, renamed_config

WORD = re.compile(r"(?P<sign>[+~]*)(?P<key>[\w./-]+)(?P<value>=.*)?", re.DOTALL)

_announced: set[str] = set()


def current_words(words: Iterable[str], *, announce: bool = True) -> list[str]:
    """Overrides in today's names, whether they set, add (`+`), remove (`~`) or sweep over a key.

    Args:
        words: of a command line, or as a run stored them.
        announce: print a line for each name that changed.
    """
    words = list(words)
    return [_current_word(word, announce, words) for word in words]


def _current_word(word: str, announce: bool, words: list[str]) -> str:
    match = WORD.fullmatch(word)
    if match is None or _in_chosen_file(tuple(match["key"].split(".")), words):
        return word
    sign, old, value = match["sign"], match["key"], match["value"] or ""
    parts, values = current_key(tuple(old.split(".")), _class_of, value)
    new = ".".join(parts)
    given = in_expression(value, old, values)
    if given.startswith("={"):
        given = _current_node(tuple(old.split(".")), parts, given, announce)
    if announce and new != old:
        _announce(old, new)
    elif announce and given != value and not given.startswith("={"):
        _announce(f"{old}{value}", f"{new}{given}")
    return f"{sign}{new}{given}"


def _current_node(old: Key, new: Key, value: str, announce: bool) -> str:
    """A whole node, `={a:1,b:2}`, with today's keys."""
    node = OverridesParser.create().parse_override(f"key{value}").value()
    if not isinstance(node, dict):
        return value
    tree: dict[str, Any] = {}
    put(tree, old, node)
    found, renamed = renamed_config(tree, _class_of)
    for former, present in renamed.items():
        if announce and len(former.split(".")) > len(old):
            _announce(former, present)
    return f"={quote(select(found, new))}" if renamed else value


def _in_chosen_file(key: Key, words: list[str]) -> bool:
    """Whether an option that the words choose has this very key: a file in former names.

    The word keeps the key then, and what is composed of both is renamed (`rename_composed`).
    """
    if current_key(key, _class_of)[0] == key:
        return False
    for word in words:
        if key_of(word) == key[0]:
            for option in re.findall(r"[\w/-]+", word.split("=", 1)[1]):
                path = CONF / key[0] / f"{option}.yaml"
                content = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else {}
                if key[-1] in (select(content, key[1:-1]) or {}):
                    return True
    return False


def _class_of(key: Key) -> str | None:
    """The class of the node that an option of this name holds."""
    path = CONF.joinpath(*key).with_suffix(".yaml")
    found = re.search(r"_target_: (\S+)", path.read_text("utf-8")) if path.is_file() else None
    return None if found is None else found[1].rpartition(".")[2]


def current_options(words: list[str]) -> list[str]:
    """Words for the options that an experiment's file names as they were called.

    Hydra would look for a file of the former name; a word on the command line comes before it.
    """
    chosen = {key_of(word): word.split("=", 1)[1] for word in words if "=" in word}
    path = CONF / "experiment" / f"{chosen.get('experiment')}.yaml"
    if not path.is_file():
        return []
    found = []
    for default in (yaml.safe_load(path.read_text("utf-8")) or {}).get("defaults", []):
        for place, options in default.items() if isinstance(default, dict) else ():
            group = place.removeprefix("override ").strip().removeprefix("/")
            names = options if isinstance(options, list) else [options]
            present = [current_option(group, str(name)) for name in names]
            if present != names and group not in chosen:
                for former, name in zip(names, present, strict=True):
                    if former != name:
                        _announce(f"{group}={former}", f"{group}={name}")
                found.append(f"{group}={','.join(present) if len(names) == 1 else quote(present)}")
    return found


def rename_composed(cfg: DictConfig) -> None:
    """Gives a composed configuration today's names, in place: a file of the user's may have others.

    What was typed in today's name comes before what a file says in a former one.
    """
    composed = as_written(cfg)
    found, renamed = renamed_config(composed)
    typed = set(map(key_of, _overrides(cfg)))
    for former, present in renamed.items():
        _announce(former, present)
        if present in typed:
            key = tuple(present.split("."))
            put(found, key, select(composed, key))
    with open_dict(cfg):
        for group, value in found.items():
            if value != composed[group]:
                cfg[group] = value


def as_written(cfg: DictConfig) -> dict[str, Any]:
    """A configuration without Hydra's node, as plain values and interpolations."""
    return {str(key): _plain(cfg, str(key)) for key in cfg if key != "hydra"}


def _plain(cfg: DictConfig, key: str) -> Any:
    """As written: an interpolation may mean what is not there yet."""
    node = cfg._get_node(key)
    return (
        OmegaConf.to_container(node, resolve=False)
        if OmegaConf.is_config(node)
        else getattr(node, "_value", lambda: None)()
    )


def _overrides(cfg: DictConfig) -> list[str]:
    if "hydra" in cfg:
        return list(cfg.hydra.overrides.task)
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _announce(old: str, new: str) -> None:
    if old not in _announced:
        _announced.add(old)
        print(f"note     {old} is called {new} now", file=sys.stderr)
