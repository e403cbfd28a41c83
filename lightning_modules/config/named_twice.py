"""A list of options that names one twice: Hydra merges them, and one step of two is lost."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from lightning_modules.config.options import option_file
from lightning_modules.errors import ConfigError
from lightning_modules.runs import key_of


def check_named_once(arguments: Sequence[str], folders: Sequence[Path]) -> None:
    """Refuses `group=[a,a]`, with what to give instead.

    Args:
        arguments: a command line.
        folders: where options lie.

    Raises:
        ConfigError: an option is named twice in a list.
    """
    for argument in arguments:
        group, value = key_of(argument), argument.partition("=")[2]
        if not group or not any((folder / group).is_dir() for folder in folders):
            continue
        for inner in re.findall(r"\[([^\[\]]*)\]", value):
            counts = Counter(name.strip(" '\"") for name in inner.split(","))
            for name, times in counts.items():
                if name and times > 1:
                    raise ConfigError(_sentence(argument, group, name, folders))


def _sentence(argument: str, group: str, name: str, folders: Sequence[Path]) -> str:
    twice = f"{argument} names {name} twice, and a name has one set of settings"
    path = option_file(group, name, folders)
    if group != "compression" or path is None:
        return f"{twice}; name it once."
    from compression.steps import step_settings  # pydantic: only for this sentence

    settings = yaml.safe_load(path.read_text(encoding="utf-8")).get(name, {})
    target = settings.get("_target_")
    if step_settings(str(target)).last:  # there can be no second one
        return f"{twice}; name it once."
    again = f"{name}_again"
    ways = [f"for several rounds give compression.{name}.rounds=2"] if "rounds" in settings else []
    own = f"{again}: {{_target_: {target}}}"
    ways.append(
        f"for a second step of its kind write my_conf/compression/{again}.yaml with '{own}' and "
        f"its settings, and give --config-dir my_conf '+compression=[{name},{again}]'"
    )
    return f"{twice}; {'; '.join(ways)}."
