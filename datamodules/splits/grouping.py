"""Which images belong together, so that no split parts them: copies, or what the user says.

`data.split.groups` is `auto` (copies of one original, by their names and looks), `none`, a column
of a table, or a regular expression on the path below the root that finds a patient or a video.
"""

import logging
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import cached_property

from datamodules.errors import DataError, shown
from datamodules.sources import Item
from datamodules.sources.split_names import split_called
from datamodules.splits.arrangement import images_of

log = logging.getLogger(__name__)

# What programs that augment images write behind the name of the original.
VERSION = re.compile(
    r"^(?P<stem>.+?)(?:\.rf\.[0-9A-Za-z_-]{6,}|[-_. ]aug(?:mented|mentation)?[-_. ]?\d*)$",
    re.IGNORECASE,
)
# <class>_original_<name>.<suffix>_<uuid>, as Augmentor writes.
AUGMENTOR = re.compile(
    r"^.*_original_(?P<stem>.+)\.\w+_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
)
# Copies only where the original lies beside: such words may mean something else. ` (1)` is none of
# them, as different photographs are numbered so: where they are copies, their looks tell.
COPY = re.compile(
    r"""^(?P<stem>.+?)[-_ .](?:
        -?\ ?(?:copy|kopie|copie|copia)(?:[-_ ]?\(?\d+\)?)?
        | (?:[hv]?flip|mirror|rot|rotat|bright|dark|nois|blur|crop|zoom|shear|contrast|gr[ae]y)
          (?:ped|ed|e|en|er|ened|y|red|ness|ion|scale)?(?:[-_]?(?:[hvlrxy]|lr|ud|\d+))?
    )$""",
    re.VERBOSE | re.IGNORECASE,
)


# What names without it need not be tried with: 60 000 of them take a second.
MARKED = re.compile(
    r"\.rf\.|aug|_original_|cop[yi]|kopie|flip|mirror|rot|bright|dark|nois|blur|crop|zoom|shear"
    r"|contrast|gr[ae]y",
    re.IGNORECASE,
)

FindCopies = Callable[[Sequence[Item]], Mapping[str, str]]


class Grouping:
    """The groups that no split parts.

    Args:
        groups: `auto`, `none`, name of a column, or a regular expression.
        items: all that have labels.
        columns: of tables: column -> image -> its cell.
        free: those of the items that are shared out.
        find_copies: image -> name of its group of look-alikes; None finds none.

    Attributes:
        related: image -> name of what it belongs to, by its name or as the user says.

    Raises:
        DataError: the column or the expression is none, or parts nothing.
    """

    def __init__(
        self,
        groups: str,
        items: Sequence[Item],
        columns: Mapping[str, Mapping[str, str]],
        free: Sequence[Item] = (),
        find_copies: FindCopies | None = None,
    ) -> None:
        self.free = free
        self.find_copies = find_copies if groups == "auto" else None
        self.too_large: list[list[str]] = []
        self.related: Mapping[str, str] = {}
        if groups == "auto":
            self.related = self._limited(named_copies(images_of(items)), items, allowed_by_name)
        elif groups != "none" and items:
            self.related = said_groups(groups, items, columns)

    @cached_property
    def group_of(self) -> Mapping[str, str]:
        """Image -> the name of its group, for images that are shared out; looks count as well."""
        if self.find_copies is None:
            return self.related
        alike = self._limited(self.find_copies(self.free), self.free, allowed_alike)
        images = images_of(self.free)
        related = {image: group for image, group in self.related.items() if image in images}
        return self._limited(joined(related, alike), self.free, allowed_by_name)

    def tell(self) -> None:
        """Say what was kept together, and what was not."""
        if "group_of" not in vars(self):  # nothing was shared out
            return
        count = Counter(self.group_of.values())
        if several := [group for group, images in count.items() if images > 1]:
            images = sum(count[group] for group in several)
            text = "%d images belong to %d groups, which no split parts (data.split.groups)."
            log.info(text, images, len(several))
        if self.too_large:
            largest = max(self.too_large, key=len)
            log.warning(
                "%d groups of copies or look-alikes are too much of a class and are not kept "
                "together; the largest: %d images such as %s and %s.",
                len(self.too_large),
                len(largest),
                *map(shown, largest[:2]),
            )

    def _limited(
        self,
        group_of: Mapping[str, str],
        items: Sequence[Item],
        allowed: Callable[[int], float],
    ) -> Mapping[str, str]:
        """The groups that are no more of a class than copies can be."""
        labels = {(item.group, item.label) for item in items}
        size = Counter(label for _, label in labels)
        parts = Counter((group_of[i], label) for i, label in labels if i in group_of)
        large = {group for (group, label), count in parts.items() if count > allowed(size[label])}
        members = defaultdict(list)
        for image in sorted(group_of):
            members[group_of[image]].append(image)
        self.too_large += [members[group] for group in sorted(large)]
        return {image: group for image, group in group_of.items() if group not in large}


def named_copies(images: Iterable[str]) -> dict[str, str]:
    """Image -> name of its original, for all that are versions of one by their names.

    Versions are found in folders of different splits as well, unless names recur in these, where
    each folder has numbers of its own.

    Args:
        images: paths below the root.
    """
    stems = {image: _stem(image) for image in images}
    there = set(stems.values())
    members = defaultdict(list)
    for image, stem in stems.items():
        members[_original(stem, there)].append(image)
    found: dict[str, str] = {}
    for original, versions in members.items():
        recur = len({stems[image] for image in versions}) < len(versions)
        folders = defaultdict(list)
        for image in versions:
            folders[posixpath.dirname(image) if recur else ""].append(image)
        for folder, beside in folders.items():
            if len({stems[image] for image in beside}) > 1:
                found |= dict.fromkeys(beside, f"{folder}:{original}" if folder else original)
    return found


def joined(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """The groups of both, one where they meet, each named by its first image."""
    parent: dict[str, str] = {}

    def root(image: str) -> str:
        while parent.setdefault(image, image) != image:
            image = parent[image]
        return image

    for groups in (first, second):
        members = defaultdict(list)
        for image, group in groups.items():
            members[group].append(image)
        for images in members.values():
            one, *others = sorted({root(image) for image in images})
            parent |= dict.fromkeys(others, one)
    return {image: root(image) for image in parent}


def allowed_by_name(images: int) -> float:
    """Versions of one original among the images of a class: few, or no more than half of it."""
    return max(images / 20, min(50, max(images / 2, 10)))


def allowed_alike(images: int) -> float:
    """Look-alikes among the images of a class: 5 % of it, as more are no copies of one picture."""
    return max(images / 20, 5)


def said_groups(
    groups: str, items: Sequence[Item], columns: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Image -> its group as the user says it: by a column, or by a regular expression.

    An image without a cell, or that the expression does not find, is alone.

    Args:
        groups: name of a column, or the expression, whose first group (else all it finds) counts.
        items: what is shared out.
        columns: of tables: column -> image -> its cell.

    Raises:
        DataError: there is no such column, the expression is none, it finds nothing, or all images
            would be one group.
    """
    images = sorted({item.group for item in items})
    place = f"data.split.groups={groups}"
    if groups in columns:
        found = {image: columns[groups].get(image, "") for image in images}
    elif groups.isidentifier() and columns:
        names = ", ".join(columns)
        raise DataError(f"{place} is no column of the table, which has {names}; take one of them.")
    else:
        found = _found_by(groups, images)
    found = {image: name for image, name in found.items() if name}
    if not found:
        raise DataError(
            f"{place} finds nothing in the {len(images)} paths (the first: {images[0]}): give "
            "auto, none, a column, or an expression such as '(patient\\d+)_'."
        )
    if len(found) == len(images) > 1 and len(set(found.values())) == 1:
        raise DataError(
            f"{place} makes one group of all {len(images)} images ({found[images[0]]}), which no "
            "split may part; give an expression that tells them apart."
        )
    return found


def _found_by(expression: str, images: Sequence[str]) -> dict[str, str]:
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise DataError(
            f"data.split.groups={expression} is no regular expression ({error}): give auto, none, "
            "a column of a table, or one such as '(patient\\d+)_'."
        ) from None
    found = ((image, pattern.search(image)) for image in images)
    return {image: match[bool(match.re.groups)] or "" for image, match in found if match}


def _stem(image: str) -> str:
    *folders, name = image.split("/")
    stem, point, suffix = name.rpartition(".")
    return "/".join([*(f for f in folders if split_called(f) is None), stem if point else suffix])


def _original(stem: str, there: Container[str]) -> str:
    """What all versions of one original share."""
    folder, slash, name = stem.rpartition("/")
    if MARKED.search(name) is None:
        return stem
    while match := VERSION.match(name) or AUGMENTOR.match(name):
        name = match["stem"]
    rest = name
    while match := COPY.match(rest):
        rest = match["stem"]
        name = rest if f"{folder}{slash}{rest}" in there else name
    return f"{folder}{slash}{name}"
