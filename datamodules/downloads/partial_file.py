"""A file on its way: its first bytes, and what tells that the rest belongs to them."""

import json
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO

from requests import Response

from datamodules.files import rename_synced


@dataclass(frozen=True)
class Version:
    """Which content a server sent. Only bytes of one version may be put together.

    Attributes:
        url: where it came from.
        validator: a strong ETag, or else Last-Modified (RFC 9110, section 13.1.5).
        length: bytes of the whole content.
    """

    url: str
    validator: str
    length: int

    def may_be_of(self, response: Response) -> bool:
        """Whether an answer names no other version than this one."""
        header = "ETag" if self.validator.startswith('"') else "Last-Modified"
        return response.headers.get(header, self.validator) == self.validator


def version_of(response: Response, url: str) -> Version | None:
    """The version that a complete answer (status 200) carries; None if it could not be told."""
    length, validator = response.headers.get("Content-Length", ""), _strong_validator(response)
    if validator is None or not length.isdecimal():
        return None
    return Version(url, validator, int(length))


def _strong_validator(response: Response) -> str | None:
    """What changes whenever a byte changes: a strong ETag or a date that is surely past."""
    headers = response.headers
    if "ETag" in headers:
        return headers["ETag"] if headers["ETag"].startswith('"') else None
    modified, now = headers.get("Last-Modified"), headers.get("Date")
    if modified is None or now is None:
        return None
    try:
        age = parsedate_to_datetime(now) - parsedate_to_datetime(modified)
    except (TypeError, ValueError):  # one is no date
        return None
    # Within the second of the answer the content may have changed again (section 8.8.2.2).
    return modified if age.total_seconds() >= 1 else None


class PartialFile:
    """`name.part`, with the version in `name.part.json`, until it is whole and takes its name.

    A process may be killed at any point: the version is on disk before the first byte of its
    content, and both go before a new version begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self.note = path.with_name(f"{path.name}.part.json")
        self.whole = path

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self, url: str) -> Version | None:
        """Of which content the bytes on disk are; None where they cannot be continued."""
        try:
            version = Version(**json.loads(self.note.read_bytes()))
            fits = version.url == url and 0 < self.size <= version.length
        except (
            OSError,
            ValueError,
            TypeError,
            RecursionError,
        ):  # none, or cut off when it was written
            return None
        return version if fits else None

    def start(self, version: Version | None) -> None:
        """Begin anew, with content of this version; None is a version that cannot be told."""
        self.discard()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if version is not None:
            self.note.write_text(json.dumps(asdict(version)))

    def append(self) -> BinaryIO:
        """The open file, at its end."""
        return self.path.open("ab")

    def finish(self) -> None:
        """Give the file its name, once its bytes are safe from a power cut."""
        rename_synced(self.path, self.whole)
        self.note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what there is."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
