"""`experiment=STUDY_FOLDER|FILE.yaml|found_<study>`: files that lie in no configuration folder.

They become options of Hydra's before it composes, an architecture's blocks beside them too.
"""

import copy
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from lightning_modules.config.options import offer, option_file
from lightning_modules.config.swept_values import in_grammar, swept_values
from lightning_modules.config.typed_paths import path_of
from lightning_modules.errors import ConfigError
from lightning_modules.files import home_expanded, read_json, read_yaml
from lightning_modules.runs import current_option, joined, key_of
from lightning_modules.runs.run_directory import SEARCH, outputs_root, search_folder
from lightning_modules.runs.run_files import LOADER

FOUND = "found_"  # begins the names of what searches wrote
BLOCKS = "blocks_"  # before the name of an experiment: the file of its architecture, beside it
SUFFIXES = (".yaml", ".yml")
_stored: dict[str, list[Any]] = {}  # options of this process: their content, and their blocks


def found_root() -> Path | None:
    """The configuration folder for winners that `$MODEL_DIET_FOUND` names, if it names one."""
    named = os.environ.get("MODEL_DIET_FOUND")
    return Path(named) if named else None


def take_experiments(words: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """The words of a command line, in which experiments are named by options of Hydra's.

    Args:
        words: overrides and flags.
        folders: where options lie.

    Raises:
        ConfigError: there is no such file, it cannot be read, or a name means two of them.
    """
    given = [path_of(word.partition("=")[2]) for word in words if key_of(word) == "outputs_dir"]
    studies = Path(given[-1] if given else outputs_root()) / "studies"
    return [_taken(word, folders, studies) for word in words]


def _taken(word: str, folders: Sequence[Path], studies: Path) -> str:
    group, (name, _, _) = key_of(word), word.partition("=")
    if group not in ("experiment", "model") or name.startswith("~"):
        return word
    try:
        override = OverridesParser.create().parse_override(word)
        several = override.is_discrete_sweep()
        value = swept_values(override) if several else override.value()
    except HydraException:
        return word  # Hydra's to say
    typed = value if isinstance(value, list) else [value]
    plain = [path_of(one) if several and isinstance(one, str) else one for one in typed]
    choose = _experiment if group == "experiment" else _architecture
    chosen = [choose(x, folders, studies) if isinstance(x, str) else x for x in plain]
    if chosen == plain:
        return word
    text = ",".join(str(in_grammar(one)) for one in chosen)
    return f"{name}=[{text}]" if isinstance(value, list) and not several else f"{name}={text}"


def _experiment(word: str, folders: Sequence[Path], studies: Path) -> str:
    """The option that an experiment's word means, stored where it is none yet."""
    path = Path(home_expanded(word))
    option = None if path.is_absolute() else option_file("experiment", word, folders)
    if option is None and path.suffix in SUFFIXES:
        if not path.is_file():
            raise ConfigError(f"experiment={word}: there is no such file.")
        return _store(path, folders)
    if option is None and (folder := search_folder(str(path))) is not None:
        return _winner(folder, folders)
    if option is None and path.is_dir():
        return _winner(path, folders)
    if option is None and "/" in word:
        raise ConfigError(f"experiment={word} is neither an option nor a study's folder or a file.")
    found = _by_name(word, studies) if word.startswith(FOUND) else None
    if option is None:
        return word if found is None else _store(found, folders, name=word)
    if found is not None and _read(found) != _read(option):
        raise ConfigError(f"experiment={word} means {option} and {found}; name one by its path.")
    return word


def _winner(folder: Path, folders: Sequence[Path]) -> str:
    """The option of the best that a study found."""
    files = sorted(folder.glob(f"{FOUND}*.yaml"))
    if (folder / SEARCH).is_file():
        try:
            name = joined([f"{FOUND}{read_json(folder / SEARCH)['name']}"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(f"{folder / SEARCH} cannot be read; it is damaged.") from None
        files = [path for path in files if path.stem == name]
        if not files and option_file("experiment", name, folders) is not None:
            return name  # of an earlier version, which wrote it there
    if len(files) == 1:
        return _store(files[0], folders)
    if files:
        names = ", ".join(path.name for path in files)
        raise ConfigError(f"{folder} holds several experiments; name one of them: {names}.")
    raise ConfigError(
        f"{folder} holds no winner of a search; python scripts/report.py {folder} writes it."
    )


def _by_name(name: str, studies: Path) -> Path | None:
    """The file that a search wrote: in its study, or below $MODEL_DIET_FOUND."""
    own = studies / name.removeprefix(FOUND) / f"{name}.yaml"
    found = [own] if own.is_file() else sorted(studies.glob(f"*/{name}.yaml"))
    if any(_read(path) != _read(found[0]) for path in found[1:]):
        several = ", ".join(map(str, found))
        raise ConfigError(f"experiment={name} means several files: {several}; name one of them.")
    if not found and (root := found_root()) is not None:
        found = [path for path in [root / "experiment" / f"{name}.yaml"] if path.is_file()]
    return found[0] if found else None


def _architecture(word: str, folders: Sequence[Path], studies: Path) -> str:
    """`blocks/found_<study>`, stored where it is no option yet; any other word as it is."""
    name = word.removeprefix("blocks/")
    if name != word and name.startswith(FOUND) and option_file("model", word, folders) is None:
        found = _by_name(name, studies)
        if found is not None and (path := _blocks_beside(found, name)) is not None:
            offer(f"model/{word}", _read(path))
    return word


def _store(path: Path, folders: Sequence[Path], name: str | None = None) -> str:
    """Makes a file an option, and the blocks beside it; returns the option's name."""
    content = _read(path)
    content["defaults"] = [_today(entry) for entry in content.get("defaults") or []]
    models = [
        (entry, place, str(option))
        for entry in content["defaults"]
        for place, option in (entry.items() if isinstance(entry, dict) else ())
        if str(place).endswith("/model") and str(option).startswith("blocks/")
    ]
    beside = [_blocks_beside(path, option.removeprefix("blocks/")) for _, _, option in models]
    blocks = [None if file is None else _read(file) for file in beside]
    name = name or _free_name(path, [content, *blocks], folders)
    _stored[name] = copy.deepcopy([content, *blocks])
    for (entry, place, option), node in zip(models, blocks, strict=True):
        if node is not None:
            entry[place] = f"blocks/{name}"
            offer(f"model/blocks/{name}", node)
        elif option_file("model", option, folders) is None:
            raise ConfigError(
                f"{path} needs the architecture {option}, but no "
                f"{option.replace('blocks/', BLOCKS)}.yaml lies beside it."
            )
    if not content["defaults"]:
        del content["defaults"]
    header = re.search(r"^#\s*@package\s+(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    offer(f"experiment/{name}", content, package=header and header[1])
    return name


def _free_name(path: Path, content: list[Any], folders: Sequence[Path]) -> str:
    """A name for a file's option that no other one has, of a file or of this process."""
    stem = re.sub(r"\W", "_", path.stem)
    for number in itertools.count(1):
        name = stem if number == 1 else f"{stem}_{number}"
        is_file = option_file("experiment", name, folders) is not None
        if not is_file and _stored.get(name, content) == content:
            return name
    raise AssertionError("There is always another number.")


def _blocks_beside(path: Path, name: str) -> Path | None:
    """The file of an architecture: beside its experiment, or in a configuration folder with it."""
    folder = path.resolve().parent
    places = (folder / f"{BLOCKS}{name}.yaml", folder.parent / f"model/blocks/{name}.yaml")
    return next((place for place in places if place.is_file()), None)


def _today(entry: Any) -> Any:
    """An entry of a defaults list with the names that options have now."""
    if not isinstance(entry, dict):
        return entry
    found = {}
    for place, options in entry.items():
        group = str(place).removeprefix("override ").strip().removeprefix("/")
        names = options if isinstance(options, list) else [options]
        present = [current_option(group, name) if isinstance(name, str) else name for name in names]
        found[place] = present if isinstance(options, list) else present[0]
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path, loader=LOADER)
    except (OSError, ConfigError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(f"{path} cannot be read as an experiment: {reason}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is no experiment: it holds no keys.")
    return {str(key): value for key, value in content.items()}
