"""Items arranged by split, once it is decided where each image goes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from datamodules.sources import Index, Item

LABELLED = ("train", "val", "test")
WITH_LABELS = (*LABELLED, "unsplit")


def images_of(items: Sequence[Item]) -> set[str]:
    """The images that the items are of."""
    return {item.group for item in items}


def labelled(index: Index) -> list[Item]:
    """All that can be trained, validated or tested on."""
    return [item for name in WITH_LABELS for item in index.splits.get(name, [])]


def ready_splits(index: Index) -> dict[str, str]:
    """Image -> split, for what lies in folders of splits."""
    # Training comes first where an image is in several.
    names = reversed(LABELLED)
    return {item.group: name for name in names for item in index.splits.get(name, [])}


def by_split(index: Index, split_of: Mapping[str, str]) -> dict[str, list[Item]]:
    """Split -> its items in the order of the index; splits without labels stay."""
    found = {name: items for name, items in index.splits.items() if name not in WITH_LABELS}
    folders = [images_of(index.splits.get(name, [])) for name in LABELLED]
    count = Counter(chain.from_iterable(folders))
    goes = [
        # An image in folders of several splits is the user's own doing, and stays in each.
        (name if count[item.group] > 1 else split_of.get(item.group), item)
        for name in WITH_LABELS
        for item in index.splits.get(name, [])
    ]
    for split in LABELLED:
        members = [item for where, item in goes if where == split]
        if members:
            found[split] = members
    return found


def by_fold(items: Sequence[Item], fold_of: Mapping[str, str], fold: str) -> dict[str, list[Item]]:
    """`train` and `val`, of which `val` is the fold."""
    return {
        "train": [item for item in items if fold_of[item.group] != fold],
        "val": [item for item in items if fold_of[item.group] == fold],
    }


def pool(splits: Mapping[str, Sequence[Item]]) -> list[Item]:
    """The items of train and val, in an order that does not depend on how they are split."""
    both = [*splits.get("train", []), *splits.get("val", [])]
    return sorted(both, key=lambda i: (i.group, i.path))
