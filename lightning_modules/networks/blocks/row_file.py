"""A network of rows in a file of its own: `model.blocks=FILE.yaml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_modules.errors import ConfigError
from lightning_modules.files import home_expanded, read_yaml
from lightning_modules.registry import ROOTS

ROWS = "backbone"
OPTION = "rows"  # conf/model/rows.yaml, named so until a file names it
MULTIPLES = ("depth_multiple", "width_multiple")
CHANNELS = "input_channel"
# What else such files carry for their own programs: the number of classes comes from the data.
UNUSED = ("nc", "num_classes", "name")


def read_row_file(path: str | Path, place: str = "model") -> dict[str, Any]:
    """What a file says: `blocks`, and those of `depth_multiple` and `width_multiple` it has.

    Args:
        path: of YAML: a list or a dict of rows; or `backbone:` with rows, and beside it
            `input_channel: 3`, `depth_multiple:`, `width_multiple:`.
        place: the key of the model node, for the sentence.

    Raises:
        ConfigError: no such file, no YAML, no rows, or keys and values that mean nothing here.
    """
    file, key = Path(home_expanded(path)), f"{place}.blocks={path}"
    if not file.is_file():
        raise ConfigError(f"{key}: there is no such file.")
    try:
        content = read_yaml(file)
    except ConfigError as error:
        raise ConfigError(f"{key} is no YAML file: {error.__cause__}.") from error
    if isinstance(content, dict) and ROWS in content:
        _check_keys(key, content)
        multiples = {name: content[name] for name in MULTIPLES if name in content}
        return {"blocks": content[ROWS], **multiples}
    if not isinstance(content, dict | list) or not content:
        raise ConfigError(f"{key} holds no rows; give them in a list, or under '{ROWS}:'.")
    misplaced = [name for name in (*MULTIPLES, CHANNELS) if name in content]
    if misplaced:
        raise ConfigError(f"{key} has {misplaced[0]} but no rows; give them under '{ROWS}:'.")
    return {"blocks": content}


def _check_keys(key: str, content: dict[str, Any]) -> None:
    known = (ROWS, *MULTIPLES, CHANNELS, *UNUSED)
    strange = [str(name) for name in content if name not in known]
    if strange:
        raise ConfigError(
            f"{key} has {', '.join(strange)}, which means nothing here; it takes "
            f"{', '.join(known[:4])}."
        )
    if content.get(CHANNELS, 3) != 3:
        raise ConfigError(f"{key}: {CHANNELS} is 3, as images have, not {content[CHANNELS]!r}.")


def names_row_file(node: Mapping[str, Any]) -> bool:
    """Whether `blocks` of a node is a file of rows, not an argument of somebody's own network."""
    own = str(node.get("_target_", ROOTS[-1])).partition(".")[0] in ROOTS
    return own and isinstance(node.get("blocks"), str)


def with_rows(node: Mapping[str, Any], place: str = "model") -> dict[str, Any]:
    """A model node with the rows of the file that its `blocks` names; another stays as it is.

    The file's multiples count where the node has none, or 1; an option without a name of its own
    (`rows`) gets the file's.

    Raises:
        ConfigError: as `read_row_file`.
    """
    if not names_row_file(node):
        return dict(node)
    said = read_row_file(node["blocks"], place)
    multiples = {name: said.get(name, 1.0) for name in MULTIPLES if node.get(name) in (None, 1)}
    names = {"name": Path(node["blocks"]).stem} if node.get("name") == OPTION else {}
    return {**node, **names, **multiples, "blocks": said["blocks"]}
