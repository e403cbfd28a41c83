"""The class folders of each split."""

from collections import defaultdict
from collections.abc import Mapping

from datamodules.errors import DataError, shown
from datamodules.sources.formats import IMAGE_SUFFIXES
from datamodules.sources.layout.context import Context, listed
from datamodules.sources.layout.shapes import folded
from datamodules.sources.listing import Folder
from datamodules.typed_words import typed_word

EXPECTED_TREE = "root/[train/]<class>/*.{jpg,png,...} and, where you have them, root/{val,test}"

Classes = dict[str, Folder]


def class_folders(context: Context, folder: Folder, found: Classes) -> Classes:
    """Name of a class -> its folder.

    Args:
        context: the reading.
        folder: of the split.
        found: the folders in it that may be classes.

    Raises:
        DataError: there is none, one is empty or may not be listed, or a chosen one is missing.
    """
    if not found:
        raise DataError(
            f"The folder {context.at(folder)} holds no class folders: it should look like "
            f"{EXPECTED_TREE}.{_lacking(context)}"
        )
    classes: Classes = {}
    for name, inner in found.items():
        if context.chosen is not None and shown(name) not in context.chosen:
            reason = "images of classes that data.source.classes does not list"
            context.omissions.add(reason, f"{inner.path}/", inner.count)
            continue
        context.require_listable(inner)
        if not inner.count:
            raise DataError(
                f"The class folder {context.at(inner)} has no images "
                f"({', '.join(IMAGE_SUFFIXES)}): fill it or remove it from every split, or "
                f"leave it out by {typed_word('data.source.exclude', [name])}."
                f"{_lacking(context)}"
            )
        if shown(name) in classes:
            raise DataError(
                f"Two folders in {context.at(folder)} are both called {shown(name)}: rename one."
            )
        classes[shown(name)] = inner
    _require_chosen(context, folder, classes)
    _note_alike(context, folder, classes)
    _note_wrapped(context, classes)
    return classes


def _require_chosen(context: Context, folder: Folder, classes: Classes) -> None:
    missing = [name for name in context.chosen or () if name not in classes]
    if missing:
        raise DataError(
            f"data.source.classes lists {listed(missing)}, for which {context.at(folder)} has "
            f"no folder: there are {listed(folder.folders)}."
        )


def _note_alike(context: Context, folder: Folder, classes: Classes) -> None:
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(classes):
        alike[folded(name)].append(name)
    for names in alike.values():
        if len(names) > 1:
            context.notes.append(
                f"{' and '.join(names)} in {context.at(folder)} are different classes, though "
                "only case or the encoding of accents tells them apart."
            )


def _note_wrapped(context: Context, classes: Classes) -> None:
    for only in classes.values() if len(classes) == 1 else ():
        if not only.images and len(only.filled) > 1:
            context.notes.append(
                f"{shown(only.name)}/ is the only class, and all its images lie in the folders "
                f"{listed(only.filled)}: if these are the classes, give "
                f"{typed_word('data.root', context.at(only))}."
            )


def require_same_classes(
    context: Context, splits: Mapping[str, Classes], sources: Mapping[str, str]
) -> None:
    """Refuse splits that have different classes.

    Args:
        context: the reading.
        splits: split -> name of a class -> its folder.
        sources: split -> its folder in the tree.

    Raises:
        DataError: with the classes that the first or another one lacks.
    """
    first = next((s for s in ("unsplit", "train", "val", "test") if s in splits), None)
    for split, classes in splits.items():
        assert first is not None
        ours, theirs = splits[first].keys() - classes.keys(), classes.keys() - splits[first]
        if not ours and not theirs:
            continue
        names = {s: sources[s].rstrip("/") for s in (first, split)}
        short = {s: context.path(name).rpartition("/")[2] for s, name in names.items()}
        differences = [
            f"only in {short[s]}: {', '.join(sorted(found))}"
            for s, found in ((first, ours), (split, theirs))
            if found
        ]
        if {folded(n) for n in ours} == {folded(n) for n in theirs}:
            differences.append("they differ in case or in the encoding of accents only")
        raise DataError(
            f"The folders {context.path(names[first])} and {context.path(names[split])} have "
            f"different classes ({'; '.join(differences)}): give both the same class folders."
        )


def _lacking(context: Context) -> str:
    """What was left out, for a refusal that it may explain."""
    found = [f"{one.count} {one.reason} ({one.first})" for one in context.omissions.left_out()]
    return f" Left out: {'; '.join(found)}." if found else ""
