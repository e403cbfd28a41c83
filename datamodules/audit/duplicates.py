"""Duplicates: pictures with the same bytes, with the same pixels, or that look alike."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from datamodules.audit.reading import Picture
from datamodules.audit.similarity import (
    CORRELATION,
    close_pairs,
    correlations,
    is_plain,
    same_details,
    unit_vectors,
)

# From the strictest on; each includes those before.
KINDS = ("same bytes", "same pixels", "look alike")
CHUNK = 16384  # pairs whose thumbnails are compared at a time: 32 MB


@dataclass(frozen=True)
class Group:
    """Pictures that are all connected by duplicates; positions in the list of pictures."""

    members: tuple[int, ...]
    across_classes: bool  # a label conflict
    across_splits: bool  # leakage


def find_duplicates(pictures: Sequence[Picture], *, distance: int) -> dict[str, list[Group]]:
    """Groups of duplicates of each kind.

    Items of one image are no duplicates of each other: boxes overlap. They meet in a group only
    where another image resembles both.

    Args:
        pictures: all of them; the order decides the order of groups and members.
        distance: bits of 64 in which the perceptual hashes of look-alikes may differ.
    """
    owners = _numbered([picture.item.group for picture in pictures])
    same_bytes = _same([picture.file_digest for picture in pictures], owners)
    same_pixels = _same([picture.pixel_digest for picture in pictures], owners)
    alike = _alike(pictures, same_pixels, owners, distance)
    labels = (same_bytes, same_pixels, alike)
    return {kind: _groups(of, pictures) for kind, of in zip(KINDS, labels, strict=True)}


class Resemblance:
    """Whether two pictures are duplicates by themselves, not only through a third of their group.

    Args:
        pictures: all of them.
        distance: bits of 64 in which the perceptual hashes of look-alikes may differ.
    """

    def __init__(self, pictures: Sequence[Picture], *, distance: int) -> None:
        self.pictures = pictures
        self.distance = distance
        self.owners = _numbered([picture.item.group for picture in pictures])
        self.pixels = _numbered([picture.pixel_digest for picture in pictures])
        self.hashes = np.array([picture.phash for picture in pictures], np.uint64)
        self.vectors = unit_vectors(np.stack([picture.thumbnail for picture in pictures]))

    def copies(self, member: int, others: Sequence[int]) -> list[int]:
        """Those of the others that are of another image and duplicates of a picture."""
        places = np.array(others, int)
        alike = np.bitwise_count(self.hashes[places] ^ self.hashes[member]) <= self.distance
        alike &= self.vectors[places] @ self.vectors[member] >= CORRELATION
        same = self.pixels[places] == self.pixels[member]
        found = places[(alike | same) & (self.owners[places] != self.owners[member])].tolist()
        own = self.pictures[member]
        return [
            other
            for other in found
            if self.pixels[other] == self.pixels[member] or _same_details(own, self.pictures[other])
        ]


def duplicate_type(first: Picture, second: Picture) -> str:
    """How two pictures of one group are duplicates of each other."""
    if first.file_digest == second.file_digest:
        return KINDS[0]
    return KINDS[1] if first.pixel_digest == second.pixel_digest else KINDS[2]


def counterpart(member: int, group: Group, pictures: Sequence[Picture]) -> int:
    """The first picture of the group that is of another image than `member`."""
    own = pictures[member].item.group
    return next(other for other in group.members if pictures[other].item.group != own)


def _numbered(keys: Sequence[Hashable]) -> np.ndarray:
    """Equal numbers for equal keys, from 0 in order of appearance."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _same(keys: Sequence[bytes], owners: np.ndarray) -> np.ndarray:
    """A label for each picture, shared by those with equal keys that are of several images."""
    numbers = _numbered(keys)
    images_of = np.bincount(np.unique(np.stack([numbers, owners]), axis=1)[0])
    alone = images_of[numbers] < 2
    return _numbered(np.where(alone, len(keys) + np.arange(len(keys)), numbers).tolist())


def _alike(
    pictures: Sequence[Picture], labels: np.ndarray, owners: np.ndarray, distance: int
) -> np.ndarray:
    """The labels, joined where pictures look alike."""
    thumbnails = np.stack([picture.thumbnail for picture in pictures])
    hashes = np.array([picture.phash for picture in pictures], np.uint64)
    vectors = unit_vectors(thumbnails)
    _, chosen = np.unique(labels, return_index=True)  # one picture for all with the same pixels
    chosen = chosen[~is_plain(thumbnails[chosen])]
    for i, j in close_pairs(hashes[chosen], distance=distance):
        i, j = chosen[i], chosen[j]
        for start in range(0, len(i), CHUNK):
            a, b = i[start : start + CHUNK], j[start : start + CHUNK]
            # Many frames of one film would be compared for hours if joined ones were again.
            news = (labels[a] != labels[b]) & (owners[a] != owners[b])
            a, b = a[news], b[news]
            seen = correlations(vectors, a, b) >= CORRELATION
            seen[seen] = [
                _same_details(pictures[n], pictures[m])
                for n, m in zip(a[seen].tolist(), b[seen].tolist(), strict=True)
            ]
            labels = _join(labels, a[seen], b[seen])
    return labels


def _same_details(first: Picture, second: Picture) -> bool:
    """Whether two pictures that look alike do so in their details, which counts for small ones."""
    details = [one.detail for one in (first, second) if one.detail is not None]
    if len(details) < 2:  # a small copy of a large picture has lost them
        return True
    return bool(same_details(details[0][None], details[1][None])[0])


def _join(labels: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    if not len(i):
        return labels
    count = labels.max() + 1
    edges = coo_array((np.ones(len(i), np.int8), (labels[i], labels[j])), shape=(count, count))
    return connected_components(edges, directed=False)[1][labels]


def _groups(labels: np.ndarray, pictures: Sequence[Picture]) -> list[Group]:
    members: dict[int, list[int]] = {}
    for position, label in enumerate(labels.tolist()):
        members.setdefault(label, []).append(position)
    return [_group(found, pictures) for found in members.values() if len(found) > 1]


def _group(members: list[int], pictures: Sequence[Picture]) -> Group:
    found = [pictures[member] for member in members]
    labels = {picture.item.label for picture in found if picture.item.label >= 0}
    splits = {picture.split for picture in found}
    return Group(tuple(members), across_classes=len(labels) > 1, across_splits=len(splits) > 1)
