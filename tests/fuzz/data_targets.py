"""Lists of images: annotations, tables, splits, classes, exclusions, and what caches keep."""

import dataclasses
import json
from pathlib import Path

from hypothesis import strategies as st
from PIL import Image

from compression.sensitivity.stored_metrics import StoredMetrics
from datamodules.audit.look_alikes import find_look_alikes
from datamodules.cache.cache import open_cache
from datamodules.downloads.partial_file import PartialFile
from datamodules.sources import Index, Item
from datamodules.sources.class_list import read_class_list
from datamodules.sources.coco import Coco
from datamodules.sources.coco.class_map import read_class_map
from datamodules.sources.tables.table import Table
from datamodules.sources.unpacked import INDEX, read_index, write_index
from datamodules.splits.exclusion import leave_out
from datamodules.splits.split_file import SplitRecord, read_memory, write_split_file
from datamodules.splits.splits import Splits
from tests.fuzz.inputs import csv_files, json_files, yaml_files
from tests.fuzz.target import Target, at

IMAGES = [f"{'ab'[n % 2]}/{n}.png" for n in range(6)]
ANNOTATIONS = {
    "info": {"year": 2019},
    "images": [
        {"id": n, "file_name": name, "width": 10, "height": 8} for n, name in enumerate(IMAGES)
    ],
    "annotations": [
        {"id": n, "image_id": n % 6, "category_id": n % 3, "bbox": [1, 1, 8.5, 6], "iscrowd": 0,
         "segmentation": [[1, 2, 3, 4]], "area": 51}
        for n in range(8)
    ],
    "categories": [
        {"id": n, "name": name, "supercategory": "thing"}
        for n, name in enumerate(["can", "box", "pot"])
    ],
}  # fmt: skip
TABLE = [["path", "label", "split"]] + [
    [name, "ab"[n % 2], ("train", "val", "test")[n % 3]] for n, name in enumerate(IMAGES)
]
SPLITS = [["image", "split"], *([name, TABLE[n + 1][2]] for n, name in enumerate(IMAGES))]
EXCLUDED = [["path", "box", "reason"], [IMAGES[0], "", "blurred"], [IMAGES[1], "1 2 3 4", ""]]
METRICS = {"conv 0.5": {"val/f1": 0.5, "val/loss": 1.25}, "head 0.5": {"val/f1": 0.25}}


def draw_images(folder: Path) -> None:
    """Six small images in two folders."""
    for number, name in enumerate(IMAGES):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (10, 8), (number * 40, 99, 9)).save(folder / name)


def index_of(folder: Path) -> Index:
    """What a source would find of them."""
    items = [Item(str(folder / name), number % 2, None, name) for number, name in enumerate(IMAGES)]
    return Index(class_names=("a", "b"), splits={"unsplit": items})


def read_coco(path: Path) -> None:
    """As `data=coco` does, with all that a check reads."""
    Coco(root=str(path.parent)).check()
    source = Coco(root=str(path.parent), missing="skip", box_format="xyxy", min_size=1)
    source.read()


def read_table(path: Path) -> None:
    """As `data=csv` does."""
    Table(root=str(path.parent), table=path.name, missing="skip").check()
    Table(root=str(path)).check()


def read_splits(path: Path) -> None:
    """As `data.split.file` does."""
    Splits(file=str(path), root=str(path.parent), memory=None).apply(index_of(path.parent))


def read_record(path: Path) -> None:
    """As a run's own splits.csv and the memory below the cache are read."""
    read_memory(path)
    splits = Splits(record=path, root=str(path.parent), memory=None)
    splits.apply(index_of(path.parent))


def record_example() -> st.SearchStrategy[bytes]:
    """Files of ours."""
    import tempfile

    split_of = dict(SPLITS[1:])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "splits.csv"
        write_split_file(path, SplitRecord(split_of, {3: dict.fromkeys(split_of, "1")}, "/x"))
        whole = path.read_bytes()
    return csv_files(SPLITS, whole, whole, whole)


def read_unpacked(folder: Path, content: bytes) -> None:
    """The list of images that were unpacked."""
    (folder / INDEX).write_bytes(content)
    index = read_index(folder)
    Splits(root=str(folder), memory=None).apply(index)


def unpacked_example() -> st.SearchStrategy[bytes]:
    """As it is written."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_index(Path(folder), index_of(Path(folder)))
        return json_files(json.loads((Path(folder) / INDEX).read_bytes()))


def _cache(folder: Path) -> Path:
    items = index_of(folder).splits["unsplit"]
    opened = open_cache(items, name="x", size=(8, 8), resize_mode="pad", cache_dir=folder / "cache")
    return folder / "cache" / opened.key


def prepare_cache(folder: Path) -> None:
    """A cache as a run keeps it, and what look alikes were found."""
    draw_images(folder)
    items = index_of(folder).splits["unsplit"]
    _cache(folder)
    find_look_alikes(items, cache_dir=folder / "cache")


def read_cache(folder: Path, content: bytes) -> None:
    """What a cache says of its images."""
    built = next((folder / "cache").glob("x_8x8_*/images.json"))
    built.write_bytes(content)
    items = index_of(folder).splits["unsplit"]
    split = open_cache(items, name="x", size=(8, 8), resize_mode="pad", cache_dir=folder / "cache")
    split.pixels[0]
    dataclasses.replace(split, notices=dict(split.notices))


def read_groups(folder: Path, content: bytes) -> None:
    """What looks alike, as it is kept."""
    items = index_of(folder).splits["unsplit"]
    kept = next((folder / "cache").glob("look_alikes_*/groups.json"))
    kept.write_bytes(content)
    find_look_alikes(items, cache_dir=folder / "cache")


def read_stored_metrics(path: Path) -> None:
    """What a sensitivity scan keeps."""
    stored = StoredMetrics(path.parent)
    stored.get("conv 0.5", lambda: {"val/f1": 0.5})


def read_note(path: Path) -> None:
    """Of a download that was stopped."""
    partial = PartialFile(path.with_name("archive.zip"))
    partial.path.write_bytes(b"half")
    partial.version("http://127.0.0.1/archive.zip")


KEPT = {"kept": [0, 1, 2, 3, 4, 5], "bad": {}, "levels": None, "deep": 0, "notices": {}}
NOTE = {"url": "http://127.0.0.1/archive.zip", "validator": '"a"', "length": 9}
CLASS_MAP = {"can": "Metal", "box": "Paper", "pot": None}

TARGETS = [
    Target(
        "coco annotations", json_files(ANNOTATIONS), at("annotations.json", read_coco), draw_images
    ),
    Target("csv tables", csv_files(TABLE), at("table.csv", read_table), draw_images),
    Target("split csv", csv_files(SPLITS), at("listed.csv", read_splits), draw_images),
    Target("split records", record_example, at("splits.csv", read_record), draw_images),
    Target(
        "exclusion lists",
        csv_files(EXCLUDED),
        at("exclude.csv", lambda path: leave_out(index_of(path.parent), str(path))),
        draw_images,
    ),
    Target(
        "class lists, yaml",
        yaml_files({"names": {0: "can", 1: "box"}}, b"[can, box]", b"{can: 0, box: 1}"),
        at("classes.yaml", read_class_list),
    ),
    Target("class lists, json", json_files(["can", "box"]), at("classes.json", read_class_list)),
    Target("class lists, text", csv_files([["can"], ["box"]]), at("classes.txt", read_class_list)),
    Target(
        "class maps", yaml_files(CLASS_MAP), at("map.yaml", lambda path: read_class_map(str(path)))
    ),
    Target("unpacked lists", unpacked_example, read_unpacked, draw_images),
    Target("cache lists", json_files(KEPT), read_cache, prepare_cache),
    Target("look-alikes", json_files([[IMAGES[0], IMAGES[1]]]), read_groups, prepare_cache),
    Target("stored metrics", json_files(METRICS), at("figures.json", read_stored_metrics)),
    Target("download notes", json_files(NOTE), at("archive.zip.part.json", read_note)),
]  # fmt: skip
