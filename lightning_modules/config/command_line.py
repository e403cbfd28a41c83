"""What happens to the command line before Hydra composes: `resume=`, `from_run=`, clear errors."""

import contextlib
import difflib
import io
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from lightning_modules.config.experiment_files import take_experiments
from lightning_modules.config.former_words import current_options, current_words
from lightning_modules.config.named_twice import check_named_once
from lightning_modules.config.options import (
    CONFIG_DIR,
    check_options,
    help_screen,
    offer,
    option_file,
    option_folders,
    option_values,
)
from lightning_modules.config.own_code import find_own_code, named_packages, own_network
from lightning_modules.config.resuming import resume_words, trusted
from lightning_modules.config.storage_password import take_password
from lightning_modules.config.typed_paths import how_to_quote, path_of, take_paths
from lightning_modules.errors import USER_ERRORS, ConfigError, memory_sentence, system_sentence
from lightning_modules.registry import plain
from lightning_modules.runs import (
    key_of,
    leaves,
    quote,
    removed,
    run_directory,
    saved_run,
    select,
)

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended
# What a wrong command line may raise while it is composed.
COMPOSING = (*USER_ERRORS, HydraException, OmegaConfBaseException)
FLAGS = ("-m", "--multirun")
SHOWN = ("--cfg", "-c", "--info", "-i")  # flags that show what is composed, of all trials at once
# Hydra's flags with a value, which may stand in the next word.
VALUED_FLAGS = (
    *CONFIG_DIR, "--config-path", "-cp", "--config-name", "-cn", "--package", "-p", "--cfg", "-c",
)  # fmt: skip


def expand(arguments: list[str]) -> list[str]:
    """Replaces `resume=R` and `from_run=R` by the overrides they stand for.

    Raises:
        ConfigError: R is not a run, a resumed run would change, or an option does not exist.
    """
    if "--help" in arguments or "-h" in arguments:
        print(help_screen(option_folders(arguments)), end="")
        raise SystemExit
    if any(argument.startswith(("--hydra-help", "--shell-completion")) for argument in arguments):
        return arguments
    arguments = current_words(take_paths(take_password(arguments)))
    find_own_code(named_packages(arguments))
    arguments = own_network(arguments)
    folders = option_folders(arguments)
    arguments = take_experiments(arguments, folders)
    arguments += current_options(arguments)
    check_options(arguments, folders)
    check_named_once(arguments, folders)
    flags, words = _split_flags(arguments)
    if _take(words, "resume")[0] is not None:  # one run, also where `-m` stands beside it
        flags = [flag for flag in flags if flag not in FLAGS]
    if any(flag.split("=")[0] in SHOWN for flag in flags) and not set(FLAGS).isdisjoint(flags):
        flags = [flag for flag in flags if flag not in FLAGS]  # Hydra takes only one of the two
        words = [word for word in words if not _is_swept(word)]
    return flags + _expand(words, folders)


def _split_flags(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Flags, with their values, and words: argparse wants all overrides in one piece."""
    flags: list[str] = []
    words: list[str] = []
    value_follows = False
    for argument in arguments:
        is_flag = argument in FLAGS or argument.split("=")[0] in VALUED_FLAGS
        (flags if is_flag or value_follows else words).append(argument)
        value_follows = not value_follows and argument in VALUED_FLAGS
    return flags, words


def _expand(arguments: list[str], folders: list[Path]) -> list[str]:
    resumed, arguments = _take(arguments, "resume")
    if resumed is not None:
        return resume_words(resumed, arguments, folders)
    entered, arguments = _take(arguments, "from_run")
    if entered is not None:
        return _enter(entered, arguments, folders)
    return arguments


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Turns a user's mistake into one sentence on stderr and exit code 1; bugs keep their trace.

    So does what the system refuses, as a full disk, and Ctrl-C, with a code of its own. Who stops
    reading what is printed, as `head`, ends the program without a word.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name of a file may be beyond its encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        Path.cwd()
    except FileNotFoundError:
        raise SystemExit("error: The current directory is gone; change to another.") from None
    logging.raiseExceptions = False  # a full disk is said once, not for each line of run.log
    try:
        yield
        sys.stdout.flush()
    except USER_ERRORS as error:
        raise SystemExit(f"error: {error}") from None
    except COMPOSING as error:
        raise SystemExit(f"error: {explain(error)}") from None
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends it without a word
        print("interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it again
        raise SystemExit(1) from None
    except Exception as error:
        sentence = system_sentence(error) if isinstance(error, OSError) else None
        sentence = sentence or memory_sentence(error)
        if sentence is None and _of_composing(error):
            sentence = f"The command line cannot be composed: {explain(error)}"
        if sentence is None:
            raise
        raise SystemExit(f"error: {sentence}") from None


def _of_composing(error: Exception) -> bool:
    """Whether Hydra or OmegaConf stumbled over what was typed, with an exception of no kind."""
    codes = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    innermost = codes[-1].replace("\\", "/") if codes else ""
    return any("hydra/_internal/config_loader_impl" in c.replace("\\", "/") for c in codes) and (
        "/hydra/" in innermost or "/omegaconf/" in innermost
    )


def explain(error: Exception) -> str:
    """Hydra's or OmegaConf's complaint as one sentence, with the nearest existing key."""
    cause = error.__cause__
    text = " ".join(str(error).split())
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, USER_ERRORS):
        inner = inner.__context__
    if inner is not None:  # of a resolver of ours
        return str(inner)
    if isinstance(error, OverrideParseException):
        reason = text.split(" See https:")[0]
        odd = reason.startswith("Lexer")  # whose words are its own
        return how_to_quote(error.override, "its value has an odd sign" if odd else reason)
    if found := re.match(r"Ambiguous value for argument '(.*?)' 1\. ", text):
        return how_to_quote(found[1], "it has a comma; -m tries one value after another")
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.parent_node is not None:
        known = [str(key) for key in cause.parent_node]
        key = str(cause.key)
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(known))}."
        return f"There is no key {cause.full_key}; {hint}"
    return text


def _is_swept(word: str) -> bool:
    try:
        return OverridesParser.create().parse_override(word).is_sweep_override()
    except HydraException:  # composing says it
        return False


def _take(arguments: list[str], key: str) -> tuple[str | None, list[str]]:
    """The value of `key=` (None where absent or null) and the other arguments."""
    values = [argument.split("=", 1)[1] for argument in arguments if key_of(argument) == key]
    rest = [argument for argument in arguments if key_of(argument) != key]
    value = path_of(values[-1]) if values and values[-1] not in ("", "null") else None
    return value, rest


def _enter(value: str, arguments: list[str], folders: list[Path]) -> list[str]:
    """The model and data of the entered run come first, so that explicit overrides win."""
    run = run_directory.resolve(value, run_directory.FINISHED)
    if not (run / "model").is_dir() and (stage := saved_run.last_stage(run)) is not None:
        print(f"{run} was stopped before its end; its stage {stage.name} is taken up.")
        run = stage
    saved_run.description(run)
    chosen = {key_of(argument) for argument in arguments}
    trust, inherited = trusted(arguments), []
    for group in ("model", "data"):
        if group not in chosen:
            inherited += _group_overrides(run, group, chosen, folders, trust)
    return [*inherited, *arguments, f"from_run={quote(str(run))}"]


def _group_overrides(
    run: Path,
    group: str,
    chosen: set[str],
    folders: Sequence[Path] = (),
    trust: Sequence[str] = (),
) -> list[str]:
    """Overrides that give `group` the values it had in `run`: its option, then what differed."""
    cfg = saved_run.saved_config(run, allowed=chosen, trust=trust)
    saved = plain(cfg[group], resolve=False)
    option = saved_run.choice(run, group) or saved["name"]
    if option.startswith("blocks/found_") and option_file(group, option, folders) is None:
        offer(f"{group}/{option}", saved)  # the run has all of it, wherever its study is now
        return [f"{group}={option}"]
    if option_file(group, option, folders) is None:
        raise ConfigError(
            f"{run} used {group}={option}, which does not exist; give {group}=..., or its folder "
            "by --config-dir."
        )
    unchanged = option_values(group, option, folders)
    overrides = [f"{group}={option}"]
    for key, value in leaves(saved):
        if value != select(unchanged, key) and key[0] not in saved_run.WEIGHT_SOURCES:
            overrides.append(f"++{group}.{'.'.join(key)}={quote(value)}")
    if group == "model":  # what data lacks is a key that is younger than the run
        overrides += [f"~model.{'.'.join(key)}" for key in removed(unchanged, saved)]
    return overrides
