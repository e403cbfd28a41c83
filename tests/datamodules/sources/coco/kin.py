"""COCO exports of further kinds: kin of tests/fixtures/cases/coco.py, with what other tools write.

Each has 12 images of 200 x 150 with a red can at (10, 20) and a blue cup at (100, 20), both 60 x
80, on grey; `write_kin` makes one folder for each.
"""

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.datamodules.conftest import STORED

WIDTH, HEIGHT = 200, 150
BOXES = {"can": [10, 20, 60, 80], "cup": [100, 20, 60, 80]}
ALL = tuple(range(1, 13))
KIN: dict[str, Callable[[Path], None]] = {}


def write_kin(name: str, folder: Path) -> Path:
    """Make the folder of one export."""
    folder.mkdir()
    KIN[name](folder)
    return folder


def kin(function: Callable[[Path], None]) -> Callable[[Path], None]:
    """Register a function that fills the folder of the export it is named after."""
    KIN[function.__name__] = function
    return function


def picture(number: int, height: int = HEIGHT) -> np.ndarray:
    """One image, upright: uint8 H x W x 3."""
    pixels = np.random.default_rng(number).integers(90, 130, (height, WIDTH, 3)).astype(np.uint8)
    pixels[20:100, 10:70] = (200, 40, 40)
    pixels[20:100, 100:160] = (40, 40, 200)
    return pixels


def save(path: Path, number: int, orientation: int = 1, height: int = HEIGHT) -> None:
    """Write one image, stored as turned as its EXIF says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](picture(number, height)))
    Image.fromarray(stored).save(path, quality=95, **({"exif": exif} if orientation > 1 else {}))


def stored_box(box: Sequence[float], orientation: int, height: int = HEIGHT) -> list[float]:
    """A box of the upright image as it lies in the stored pixels, found by marking pixels."""
    mask = np.zeros((height, WIDTH, 1), bool)
    x, y, w, h = map(int, box)
    mask[y : y + h, x : x + w] = True
    rows, columns, _ = np.nonzero(STORED[orientation](mask))
    left, top = int(columns.min()), int(rows.min())
    return [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]


def content(
    numbers: Sequence[int] = ALL,
    *,
    names: str | Mapping[int, str] = "im{:02d}.jpg",
    categories: Sequence[str] = ("can", "cup"),
    changes: Callable[[dict], dict[str, Any]] | None = None,
) -> dict[str, list[dict]]:
    """Annotations of some of the images; `changes` gives other fields of each image."""
    images, boxes = [], []
    for number in numbers:
        name = names.format(number) if isinstance(names, str) else names[number]
        image = {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        images.append({**image, **(changes(image) if changes else {})})
        for id, category in enumerate(categories):
            if category in BOXES:
                box = {"image_id": number, "category_id": id, "bbox": BOXES[category]}
                boxes.append({"id": len(boxes), **box})
    named = [{"id": id, "name": name} for id, name in enumerate(categories)]
    return {"images": images, "annotations": boxes, "categories": named}


def write(path: Path, annotations: dict) -> None:
    """Write an annotation file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(annotations))


def fill(folder: Path, numbers: Sequence[int] = ALL, names: str = "im{:02d}.jpg") -> None:
    """Write the images that `content` lists."""
    for number in numbers:
        save(folder / names.format(number), number)


def export(folder: Path, parts: Mapping[str, Sequence[int]], **settings: Any) -> None:
    """Roboflow's layout: in each folder its images and their annotations."""
    for name, numbers in parts.items():
        fill(folder / name, numbers)
        write(folder / name / "_annotations.coco.json", content(numbers, **settings))


TRAIN, VALID, TEST = ALL[:8], ALL[8:10], ALL[10:]


@kin
def k01_capitals(folder):
    export(folder, {"Train": TRAIN, "Valid": VALID, "Test": TEST})


@kin
def k02_validation(folder):
    export(folder, {"train": TRAIN, "validation": VALID, "test": TEST})


@kin
def k03_coco2017(folder):
    """Image names that both splits have, and key points and captions beside the boxes."""
    fill(folder / "train2017", TRAIN)
    for number in VALID:
        save(folder / "val2017" / f"im{number - 8:02d}.jpg", number)
    shifted = {number: f"im{number - 8:02d}.jpg" for number in VALID}
    for kind in ("instances", "person_keypoints"):
        write(folder / "annotations" / f"{kind}_train2017.json", content(TRAIN))
        write(folder / "annotations" / f"{kind}_val2017.json", content(VALID, names=shifted))
    captions = {"images": [], "annotations": []}
    write(folder / "annotations" / "captions_val2017.json", captions)


@kin
def k04_folder_that_is_not_there(folder):
    fill(folder)
    write(folder / "annotations.json", content(names="photos/2021/im{:02d}.jpg"))


@kin
def k05_equal_base_names(folder):
    """Absolute names, of which the folder must be looked at too."""
    names = {n: f"/mnt/disk/set/{'ab'[n % 2]}/{n // 2}.jpg" for n in ALL}
    for n in ALL:
        save(folder / "images" / "ab"[n % 2] / f"{n // 2}.jpg", n)
    write(folder / "annotations.json", content(names=names))


@kin
def k06_one_file_for_two_names(folder):
    """The folders were poured into one, where the second 1.jpg replaced the first."""
    fill(folder, range(1, 7), "{}.jpg")
    names = {n: f"{'ab'[n > 6]}/{(n - 1) % 6 + 1}.jpg" for n in ALL}
    write(folder / "annotations.json", content(names=names))


@kin
def k07_other_order_of_categories(folder):
    export(folder, {"train": TRAIN})
    export(folder, {"valid": VALID}, categories=("cup", "can"))


@kin
def k08_other_categories(folder):
    export(folder, {"train": TRAIN}, categories=("can", "cup", "pot"))
    export(folder, {"valid": VALID}, categories=("cup", "can"))


@kin
def k09_addresses(folder):
    fill(folder, names="im {:02d}.jpg")
    names = "https://example.org/set%20a/im%20{:02d}.jpg?raw=true"
    write(folder / "annotations.json", content(names=names))


@kin
def k10_windows(folder):
    fill(folder / "images")
    write(folder / "annotations.json", content(names="C:\\Users\\me\\set\\im{:02d}.jpg"))


@kin
def k11_no_sizes(folder):
    fill(folder)
    found = content()
    for n, image in enumerate(found["images"]):
        for key in ("width", "height")[n % 2 :]:
            del image[key]
    write(folder / "annotations.json", found)


def turned(folder: Path, orientations: Sequence[int], *, raw: bool, sizes: bool = True) -> None:
    """Photographs with these orientations, in turn, annotated as they are stored or upright."""
    found = content()
    for n, image in enumerate(found["images"]):
        orientation = orientations[n % len(orientations)]
        save(folder / image["file_name"], n, orientation)
        if raw and orientation > 4:
            image |= {"width": HEIGHT, "height": WIDTH}
        if not sizes:
            image |= {"width": None, "height": None}
        for box in found["annotations"][2 * n : 2 * n + 2] if raw else ():
            box["bbox"] = stored_box(box["bbox"], orientation)
    write(folder / "annotations.json", found)


for name, orientations, settings in (
    ("k12_upright_without_sizes", (1, 6, 8), {"raw": False, "sizes": False}),
    ("k13_raw_by_size", (1, 6), {"raw": True}),
    ("k14_raw_all_ways", (1, 2, 3, 4, 5, 6, 7, 8), {"raw": True}),
    ("k15_upright_all_ways", (1, 2, 3, 4, 5, 6, 7, 8), {"raw": False}),
    ("k16_raw_without_sizes", (3, 5, 6, 7, 8), {"raw": True, "sizes": False}),
    ("k17_raw_upside_down", (1, 3, 2, 4), {"raw": True}),
):
    KIN[name] = partial(turned, orientations=orientations, **settings)


@kin
def k18_raw_squares(folder):
    found = content(changes=lambda image: {"height": WIDTH})
    for n, image in enumerate(found["images"]):
        save(folder / image["file_name"], n, 6, height=WIDTH)
    for box in found["annotations"]:
        box["bbox"] = stored_box(box["bbox"], 6, height=WIDTH)
    write(folder / "annotations.json", found)


@kin
def k19_corners(folder):
    fill(folder)
    found = content()
    for box in found["annotations"]:
        x, y, w, h = box["bbox"]
        box["bbox"] = [x, y, x + w, y + h]
    write(folder / "annotations.json", found)


@kin
def k20_cvat(folder):
    fill(folder / "images")
    write(folder / "annotations" / "instances_default.json", content())


@kin
def k21_label_studio(folder):
    fill(folder / "images")
    write(folder / "result.json", content(names="images\\im{:02d}.jpg"))


@kin
def k22_two_files_in_the_root(folder):
    fill(folder)
    write(folder / "first.json", content(TRAIN))
    write(folder / "second.json", content(VALID))


@kin
def k23_a_file_for_each_split(folder):
    fill(folder / "images")
    write(folder / "train.json", content(TRAIN))
    write(folder / "val.json", content(VALID))
    (folder / "package.json").write_text("{}")


@kin
def k24_no_valid(folder):
    export(folder, {"train": TRAIN, "test": TEST})


@kin
def k25_test_only(folder):
    export(folder, {"test": TEST})


@kin
def k26_unknown_sibling(folder):
    export(folder, {"train": TRAIN, "valid": VALID, "extra": TEST})


@kin
def k27_two_for_val(folder):
    export(folder, {"train": TRAIN, "valid": VALID, "val": TEST})


@kin
def k28_letters_taken_apart(folder):
    fill(folder, names=unicodedata.normalize("NFD", "dóse{:02d}.jpg"))
    names = unicodedata.normalize("NFC", "dóse{:02d}.jpg")
    write(folder / "annotations.json", content(names=names))


@kin
def k29_test_without_boxes(folder):
    export(folder, {"train": TRAIN, "valid": VALID})
    fill(folder / "test", TEST)
    write(folder / "test" / "_annotations.coco.json", {**content(TEST), "annotations": []})


@kin
def k30_one_image_for_two_splits(folder):
    """Both list photos/1.jpg of their own; there is one."""
    fill(folder, TRAIN, "images/{}.jpg")
    write(folder / "train.json", content(TRAIN, names="a/{}.jpg"))
    write(folder / "val.json", content(TRAIN[:2], names="b/{}.jpg"))


@kin
def k31_names_that_differ_in_case(folder):
    fill(folder / "images", range(1, 7), "IM{:02d}.jpg")
    fill(folder / "images", range(7, 13), "im{:02d}.jpg")
    for n in range(1, 7):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images" / f"im{n:02d}.jpg")
    names = {n: f"photos/{'IM' if n < 7 else 'Im'}{n:02d}.jpg" for n in ALL}
    write(folder / "annotations.json", content(names=names))


@kin
def k32_outside(folder):
    fill(folder)
    write(folder / "annotations.json", content(names="/etc/secret{:02d}.jpg"))


@kin
def k33_up_and_down(folder):
    fill(folder / "images")
    names = "../images/im{:02d}.jpg"
    write(folder / "annotations" / "instances.json", content(names=names))


@kin
def k34_names_of_ones_own(folder):
    fill(folder)
    write(folder / "a.json", content(TRAIN))
    write(folder / "b.json", content(VALID))
    write(folder / "c.json", content(TEST))


@kin
def k35_class_names(folder):
    fill(folder)
    found = content()
    for category, name in zip(found["categories"], ("缶|<i>", "🥤 cup"), strict=True):
        category["name"] = name
    write(folder / "annotations.json", found)


@kin
def k36_some_folders_renamed(folder):
    """What is in b/ is absent: c/ has other photographs of the same names."""
    names = {n: f"{'ab'[n % 2]}/{n:02d}.jpg" for n in ALL}
    for n in ALL:
        save(folder / "ac"[n % 2] / f"{n:02d}.jpg", n)
    write(folder / "annotations.json", content(names=names))


@kin
def k37_prefix_of_some(folder):
    """Two exports in one file: half of the names with the folder."""
    fill(folder / "images")
    names = {n: f"images/im{n:02d}.jpg" if n < 7 else f"im{n:02d}.jpg" for n in ALL}
    write(folder / "annotations.json", content(names=names))


@kin
def k38_all_absent(folder):
    write(folder / "annotations.json", content())


@kin
def k39_folder_without_annotations(folder):
    fill(folder)
    (folder / "annotations").mkdir()
    (folder / "annotations" / "notes.json").write_text('{"images": 3}')


@kin
def k40_some_sizes_of_turned(folder):
    """Half of the sizes are missing; the others say that boxes are on stored pixels."""
    turned(folder, (6, 8), raw=True)
    found = json.loads((folder / "annotations.json").read_text())
    for image in found["images"][::2]:
        image |= {"width": None, "height": None}
    write(folder / "annotations.json", found)


@kin
def k41_evidence_of_another_file(folder):
    """train/ has what tells that boxes are on stored pixels, valid/ only turns by 180 degrees."""
    for name, orientation in (("train", 6), ("valid", 3)):
        turned(folder / name, (orientation,), raw=True)
        path = folder / name / "annotations.json"
        path.rename(path.with_name("_annotations.coco.json"))


@kin
def k42_sloppy_boxes(folder):
    """Boxes somewhat beyond the image are no corners."""
    fill(folder)
    found = content()
    for box in found["annotations"][::2]:
        box["bbox"] = [10, 20, 195, 133]
    write(folder / "annotations.json", found)
