"""Shapes and names of folders in a tree."""

import re
import unicodedata

from datamodules.sources.listing import Folder
from datamodules.sources.split_names import split_called

UNLABELLED_WORDS = ("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled")


def is_unlabelled(folder: Folder) -> bool:
    """Whether it is called like images to predict, and holds some, without class folders."""
    words = words_of(folder.name)
    return bool(words) and words[-1] in UNLABELLED_WORDS and shape(folder) == "flat"


def shape(folder: Folder) -> str:
    """`classes` where folders in it hold images, `flat` where it holds images itself, `empty`."""
    folder = inmost(folder)
    if folder.unlistable:
        return "classes"  # which refuses it by name
    return "classes" if folder.filled else "flat" if folder.images else "empty"


def inmost(folder: Folder) -> Folder:
    """The folder itself, or the one of its name that is all it holds: seg_pred/seg_pred."""
    while not folder.images and len(folder.folders) == 1:
        (inner,) = folder.folders.values()
        if inner.name.casefold() != folder.name.casefold():
            break
        folder = inner
    return folder


def words_of(name: str) -> list[str]:
    """The words of a folder's name, in small letters: `seg_train2` has seg, train and 2."""
    return re.findall(r"[^\W\d_]+|\d+", name.casefold())


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def holds_splits(folder: Folder) -> bool:
    """Whether a folder holds a training split of class folders."""
    inner = folder.folders.items()
    return any(split_called(name) == "train" and shape(f) == "classes" for name, f in inner)
