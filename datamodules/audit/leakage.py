"""Leakage at the start of training: evaluation images that are, all but equal, trained on.

Cheap, because it starts from the cached pixels: a hash of each image's thumbnail finds candidates,
and only these are compared by the perceptual hash of an audit.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from datamodules.audit.similarity import (
    CORRELATION,
    DISTANCE,
    close_pairs,
    perceptual_hash,
    thumbnail,
    thumbnail_hashes,
    unit_vectors,
)
from datamodules.cache import CachedSplit, Pixels
from datamodules.errors import shown
from datamodules.files import build_once
from datamodules.workers import map_in_order, report_progress

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
COARSER = 2  # bits by which the hash of a thumbnail may differ more than that of the image
CHUNK = 256  # images that a thread takes at a time


class Leak(NamedTuple):
    """Images of one split that are all but equal to images of an earlier one."""

    earlier: str
    later: str
    images: int  # such images of the later split
    total: int  # all its images
    first: tuple[str, str]  # two files

    def __str__(self) -> str:
        images = f"{self.images} of {self.total} {self.later} images"
        verb = "is" if self.images == 1 else "are"
        return f"{images} {verb} all but equal to {self.earlier} images"


def warn_of_leakage(splits: Mapping[str, CachedSplit], *, cache_dir: Path, audit: str) -> None:
    """Warn, in one sentence, of images that are all but equal to images of an earlier split.

    What is found is kept below `cache_dir`. Splits that share images on purpose are not compared.

    Args:
        splits: what is trained and evaluated on, training first.
        cache_dir: where caches are kept.
        audit: the command that shows all duplicates.
    """
    key = repr((FORMAT_VERSION, [(name, split.key) for name, split in splits.items()]))
    folder = cache_dir / f"leakage_{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    build_once(folder, lambda part: _write(part / "leaks.json", find_leaks(splits)))
    leaks = [Leak(*leak) for leak in json.loads((folder / "leaks.json").read_text())]
    if leaks:
        log.warning(
            "%s (the first: %s and %s), which flatters the metrics; see all with: %s",
            ", ".join(map(str, leaks)),
            *map(shown, leaks[0].first),
            audit,
        )


def find_leaks(splits: Mapping[str, CachedSplit]) -> list[Leak]:
    """The leaks between each two splits."""
    thumbnails = dict(zip(splits, _thumbnails(list(splits.values())), strict=True))
    pairs = [
        (earlier, later)
        for earlier, later in combinations(splits, 2)
        if not _owners(splits[earlier]) & _owners(splits[later])
    ]
    leaks = []
    for earlier, later in pairs:
        found = _matches(*((splits[name].pixels, thumbnails[name]) for name in (earlier, later)))
        if found:
            j = min(found)
            files = splits[earlier].items[found[j]].path, splits[later].items[j].path
            leaks.append(Leak(earlier, later, len(found), len(splits[later].items), files))
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


def _matches(
    earlier: tuple[Pixels, np.ndarray], later: tuple[Pixels, np.ndarray]
) -> dict[int, int]:
    """Index in the later split -> index of the first image in the earlier one found equal to it."""
    vectors = [unit_vectors(thumbnails) for _, thumbnails in (earlier, later)]
    hashes = [thumbnail_hashes(thumbnails) for _, thumbnails in (earlier, later)]
    exact = [_Hashes(pixels) for pixels, _ in (earlier, later)]
    found: dict[int, int] = {}
    for i, j in close_pairs(*hashes, distance=DISTANCE + COARSER):
        new = ~np.isin(j, list(found))
        i, j = i[new], j[new]
        alike = np.einsum("nd,nd->n", vectors[0][i], vectors[1][j]) >= CORRELATION
        i, j = i[alike], j[alike]
        close = np.bitwise_count(exact[0][i] ^ exact[1][j]) <= DISTANCE
        for first, second in zip(i[close].tolist(), j[close].tolist(), strict=True):
            found.setdefault(second, first)
    return found


class _Hashes:
    """Perceptual hashes of a split's images, each made when it is first asked for."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.known: dict[int, int] = {}

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        for index in set(indices.tolist()) - self.known.keys():
            self.known[index] = perceptual_hash(Image.fromarray(self.pixels[index]))
        return np.array([self.known[index] for index in indices.tolist()], np.uint64)
