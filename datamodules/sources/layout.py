"""What a tree of images means: which folders are splits, which are classes, and what is neither.

Pure: it sees names and numbers of images only, of a folder or of an archive.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from datamodules.errors import DataError, shown
from datamodules.sources.formats import IMAGE_SUFFIXES
from datamodules.sources.listing import Folder
from datamodules.sources.omissions import Omissions
from datamodules.sources.split_names import SPLIT_WORDS, split_called

EXPECTED_TREE = "root/[train/]<class>/*.{jpg,png,...} and, where you have them, root/{val,test}"
SPLITS = ("train", "val", "test")
UNLABELLED_WORDS = ("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled")
LOOSE = "loose images beside the folders"
COPIES = "images in a second copy of the folders"

Classes = dict[str, Folder]


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
    return _Reading(place, omissions, size_of, chosen).read(root, name, wrapped)


class _Reading:
    def __init__(
        self,
        place: str,
        omissions: Omissions,
        size_of: Callable[[str], int],
        chosen: Sequence[str] | None,
    ) -> None:
        self.place = place.rstrip("/") or "/"
        self.omissions = omissions
        self.size_of = size_of
        self.chosen = chosen
        self.layout = Layout()

    def read(self, root: Folder, name: str, wrapped: bool) -> Layout:
        self._require_listable(root)
        base = self._unwrap(root, name, is_root=True, wrapped=wrapped)
        self._drop_copies(base, name)
        splits, others = self._sort(base)
        if "train" not in splits and (others or not splits):
            splits["unsplit" if "val" not in splits else "train"] = base
        for split, folder in splits.items():
            if folder is not base:
                splits[split] = folder = self._unwrap(folder, folder.name)
                self._drop_copies(folder, folder.name)
            found = others if folder is base else folder.folders
            self.layout.splits[split] = self._classes(folder, found)
            self.layout.sources[split] = f"{folder.path}/" if folder.path else ""
        self._count_loose(base, splits.values())
        self._require_same_classes()
        return self._in_order()

    # ---- which folders are splits

    def _sort(self, base: Folder) -> tuple[dict[str, Folder], Classes]:
        """The splits' folders, and the class folders beside them."""
        named = self._named_splits(base)
        called_so = {shown(folder.name) for folder in named.values()} & set(self.chosen or ())
        if called_so and {shown(name) for name in base.folders} >= set(self.chosen or ()):
            return {}, dict(base.folders)
        others = {n: f for n, f in base.folders.items() if f not in named.values()}
        unlabelled = {n: f for n, f in others.items() if named and _is_unlabelled(f)}
        train = named.get("train")
        filled = {n: f for n, f in others.items() if f.count and n not in unlabelled}
        if train is not None and _shape(train) == "flat" and filled:
            return {}, self._split_words_are_classes(base, named, others)
        self.layout.unlabelled = [_inmost(folder) for folder in unlabelled.values()]
        if train is not None:
            self._refuse_strays(named, filled)
            return self._with_predict(named), {}
        if not filled:
            return self._with_predict(named), ({} if named else others)
        if "val" in named and _shape(named["val"]) == "flat":
            self.layout.unlabelled = []
            return {}, self._split_words_are_classes(base, named, others)
        classes = {n: f for n, f in others.items() if n not in unlabelled}
        return self._with_predict(named, beside=classes), classes

    def _named_splits(self, base: Folder) -> dict[str, Folder]:
        """Split -> the folder that is called so, alone or with the same affix as the others."""
        called: dict[str, list[Folder]] = defaultdict(list)
        for name, folder in base.folders.items():
            split = split_called(name)
            if split is not None:
                called[split].append(folder)
        called = called or _with_affix(base)
        for split, folders in called.items():
            if len(folders) > 1 and any(_shape(f) == "classes" for f in folders):
                names = " and ".join(sorted(shown(f.name) for f in folders))
                raise DataError(
                    f"The folders {names} in {self._at(base)} are both called like the {split} "
                    "split: merge them, rename one, or leave one out by data.source.exclude=[NAME]."
                )
        if any(len(folders) > 1 for folders in called.values()):
            return {}  # classes that happen to be called so
        return {split: called[split][0] for split in SPLITS if split in called}

    def _split_words_are_classes(
        self, base: Folder, named: Mapping[str, Folder], others: Classes
    ) -> Classes:
        deep = [f for f in named.values() if _shape(f) == "classes"]
        if deep:
            flat = next(f for f in named.values() if f not in deep)
            raise DataError(
                f"In {self._at(base)}, {shown(flat.name)}/ holds images and {shown(deep[0].name)}/ "
                f"holds folders, beside {_listed(others)}: sort all images into class folders, "
                "and the class folders into train/, val/ and test/ if they are splits."
            )
        names = " and ".join(sorted(shown(f.name) for f in named.values()))
        self._note(
            f"{names} in {self._at(base)} is read as a class: it holds images and no class "
            f"folders, and lies beside {_listed(others)}."
        )
        return dict(base.folders)

    def _refuse_strays(self, named: Mapping[str, Folder], strays: Classes) -> None:
        if strays:
            first = sorted(strays)[0]
            split = shown(named["train"].name)
            raise DataError(
                f"{self.place} has the training split {split}/, which holds class folders, and "
                f"beside it {_listed(strays)} with {sum(f.count for f in strays.values())} images, "
                f"which is no split: move {shown(first)} into {split}/ if it is a class, rename "
                f"{split} if that is a class, call it train, val or test if it is a split, or "
                f"leave it out by data.source.exclude=[{shown(first)}]."
            )

    def _with_predict(
        self, named: dict[str, Folder], beside: Classes | None = None
    ) -> dict[str, Folder]:
        """Takes a `test` of loose images, which nobody has labelled, out of the splits."""
        test = named.get("test")
        labelled = dict(named)
        if test is None or _shape(test) != "flat" or (len(named) == 1 and not beside):
            return labelled
        self.layout.unlabelled.append(_inmost(labelled.pop("test")))
        if beside:
            self._note(
                f"{shown(test.name)}/ holds images and no class folders: they are taken as "
                "unlabelled images to predict; if it is a class, say so by a list of the classes, "
                "data.source.classes=FILE, or move the class folders into train/."
            )
        return labelled

    # ---- wrappings and copies

    def _unwrap(
        self, folder: Folder, name: str, *, is_root: bool = False, wrapped: bool = False
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
            free = wrapped or (is_root and _holds_splits(inner))
            if not (doubled or (free and not split_called(inner.name))) or not inner.filled:
                break
            self._note(f"{shown(inner.path)}/ is read: it is all that {self._at(folder)} holds.")
            folder, name = inner, inner.name
        self._require_listable(folder)
        return folder

    def _drop_copies(self, base: Folder, name: str) -> None:
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
            other = self._first_other(base, folder)
            if other is None:
                self.omissions.add(COPIES, f"{folder.path}/", folder.count)
                self._note(
                    f"{shown(folder.path)}/ is left out: its {folder.count} images lie beside it "
                    "as well, under the same names."
                )
                del base.folders[key]
            elif doubled:
                raise DataError(
                    f"{self._at(folder)} holds {_listed(folder.filled)}, as the folder around it "
                    f"does, but not the same images (first: {shown(other)}): merge them, or leave "
                    f"one out by data.source.exclude=[{shown(folder.path)}]."
                )

    def _first_other(self, base: Folder, folder: Folder) -> str | None:
        """The first image of a folder that does not lie beside it under the same name and size."""
        beside = set(base.files())
        for path in sorted(folder.files()):
            twin = base.below(path.removeprefix(f"{folder.path}/"))
            if twin not in beside or self.size_of(twin) != self.size_of(path):
                return path
        return None

    # ---- classes

    def _classes(self, folder: Folder, found: Classes) -> Classes:
        if not found:
            raise DataError(
                f"The folder {self._at(folder)} holds no class folders: it should look like "
                f"{EXPECTED_TREE}.{self._lacking()}"
            )
        classes: Classes = {}
        for name, inner in found.items():
            if self.chosen is not None and shown(name) not in self.chosen:
                reason = "images of classes that data.source.classes does not list"
                self.omissions.add(reason, f"{inner.path}/", inner.count)
                continue
            self._require_listable(inner)
            if not inner.count:
                raise DataError(
                    f"The class folder {self._at(inner)} has no images "
                    f"({', '.join(IMAGE_SUFFIXES)}): fill it or remove it from every split, or "
                    f"leave it out by data.source.exclude=[{shown(name)}]."
                    f"{self._lacking()}"
                )
            if shown(name) in classes:
                raise DataError(
                    f"Two folders in {self._at(folder)} are both called {shown(name)}: rename one."
                )
            classes[shown(name)] = inner
        self._require_chosen(folder, classes)
        self._note_alike(folder, classes)
        self._note_wrapped(classes)
        return classes

    def _require_chosen(self, folder: Folder, classes: Classes) -> None:
        missing = [name for name in self.chosen or () if name not in classes]
        if missing:
            raise DataError(
                f"data.source.classes lists {_listed(missing)}, for which {self._at(folder)} has "
                f"no folder: there are {_listed(folder.folders)}."
            )

    def _note_alike(self, folder: Folder, classes: Classes) -> None:
        alike: dict[str, list[str]] = defaultdict(list)
        for name in sorted(classes):
            alike[_folded(name)].append(name)
        for names in alike.values():
            if len(names) > 1:
                self._note(
                    f"{' and '.join(names)} in {self._at(folder)} are different classes, though "
                    "only case or the encoding of accents tells them apart."
                )

    def _note_wrapped(self, classes: Classes) -> None:
        for only in classes.values() if len(classes) == 1 else ():
            if not only.images and len(only.filled) > 1:
                self._note(
                    f"{shown(only.name)}/ is the only class, and all its images lie in the folders "
                    f"{_listed(only.filled)}: if these are the classes, give "
                    f"data.root={self._at(only)}."
                )

    def _require_same_classes(self) -> None:
        splits = self.layout.splits
        first = next((s for s in ("unsplit", "train", *SPLITS) if s in splits), None)
        for split, classes in splits.items():
            assert first is not None
            ours, theirs = splits[first].keys() - classes.keys(), classes.keys() - splits[first]
            if not ours and not theirs:
                continue
            names = {s: self.layout.sources[s].rstrip("/") for s in (first, split)}
            short = {s: self._path(name).rpartition("/")[2] for s, name in names.items()}
            differences = [
                f"only in {short[s]}: {', '.join(sorted(found))}"
                for s, found in ((first, ours), (split, theirs))
                if found
            ]
            if {_folded(n) for n in ours} == {_folded(n) for n in theirs}:
                differences.append("they differ in case or in the encoding of accents only")
            raise DataError(
                f"The folders {self._path(names[first])} and {self._path(names[split])} have "
                f"different classes ({'; '.join(differences)}): give both the same class folders."
            )

    # ---- the rest

    def _count_loose(self, base: Folder, folders: Iterable[Folder]) -> None:
        for folder in {id(f): f for f in (base, *folders)}.values():
            if folder.images:
                self.omissions.add(LOOSE, folder.below(min(folder.images)), len(folder.images))

    def _in_order(self) -> Layout:
        splits = self.layout.splits
        if "train" in splits and "val" not in splits:
            splits["unsplit"] = splits.pop("train")
            self.layout.sources["unsplit"] = self.layout.sources.pop("train")
        order = [split for split in (*SPLITS, "unsplit") if split in splits]
        self.layout.splits = {split: splits[split] for split in order}
        return self.layout

    def _require_listable(self, folder: Folder) -> None:
        if folder.unlistable:
            raise DataError(
                f"The folder {self._at(folder)} cannot be listed ({folder.unlistable}): get the "
                "right to read it, or leave it out by data.source.exclude."
            )

    def _lacking(self) -> str:
        """What was left out, for a refusal that it may explain."""
        found = [f"{one.count} {one.reason} ({one.first})" for one in self.omissions.left_out()]
        return f" Left out: {'; '.join(found)}." if found else ""

    def _note(self, sentence: str) -> None:
        self.layout.notes.append(sentence)

    def _at(self, folder: Folder) -> str:
        return self._path(folder.path)

    def _path(self, path: str) -> str:
        return shown(f"{self.place.rstrip('/')}/{path}" if path else self.place)


def _is_unlabelled(folder: Folder) -> bool:
    """Whether it is called like images to predict, and holds some, without class folders."""
    words = _words(folder.name)
    return bool(words) and words[-1] in UNLABELLED_WORDS and _shape(folder) == "flat"


def _shape(folder: Folder) -> str:
    """`classes` where folders in it hold images, `flat` where it holds images itself, `empty`."""
    folder = _inmost(folder)
    if folder.unlistable:
        return "classes"  # which refuses it by name
    return "classes" if folder.filled else "flat" if folder.images else "empty"


def _holds_splits(folder: Folder) -> bool:
    """Whether a folder holds a training split of class folders."""
    inner = folder.folders.items()
    return any(split_called(name) == "train" and _shape(f) == "classes" for name, f in inner)


def _inmost(folder: Folder) -> Folder:
    """The folder itself, or the one of its name that is all it holds: seg_pred/seg_pred."""
    while not folder.images and len(folder.folders) == 1:
        (inner,) = folder.folders.values()
        if inner.name.casefold() != folder.name.casefold():
            break
        folder = inner
    return folder


def _with_affix(base: Folder) -> dict[str, list[Folder]]:
    """Split -> folders, where two or more are called alike but for the split's word."""
    split_of = {word: split for split, words in SPLIT_WORDS.items() for word in words}
    groups: dict[tuple, dict[str, list[Folder]]] = defaultdict(lambda: defaultdict(list))
    for name, folder in base.folders.items():
        words = _words(name)
        for position in {0, len(words) - 1} if len(words) > 1 else ():
            split = split_of.get(words[position])
            if split is not None:
                rest = tuple(word for n, word in enumerate(words) if n != position % len(words))
                groups[(position == 0, rest)][split].append(folder)
    fitting = [
        found
        for found in groups.values()
        if len(found) > 1 and any(_shape(f) == "classes" for fs in found.values() for f in fs)
    ]
    return max(fitting, key=len, default={})


def _words(name: str) -> list[str]:
    """The words of a folder's name, in small letters: `seg_train2` has seg, train and 2."""
    return re.findall(r"[^\W\d_]+|\d+", name.casefold())


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _listed(names: Collection[str]) -> str:
    """Some names, sorted, the first few of them."""
    first = [shown(name) for name in sorted(names)]
    return ", ".join(first[:5]) + (f" and {len(first) - 5} more" if len(first) > 5 else "")
