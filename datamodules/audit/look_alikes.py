"""Groups of images that look alike, for whoever shares images out: in a group all are copies.

Found from the files, before there is any split, and kept below the folder of the caches.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from datamodules.audit.reading import REDUCED
from datamodules.audit.similarity import (
    CORRELATION,
    DISTANCE,
    SMALL,
    close_pairs,
    correlations,
    detail,
    is_plain,
    perceptual_hashes,
    same_details,
    thumbnail,
    unit_vectors,
)
from datamodules.decoding import decode_crops
from datamodules.errors import DataError
from datamodules.files import build_once, file_state, read_kept
from datamodules.sources import Item
from datamodules.workers import map_in_processes, report_progress

FORMAT_VERSION = 1
UNLIKE = 2.0  # distance of two pictures that are not alike: further than any correlation
MOST = 4096  # pictures connected by likeness among which groups are looked for


class _Looks(NamedTuple):
    """What is compared of one item."""

    item: Item
    thumbnail: np.ndarray  # uint8 16 x 16
    detail: np.ndarray  # uint8 32 x 32


def find_look_alikes(items: Sequence[Item], *, cache_dir: Path | None) -> dict[str, str]:
    """Image -> the first image of its group, for all images that look like another.

    In a group each two look alike (complete linkage), so that no chain of small changes joins what
    differs. Images with several boxes are alike where each box of the one with fewer has its like
    in the other. Files that cannot be read are alone.

    Args:
        items: what is compared; boxes of one image are not.
        cache_dir: where what is found is kept; None keeps nothing.
    """
    items = sorted(items, key=lambda item: (item.path, item.group))
    if cache_dir is None:
        groups = _groups(list(_looks(items)))
    else:
        folder = cache_dir / f"look_alikes_{_key(items)}"
        build_once(folder, lambda part: _write(part / "groups.json", _groups(list(_looks(items)))))
        groups = read_kept(folder / "groups.json", _fits)
    return {image: group[0] for group in groups for image in group}


def is_small(item: Item) -> bool:
    """Whether a picture has fewer than 64 pixels in a direction, as its box or header says."""
    if item.box is not None:
        x0, y0, x1, y1 = item.box
        return min(x1 - x0, y1 - y0) < SMALL
    with Image.open(item.path) as image:
        return min(image.size) < SMALL


def _fits(groups: Any) -> bool:
    return isinstance(groups, list) and all(
        isinstance(group, list) and group and all(isinstance(image, str) for image in group)
        for group in groups
    )


def _write(path: Path, groups: Sequence[Sequence[str]]) -> None:
    path.write_text(json.dumps(groups))  # in ASCII, so that names that are no UTF-8 come back


def _key(items: Sequence[Item]) -> str:
    """Changes with whatever changes the pictures."""
    digest = hashlib.sha256(repr(FORMAT_VERSION).encode())
    for path, group in groupby(items, key=lambda item: item.path):
        boxes = [(item.group, item.box) for item in group]
        digest.update(repr((*file_state(path), boxes)).encode())
    return digest.hexdigest()[:16]


def _looks(items: Sequence[Item]) -> Iterator[_Looks]:
    jobs = [list(group) for _, group in groupby(items, key=lambda item: item.path)]
    found = map_in_processes(_look, jobs, count=len(jobs))
    job = f"Looking for copies among {len(jobs)} images"
    for looks in report_progress(found, total=len(jobs), job=job):
        yield from looks


def _look(items: list[Item]) -> list[_Looks]:
    size, boxes = (REDUCED, REDUCED), [item.box for item in items]
    try:
        crops = decode_crops(items[0].path, boxes, size=size, resize_mode="stretch")
    except DataError:  # it is named when it is cached
        return []
    images = [Image.fromarray(crop) for crop in crops]
    pairs = zip(items, images, strict=True)
    return [_Looks(item, thumbnail(image), detail(image)) for item, image in pairs]


def _groups(looks: list[_Looks]) -> list[list[str]]:
    """The images of each group, sorted; the groups by their first."""
    looks = [one for one in looks if not is_plain(one.thumbnail[None])[0]]
    if not looks:
        return []
    boxes = defaultdict(list)
    for one in looks:
        boxes[one.item.group].append(one)
    # Images with the same looks are compared as one: there may be thousands.
    same: dict[object, list[str]] = defaultdict(list)
    for image, of_image in boxes.items():
        key = of_image[0].thumbnail.tobytes() + of_image[0].detail.tobytes()
        same[key if len(of_image) == 1 else image].append(image)
    nodes = [sorted(images) for images in same.values()]
    first = [one for images in nodes for one in boxes[images[0]]]
    owners = np.repeat(np.arange(len(nodes)), [len(boxes[images[0]]) for images in nodes])
    labels = _complete_groups(len(nodes), *_alike_owners(owners, *_alike(first, owners)))
    groups: dict[int, list[str]] = defaultdict(list)
    for label, images in zip(labels.tolist(), nodes, strict=True):
        groups[label] += images
    return sorted(sorted(images) for images in groups.values() if len(images) > 1)


def _alike(
    looks: Sequence[_Looks], owners: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs (i, j) of items of two images that look alike, and their correlations."""
    vectors = unit_vectors(np.stack([one.thumbnail for one in looks]))
    details = np.stack([one.detail for one in looks])
    small: dict[int, bool] = {}
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
    for i, j in close_pairs(perceptual_hashes(details), distance=DISTANCE):
        alike = correlations(vectors, i, j)
        kept = (alike >= CORRELATION) & (owners[i] != owners[j])
        i, j, alike = i[kept], j[kept], alike[kept]
        for n in {*i.tolist(), *j.tolist()} - small.keys():
            small[n] = is_small(looks[n].item)
        fine = np.array([small[n] for n in i.tolist()], bool)
        fine &= np.array([small[n] for n in j.tolist()], bool)
        fine[fine] = ~same_details(details[i[fine]], details[j[fine]])
        found.append((i[~fine], j[~fine], alike[~fine]))
    i, j, alike = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return i, j, alike


def _alike_owners(
    owners: np.ndarray, i: np.ndarray, j: np.ndarray, alike: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of images that are alike by their items, and the smallest of their correlations."""
    count = np.bincount(owners)
    a, b = owners[i], owners[j]
    swapped = count[a] > count[b]  # the image with fewer boxes first
    a, b, box = np.where(swapped, b, a), np.where(swapped, a, b), np.where(swapped, j, i)
    best: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
    for one, other, of, value in zip(*map(np.ndarray.tolist, (a, b, box, alike)), strict=True):
        likes = best[one, other]
        likes[of] = max(value, likes.get(of, 0))
    whole = {pair: min(of.values()) for pair, of in best.items() if len(of) == count[pair[0]]}
    pairs = np.array(list(whole), np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], np.array(list(whole.values()))


def _complete_groups(count: int, a: np.ndarray, b: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """A label for each of `count` images, shared where each two are alike."""
    edges = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
    _, labels = connected_components(edges, directed=False)
    members: dict[int, list[int]] = defaultdict(list)
    for position in np.unique([a, b]).tolist():
        members[labels[position]].append(position)
    parts = labels[a]
    order = np.argsort(parts, kind="stable")
    ends = np.searchsorted(parts[order], sorted(members), side="right")
    labels, free = labels.copy(), count
    for part, pairs in zip(sorted(members), np.split(order, ends), strict=False):
        positions = np.array(members[part])
        if len(positions) == 2 or len(positions) > MOST:  # the latter is no group of copies
            continue
        distances = np.full((len(positions), len(positions)), UNLIKE)
        x, y = np.searchsorted(positions, a[pairs]), np.searchsorted(positions, b[pairs])
        distances[x, y] = distances[y, x] = 1 - alike[pairs]
        np.fill_diagonal(distances, 0)
        tree = linkage(squareform(distances, checks=False), "complete")
        labels[positions] = free + fcluster(tree, 1, "distance")
        free += len(positions) + 1
    return labels
