"""What scripts have in common: `RUN... key=value --flag`, the run that is meant, how they end.

Imports no torch, so that `--help` and mistakes come at once.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from rich.console import Console

from lightning_modules.config.command_line import INTERRUPTED, report_errors
from lightning_modules.config.composing import config_over
from lightning_modules.errors import ConfigError
from lightning_modules.files import home_expanded
from lightning_modules.runs import key_of, run_directory, saved_run

PLAIN_WIDTH = 160  # columns of a table that goes into a file or a pipe


@dataclass(frozen=True)
class OwnKey:
    """A `key=value` of one script, which is no override of the configuration.

    Attributes:
        values: what may be given, as `--help` shows it: `N`, `onnx|openvino`.
        help: what it says.
        default: what stands for it where it is not given, as it would be typed; None: nothing.
        earlier: a name that it had, and that still works for a version.
    """

    values: str
    help: str
    default: str | None = None
    earlier: str | None = None


@dataclass(frozen=True)
class ScriptArguments:
    """A command line, taken apart.

    Attributes:
        names: words without `=`: runs, files, folders, in their order.
        own: the script's own keys, the defaults of those that were not given among them.
        overrides: all other `key=value` words, for Hydra.
        flags: what stands behind `--`.
    """

    names: list[str]
    own: dict[str, str]
    overrides: list[str]
    flags: argparse.Namespace

    def settings(self, declaration: type) -> Any:
        """An object of a declaration, of those of the script's own keys that it has.

        Raises:
            ConfigError: a value is not allowed.
        """
        from lightning_modules.schema import check_settings  # pydantic: not for `--help`

        keys = [field.name for field in fields(declaration) if field.name in self.own]
        return check_settings(declaration, {key: value_of(key, self.own[key]) for key in keys})

    def one_run(self) -> str:
        """The only run that was named.

        Raises:
            ConfigError: none, or several.
        """
        if len(self.names) != 1:
            named = " and ".join(self.names) or "none"
            raise ConfigError(f"Name one run directory, or `last`; not {named}.")
        return self.names[0]


class ScriptParser(argparse.ArgumentParser):
    """Parses `RUN... key=value --flag`, in any order; flags are added as to any parser.

    Args:
        description: what the script does.
        usage: its words.
        keys: the script's own keys by name.
        overrides: whether other keys are overrides of a configuration, or mistakes.
        epilog: what the words are, where `usage` does not say it.
    """

    def __init__(
        self,
        *,
        description: str,
        usage: str,
        keys: Mapping[str, OwnKey] | None = None,
        overrides: bool = True,
        epilog: str | None = None,
    ) -> None:
        super().__init__(
            description=description, usage=f"%(prog)s {usage}", epilog=epilog, add_help=False
        )
        self.keys = dict(keys or {})
        self.overrides = overrides
        self.add_argument("words", nargs="*", help=argparse.SUPPRESS)
        self.add_argument("-h", "--help", action="help", help="show this and exit")

    def format_help(self) -> str:
        """The usual help, with the script's own keys below the flags."""
        formatter = self.formatter_class(prog=self.prog)
        formatter.start_section("own keys")
        formatter.add_arguments(
            [
                argparse.Action([f"{name}={key.values}"], name, nargs=0, help=_help(key))
                for name, key in self.keys.items()
            ]
        )
        formatter.end_section()
        own = formatter.format_help() if self.keys else ""
        return f"{super().format_help()}\n{own}".rstrip() + "\n"

    def parse(self, arguments: Sequence[str] | None = None) -> ScriptArguments:
        """The words of a command line; None: of this process's.

        Raises:
            ConfigError: a key is none of this script's where no overrides are taken, or has no
                value.
        """
        flags = self.parse_intermixed_args(arguments)
        own = defaults(self.keys)
        names, overrides = [], []
        earlier = {key.earlier: name for name, key in self.keys.items() if key.earlier}
        for word in flags.words:
            if "=" not in word or os.path.lexists(word):
                names.append(home_expanded(word))
                continue
            key, value = key_of(word), word.split("=", 1)[1]
            if key in earlier:
                print(f"{key}= is called {earlier[key]}= now.", file=sys.stderr)
            key = earlier.get(key, key)
            if key in self.keys:
                if not value:
                    raise ConfigError(f"{key}= has no value; give {key}={self.keys[key].values}.")
                own[key] = home_expanded(value)
            elif self.overrides:
                overrides.append(word)
            else:
                known = ", ".join(self.keys) or "none"
                raise ConfigError(f"{word} is no key of this script; own keys: {known}.")
        del flags.words
        return ScriptArguments(names, own, overrides, flags)


def value_of(key: str, text: str) -> Any:
    """What a value means, as Hydra reads it; `1,2` is a list too.

    Raises:
        ConfigError: it cannot be read.
    """
    parser = OverridesParser.create()
    try:
        override = parser.parse_override(f"{key}={text}")
        if override.is_sweep_override():
            override = parser.parse_override(f"{key}=[{text}]")
    except (HydraException, ValueError) as error:  # of too many digits, too
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{key}={text[:200]} cannot be read: {reason}.") from error
    return override.value()


def defaults(keys: Mapping[str, OwnKey]) -> dict[str, str]:
    """What stands for the keys that are not given, by name."""
    return {name: key.default for name, key in keys.items() if key.default is not None}


def _help(key: OwnKey) -> str:
    return key.help if key.default is None else f"{key.help} (default: {key.default})"


@dataclass(frozen=True)
class NamedRun:
    """A finished run that was named on a command line.

    Attributes:
        path: its directory.
        description: what its `model/network.yaml` says.
        cfg: its configuration, with the command's overrides, in the network's own image size
            unless they change it.
    """

    path: Path
    description: dict[str, Any]
    cfg: DictConfig


def named_run(name: str, overrides: list[str]) -> NamedRun:
    """The finished run of a name, read without torch.

    Args:
        name: a run directory, or `last`.
        overrides: Hydra overrides over the run's saved configuration.

    Raises:
        ConfigError: there is no such run, or an option does not exist.
    """
    run = run_directory.resolve(name, run_directory.FINISHED)
    description = saved_run.description(run)
    cfg = config_over(run, overrides)
    if not sets_image_size(overrides):
        cfg.data.image_size = description.get("image_size", cfg.data.image_size)
    return NamedRun(run, description, cfg)


def sets_image_size(overrides: list[str]) -> bool:
    """Whether overrides say in what size images are wanted."""
    return "data.image_size" in map(key_of, overrides)


def table_console(**settings: Any) -> Console:
    """Where tables are printed: as wide as the terminal, or wide enough for a file."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, **settings)


def run_script(main: Callable[[], None], *, interrupted: str = "Interrupted.") -> None:
    """Runs a script; mistakes and Ctrl-C end it with a sentence on stderr.

    Raises:
        SystemExit: with a sentence and code 1 for a mistake, with code 130 after Ctrl-C.
    """
    with report_errors():
        try:
            main()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends it without a word
            print(interrupted, file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
