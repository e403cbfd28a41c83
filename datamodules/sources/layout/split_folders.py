"""Which folders are splits, and which are classes beside them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from datamodules.errors import DataError, shown
from datamodules.sources.layout.class_folders import Classes
from datamodules.sources.layout.context import Context, listed
from datamodules.sources.layout.shapes import inmost, is_unlabelled, shape, words_of
from datamodules.sources.listing import Folder
from datamodules.sources.split_names import SPLIT_WORDS, split_called
from datamodules.typed_words import typed_word

SPLITS = ("train", "val", "test")


class Sorted(NamedTuple):
    """The folders in a folder, by what they are."""

    splits: dict[str, Folder]
    classes: Classes  # beside the splits
    unlabelled: list[Folder]  # of images to predict


def sort_folders(context: Context, base: Folder) -> Sorted:
    """Tell splits from classes: by the usual names, where the structure does not contradict.

    `train/` is a split if it holds folders of images; if it holds images itself, and lies beside
    other folders of images, it is a class as they are, and so are `val/` and `test/` then. A
    `test/` of images alone is taken to be unlabelled.

    Args:
        context: the reading.
        base: the folder.

    Raises:
        DataError: two folders are called like one split, or folders that are no splits lie beside
            `train/`.
    """
    named = _named_splits(context, base)
    called_so = {shown(folder.name) for folder in named.values()} & set(context.chosen or ())
    if called_so and {shown(name) for name in base.folders} >= set(context.chosen or ()):
        return Sorted({}, dict(base.folders), [])
    others = {n: f for n, f in base.folders.items() if f not in named.values()}
    unlabelled = {n: f for n, f in others.items() if named and is_unlabelled(f)}
    filled = {n: f for n, f in others.items() if f.count and n not in unlabelled}
    first = named.get("train") or named.get("val")
    if first is not None and shape(first) == "flat" and filled:
        return _split_words_are_classes(context, base, named, others)
    classes = {n: f for n, f in others.items() if n not in unlabelled}
    if "train" in named:
        _refuse_strays(context, named, filled)
    if "train" in named or (named and not filled):
        classes = {}
    return _with_predict(context, named, [inmost(f) for f in unlabelled.values()], classes)


def _named_splits(context: Context, base: Folder) -> dict[str, Folder]:
    """Split -> the folder that is called so, alone or with the same affix as the others."""
    called: dict[str, list[Folder]] = defaultdict(list)
    for name, folder in base.folders.items():
        split = split_called(name)
        if split is not None:
            called[split].append(folder)
    called = called or _with_affix(base)
    for split, folders in called.items():
        if len(folders) > 1 and any(shape(f) == "classes" for f in folders):
            names = " and ".join(sorted(shown(f.name) for f in folders))
            raise DataError(
                f"The folders {names} in {context.at(base)} are both called like the {split} "
                "split: merge them, rename one, or leave one out by data.source.exclude=[NAME]."
            )
    if any(len(folders) > 1 for folders in called.values()):
        return {}  # classes that happen to be called so
    return {split: called[split][0] for split in SPLITS if split in called}


def _split_words_are_classes(
    context: Context, base: Folder, named: Mapping[str, Folder], others: Classes
) -> Sorted:
    deep = [f for f in named.values() if shape(f) == "classes"]
    if deep:
        flat = next(f for f in named.values() if f not in deep)
        raise DataError(
            f"In {context.at(base)}, {shown(flat.name)}/ holds images and {shown(deep[0].name)}/ "
            f"holds folders, beside {listed(others)}: sort all images into class folders, "
            "and the class folders into train/, val/ and test/ if they are splits."
        )
    names = " and ".join(sorted(shown(f.name) for f in named.values()))
    context.notes.append(
        f"{names} in {context.at(base)} is read as a class: it holds images and no class "
        f"folders, and lies beside {listed(others)}."
    )
    return Sorted({}, dict(base.folders), [])


def _refuse_strays(context: Context, named: Mapping[str, Folder], strays: Classes) -> None:
    if strays:
        first = sorted(strays)[0]
        split = shown(named["train"].name)
        raise DataError(
            f"{context.place} has the training split {split}/, which holds class folders, and "
            f"beside it {listed(strays)} with {sum(f.count for f in strays.values())} images, "
            f"which is no split: move {shown(first)} into {split}/ if it is a class, rename "
            f"{split} if that is a class, call it train, val or test if it is a split, or "
            f"leave it out by {typed_word('data.source.exclude', [first])}."
        )


def _with_predict(
    context: Context, named: dict[str, Folder], unlabelled: list[Folder], beside: Classes
) -> Sorted:
    """Takes a `test` of loose images, which nobody has labelled, out of the splits."""
    test = named.get("test")
    if test is None or shape(test) != "flat" or (len(named) == 1 and not beside):
        return Sorted(named, beside, unlabelled)
    if beside:
        context.notes.append(
            f"{shown(test.name)}/ holds images and no class folders: they are taken as "
            "unlabelled images to predict; if it is a class, say so by a list of the classes, "
            "data.source.classes=FILE, or move the class folders into train/."
        )
    labelled = {split: folder for split, folder in named.items() if split != "test"}
    return Sorted(labelled, beside, [inmost(test), *unlabelled])


def _with_affix(base: Folder) -> dict[str, list[Folder]]:
    """Split -> folders, where two or more are called alike but for the split's word."""
    split_of = {word: split for split, words in SPLIT_WORDS.items() for word in words}
    groups: dict[tuple, dict[str, list[Folder]]] = defaultdict(lambda: defaultdict(list))
    for name, folder in base.folders.items():
        words = words_of(name)
        for position in {0, len(words) - 1} if len(words) > 1 else ():
            split = split_of.get(words[position])
            if split is not None:
                rest = tuple(word for n, word in enumerate(words) if n != position % len(words))
                groups[(position == 0, rest)][split].append(folder)
    fitting = [
        found
        for found in groups.values()
        if len(found) > 1 and any(shape(f) == "classes" for fs in found.values() for f in fs)
    ]
    return max(fitting, key=len, default={})
