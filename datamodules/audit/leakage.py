"""Leakage at the start of training: evaluation images that are, all but equal, trained on.

Cheap, because it starts from the cached pixels: a hash of each image's thumbnail finds candidates,
and only these are compared by the perceptual hash of an audit.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from datamodules.audit.look_alikes import is_small
from datamodules.audit.similarity import (
    CORRELATION,
    DISTANCE,
    close_pairs,
    detail,
    perceptual_hash,
    same_details,
    thumbnail,
    thumbnail_hashes,
    unit_vectors,
)
from datamodules.cache import CachedSplit, Pixels
from datamodules.errors import shown
from datamodules.files import build_once, read_kept
from datamodules.sources import Item
from datamodules.workers import map_in_order, report_progress

log = logging.getLogger(__name__)

FORMAT_VERSION = 2
COARSER = 2  # bits by which the hash of a thumbnail may differ more than that of the image
CHUNK = 256  # images that a thread takes at a time


class Leak(NamedTuple):
    """Images of one split that are all but equal to images of an earlier one."""

    earlier: str
    later: str
    images: int  # such images of the later split
    total: int  # all its images
    first: tuple[str, str]  # two files
    groups: int  # originals that these are copies of
    by_group: int  # of the images, those that only names or the user's groups tell

    def __str__(self) -> str:
        images = f"{self.images} of {self.total} {self.later} images"
        verb = "is" if self.images == 1 else "are"
        of_groups = f", copies of {self.groups}," if self.groups < self.images else ""
        alike = f"all but equal to {self.earlier} images"
        if self.by_group:
            alike = f"versions of {self.earlier} images, or all but equal to them"
        return f"{images}{of_groups} {verb} {alike}"


def warn_of_leakage(
    splits: Mapping[str, CachedSplit], *, related: Mapping[str, str], cache_dir: Path, audit: str
) -> None:
    """Warn, in one sentence, of images that are copies of images of an earlier split.

    What is found is kept below `cache_dir`. Splits that share images on purpose are not compared.

    Args:
        splits: what is trained and evaluated on, training first.
        related: image -> name of its group, for images that belong together whatever they look
            like, as versions of one original.
        cache_dir: where caches are kept.
        audit: the command that shows all duplicates.
    """
    keys = [(name, split.key) for name, split in splits.items()]
    key = repr((FORMAT_VERSION, keys, sorted(related.items())))
    folder = cache_dir / f"leakage_{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    build_once(folder, lambda part: _write(part / "leaks.json", find_leaks(splits, related)))
    leaks = [Leak(*leak) for leak in read_kept(folder / "leaks.json", _fits)]
    if leaks:
        log.warning(
            "%s (the first: %s and %s), which flatters the metrics; see all with: %s",
            ", ".join(map(str, leaks)),
            *map(shown, leaks[0].first),
            audit,
        )


def _fits(leaks: Any) -> bool:
    kinds = (str, str, int, int, list, int, int)
    return isinstance(leaks, list) and all(
        tuple(map(type, leak)) == kinds and list(map(type, leak[4])) == [str, str] for leak in leaks
    )


def find_leaks(
    splits: Mapping[str, CachedSplit], related: Mapping[str, str] | None = None
) -> list[Leak]:
    """The leaks between each two splits.

    Args:
        splits: what is trained and evaluated on, training first.
        related: image -> name of its group, for images that belong together.
    """
    related = related or {}
    thumbnails = dict(zip(splits, _thumbnails(list(splits.values())), strict=True))
    pairs = [
        (earlier, later)
        for earlier, later in combinations(splits, 2)
        if not _owners(splits[earlier]) & _owners(splits[later])
    ]
    leaks = []
    for earlier, later in pairs:
        alike = _matches(*((splits[name], thumbnails[name]) for name in (earlier, later)))
        items, others = splits[earlier].items, splits[later].items
        found = _of_groups(items, others, related) | alike
        if found:
            j = min(found)
            files = items[found[j]].path, others[j].path
            originals = {related.get(items[i].group, items[i].group) for i in found.values()}
            by_group = len(found.keys() - alike.keys())
            count = len(found), len(others), files, len(originals), by_group
            leaks.append(Leak(earlier, later, *count))
    return leaks


def _write(path: Path, leaks: Sequence[Leak]) -> None:
    path.write_text(json.dumps(leaks))


def _owners(split: CachedSplit) -> set[str]:
    return {item.group for item in split.items}


def _thumbnails(splits: Sequence[CachedSplit]) -> list[np.ndarray]:
    """For each split N x 16 x 16, made in threads."""
    total = sum(len(split.items) for split in splits)
    jobs = [
        (split.pixels, range(start, min(start + CHUNK, len(split.items))))
        for split in splits
        for start in range(0, len(split.items), CHUNK)
    ]
    job = f"Comparing {total} images across splits"
    chunks = report_progress(map_in_order(_chunk, jobs), total=len(jobs), job=job)
    ends = np.cumsum([len(split.items) for split in splits])[:-1]
    return np.split(np.concatenate(list(chunks)), ends)


def _chunk(job: tuple[Pixels, range]) -> np.ndarray:
    pixels, indices = job
    return np.stack([thumbnail(Image.fromarray(pixels[index])) for index in indices])


def _of_groups(
    items: Sequence[Item], others: Sequence[Item], related: Mapping[str, str]
) -> dict[int, int]:
    """Index in the later split -> index of the first of its group in the earlier one."""
    first: dict[str, int] = {}
    for i, item in enumerate(items):
        if item.group in related:
            first.setdefault(related[item.group], i)
    found = {j: first.get(related.get(item.group, "")) for j, item in enumerate(others)}
    return {j: i for j, i in found.items() if i is not None}


def _matches(
    earlier: tuple[CachedSplit, np.ndarray], later: tuple[CachedSplit, np.ndarray]
) -> dict[int, int]:
    """Index in the later split -> index of the first image in the earlier one found equal to it."""
    vectors = [unit_vectors(thumbnails) for _, thumbnails in (earlier, later)]
    hashes = [thumbnail_hashes(thumbnails) for _, thumbnails in (earlier, later)]
    exact = [_Lazily(split, _hash) for split, _ in (earlier, later)]
    details = [_Lazily(split, _detail) for split, _ in (earlier, later)]
    small = [_Lazily(split, _is_small) for split, _ in (earlier, later)]
    found: dict[int, int] = {}
    for i, j in close_pairs(*hashes, distance=DISTANCE + COARSER):
        new = ~np.isin(j, list(found))
        i, j = i[new], j[new]
        alike = np.einsum("nd,nd->n", vectors[0][i], vectors[1][j]) >= CORRELATION
        i, j = i[alike], j[alike]
        fine = small[0][i] & small[1][j]
        fine[fine] = ~same_details(details[0][i[fine]], details[1][j[fine]])
        i, j = i[~fine], j[~fine]
        close = np.bitwise_count(exact[0][i] ^ exact[1][j]) <= DISTANCE
        for first, second in zip(i[close].tolist(), j[close].tolist(), strict=True):
            found.setdefault(second, first)
    return found


def _hash(split: CachedSplit, index: int) -> np.ndarray:
    return np.array(perceptual_hash(Image.fromarray(split.pixels[index])), np.uint64)


def _detail(split: CachedSplit, index: int) -> np.ndarray:
    return detail(Image.fromarray(split.pixels[index]))


def _is_small(split: CachedSplit, index: int) -> np.ndarray:
    return np.array(is_small(split.items[index]))


class _Lazily:
    """What a function says of a split's images, each made when it is first asked for."""

    def __init__(
        self, split: CachedSplit, function: Callable[[CachedSplit, int], np.ndarray]
    ) -> None:
        self.split = split
        self.function = function
        self.known: dict[int, np.ndarray] = {}

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        for index in set(indices.tolist()) - self.known.keys():
            self.known[index] = self.function(self.split, index)
        found = [self.known[index] for index in indices.tolist()]
        return np.stack(found) if found else self.function(self.split, 0)[None][:0]
