"""The folder that holds the classes: found in its wrapping, without copies of itself."""

from datamodules.errors import DataError, shown
from datamodules.sources.layout.context import Context, listed
from datamodules.sources.layout.shapes import holds_splits
from datamodules.sources.listing import Folder
from datamodules.sources.split_names import split_called
from datamodules.typed_words import typed_word

COPIES = "images in a second copy of the folders"


def unwrap(
    context: Context, folder: Folder, name: str, *, is_root: bool = False, wrapped: bool = False
) -> Folder:
    """The folder that holds the classes or splits, where it is all that another one holds.

    Args:
        folder: the outer one.
        name: its name: a folder called so in it is its wrapping.
        is_root: whether a folder that holds splits is looked for as well.
        wrapped: whether any folder of folders is a wrapping.
    """
    while not folder.images and len(folder.folders) == 1:
        (inner,) = folder.folders.values()
        doubled = inner.name.casefold() == name.casefold()
        free = wrapped or (is_root and holds_splits(inner))
        if not (doubled or (free and not split_called(inner.name))) or not inner.filled:
            break
        context.notes.append(
            f"{shown(inner.path)}/ is read: it is all that {context.at(folder)} holds."
        )
        folder, name = inner, inner.name
    context.require_listable(folder)
    return folder


def drop_copies(context: Context, base: Folder, name: str) -> None:
    """Leaves out a folder that holds the folders beside it once more, as a doubled unzip does.

    Raises:
        DataError: it is called like the folder around it, but holds other images.
    """
    for key, folder in list(base.folders.items()):
        doubled = key.casefold() == name.casefold()
        beside = base.filled.keys() - {key}
        if folder.images or not folder.filled.keys() & beside:
            continue
        if split_called(key) and not doubled:
            continue
        other = _first_other(context, base, folder)
        if other is None:
            context.omissions.add(COPIES, f"{folder.path}/", folder.count)
            context.notes.append(
                f"{shown(folder.path)}/ is left out: its {folder.count} images lie beside it "
                "as well, under the same names."
            )
            del base.folders[key]
        elif doubled:
            raise DataError(
                f"{context.at(folder)} holds {listed(folder.filled)}, as the folder around it "
                f"does, but not the same images (first: {shown(other)}): merge them, or leave "
                f"one out by {typed_word('data.source.exclude', [folder.path])}."
            )


def _first_other(context: Context, base: Folder, folder: Folder) -> str | None:
    """The first image of a folder that does not lie beside it under the same name and size."""
    beside = set(base.files())
    for path in sorted(folder.files()):
        twin = base.below(path.removeprefix(f"{folder.path}/"))
        if twin not in beside or context.size_of(twin) != context.size_of(path):
            return path
    return None
