"""The password of a study's database, kept out of everything that is written or printed."""

import os
import re
from collections.abc import Sequence
from urllib.parse import unquote

from omegaconf import DictConfig, open_dict, read_write

from lightning_modules.runs import quote

KEY = re.compile(r"\+{0,2}hydra\.sweeper\.storage=")
PASSWORD = "MODEL_DIET_STORAGE_PASSWORD"  # of this process and those that it starts

# USER:PASSWORD up to the last @, since people do not escape what a password has, but no PORT/NAME?;
# or among the settings behind a ?.
IN_FRONT = re.compile(
    r"(?P<before>(?<!sqlite)://[^:/?@]*):(?!\d+/[^/?]*\?)(?P<password>.*)(?P<after>@[^@]*)$",
    re.DOTALL,
)
BEHIND = re.compile(r"(?P<sign>[?&])password=(?P<password>[^&'\"]*)(?P<next>&?)", re.IGNORECASE)


def split_password(url: str) -> tuple[str, str | None]:
    """A database's URL without its password, and that; None where it has none."""
    if found := IN_FRONT.search(url):
        rest = url[: found.start()] + found["before"] + found["after"]
        return split_password(rest)[0], unquote(found["password"])
    if found := BEHIND.search(url):
        sign = found["sign"] if found["next"] else ""
        rest = url[: found.start()] + sign + url[found.end() :]
        return split_password(rest)[0], unquote(found["password"])
    return url, None


def take_password(words: Sequence[str]) -> list[str]:
    """The command line's words; a password in a storage's URL goes into the environment.

    So nothing that Hydra, a launcher or a logger saves or says of them has it, and jobs do.
    """
    kept = []
    for word in words:
        if found := KEY.match(word):
            word, password = split_password(word)
            if password is not None:
                quote = word[found.end() :][:1]
                if quote in ("'", '"'):  # Hydra's, in which such a sign has a backslash
                    password = password.replace(f"\\{quote}", quote)
                os.environ[PASSWORD] = password
        kept.append(word)
    return kept


def hide_password(root: DictConfig) -> None:
    """Takes the password of a file's storage out of a composed search, and of its trials."""
    url = root.hydra.sweeper.storage
    if not isinstance(url, str):
        return
    rest, password = split_password(url)
    if password is None:
        return
    os.environ[PASSWORD] = password
    with read_write(root), open_dict(root):
        root.hydra.sweeper.storage = rest
        # Trials are composed anew from the files, and from these.
        root.hydra.overrides.hydra.append(f"hydra.sweeper.storage={quote(rest)}")
