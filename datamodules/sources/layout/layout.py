"""How a tree of images is laid out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from datamodules.sources.layout.class_folders import Classes, class_folders, require_same_classes
from datamodules.sources.layout.context import Context
from datamodules.sources.layout.split_folders import sort_folders
from datamodules.sources.layout.wrappings import drop_copies, unwrap
from datamodules.sources.listing import Folder
from datamodules.sources.omissions import Omissions

LOOSE = "loose images beside the folders"


@dataclass
class Layout:
    """How a tree is read.

    Attributes:
        splits: `train`, `val` and `test`, or `unsplit` -> name of a class -> its folder.
        unlabelled: folders of images to predict.
        sources: split -> its folder relative to the root, with a slash at its end; empty for the
            root itself.
        notes: what could have been understood otherwise, a sentence each.
    """

    splits: dict[str, Classes] = field(default_factory=dict)
    unlabelled: list[Folder] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def understand(
    root: Folder,
    place: str,
    omissions: Omissions,
    size_of: Callable[[str], int],
    *,
    name: str = "",
    chosen: Sequence[str] | None = None,
    wrapped: bool = False,
) -> Layout:
    """How a tree of images is laid out.

    Args:
        root: the tree.
        place: its folder, for messages.
        omissions: where what belongs to no class is counted.
        size_of: the bytes of an image, by its path in the tree.
        name: of the root's folder, which a doubled unzip repeats inside of it.
        chosen: names of classes, if only those are read.
        wrapped: whether a single folder in the root is but a wrapping, as in archives.

    Raises:
        DataError: folders contradict each other, or a split or class is empty or may not be listed.
    """
    context = Context(place, omissions, size_of, chosen)
    context.require_listable(root)
    base = unwrap(context, root, name, is_root=True, wrapped=wrapped)
    drop_copies(context, base, name)
    splits, beside, unlabelled = sort_folders(context, base)
    if "train" not in splits and (beside or not splits):
        splits = {"train": base, **splits} if "val" in splits else {**splits, "unsplit": base}
    layout = Layout(unlabelled=unlabelled, notes=context.notes)
    for split, folder in splits.items():
        found = beside
        if folder is not base:
            folder = unwrap(context, folder, folder.name)
            drop_copies(context, folder, folder.name)
            found = folder.folders
        layout.splits[split] = class_folders(context, folder, found)
        layout.sources[split] = f"{folder.path}/" if folder.path else ""
        splits[split] = folder
    _count_loose(omissions, (base, *splits.values()))
    require_same_classes(context, layout.splits, layout.sources)
    if "train" in splits and "val" not in splits:
        layout.splits["unsplit"] = layout.splits.pop("train")
        layout.sources["unsplit"] = layout.sources.pop("train")
    return layout


def _count_loose(omissions: Omissions, folders: Iterable[Folder]) -> None:
    for folder in {folder.path: folder for folder in folders}.values():
        if folder.images:
            omissions.add(LOOSE, folder.below(min(folder.images)), len(folder.images))
