"""What the scenarios work on: drawn images, and a server on this machine to download some from."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import draw_folder
from tests.datamodules.downloads.conftest import image_bytes
from tests.file_server import FileServer, Reply, serving

IMAGES = 40  # to download
SLOW = 0.03  # seconds before each is sent, so that a kill finds some of them on the way
CATEGORIES = {1: "Bottle", 2: "Can"}


@contextlib.contextmanager
def materials(folder: Path) -> Iterator[Path]:
    """Draws everything into a folder and serves it until the end."""
    images = folder / "images"
    draw_folder(images / "few")
    draw_folder(images / "many", train=60, val=20)
    with serving() as server:
        server.usual = Reply(before=lambda: time.sleep(SLOW))
        (images / "taco.json").write_text(json.dumps(_annotations(server)))
        yield images


def _annotations(server: FileServer) -> dict:
    """Of images like TACO's, which are on the server."""
    images = []
    for number in range(IMAGES):
        size = 40 + number, 30 + number % 7
        url = server.add(f"/{number}_o.jpeg", image_bytes(size, seed=number))
        images.append({
            "id": number, "width": size[0], "height": size[1], "flickr_url": url,
            "file_name": f"batch_{number % 3}/{number}.jpg", "flickr_640_url": url,
        })  # fmt: skip
    boxes = [
        {"id": each["id"], "image_id": each["id"], "category_id": 1 + each["id"] % 2,
         "bbox": [2, 2, 20, 20], "area": 400, "iscrowd": 0}
        for each in images
    ]  # fmt: skip
    kinds = [{"id": key, "name": name, "supercategory": name} for key, name in CATEGORIES.items()]
    return {"images": images, "annotations": boxes, "categories": kinds}
