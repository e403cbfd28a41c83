"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): downloaded once and written out as an image folder."""

import errno
import shutil
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar, Literal

from datamodules.errors import DataError
from datamodules.files import build_once
from datamodules.schema import declared
from datamodules.sources.image_folder import ImageFolder
from datamodules.sources.source import Index
from datamodules.workers import map_in_order, report_progress

# What the disk refuses, not the network: `build_once` says it.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
# The authors' names, in their order of labels.
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree
orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum
rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train
trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100 = tuple(_CIFAR100.split())
CLASS_NAMES = {"CIFAR10": CIFAR10, "CIFAR100": CIFAR100}


@declared
class Cifar:
    """60 000 pictures of 32 x 32 pixels: 50 000 to train and validate on, 10 000 to test on.

    Attributes:
        root: folder in which `cifar10/` or `cifar100/` is made (about 170 MB are downloaded).
        variant: torchvision's class; `CIFAR100` with its 100 fine labels.
    """

    place: ClassVar[str] = "data.source"

    root: str
    variant: Literal["CIFAR10", "CIFAR100"] = "CIFAR10"

    def __post_init__(self) -> None:
        self.folder = Path(self.root) / self.variant.lower()

    @property
    def is_made(self) -> bool:
        """Whether the images are there."""
        return self.folder.is_dir()

    def check(self) -> tuple[str, ...]:
        """The class names, sorted; downloads nothing."""
        return tuple(sorted(CLASS_NAMES[self.variant]))

    def prepare(self) -> None:
        """Download and write out the images unless they are there.

        Raises:
            DataError: the download fails or is not what its authors published (by checksum).
        """
        build_once(self.folder, self._write)

    def read(self) -> Index:
        """The images: `unsplit`, and the test split of the authors."""
        return ImageFolder(root=str(self.folder)).read()

    def _write(self, folder: Path) -> None:
        import torchvision

        archive = folder / "archive"
        dataset = getattr(torchvision.datasets, self.variant)
        for split in ("train", "test"):
            try:
                pictures = dataset(root=str(archive), train=split == "train", download=True)
            except (OSError, RuntimeError, HTTPException) as error:
                if getattr(error, "errno", None) in DISK_ERRORS:
                    raise
                raise DataError(
                    f"{self.variant} cannot be downloaded from {dataset.url} ({error}): try again, "
                    f"or put the class folders train/ and test/ into {self.folder}."
                ) from error
            _write_pictures(pictures, folder / split)
        shutil.rmtree(archive)


def _write_pictures(pictures: Any, folder: Path) -> None:
    """Write `folder/<class>/<number>.png`."""
    for name in pictures.classes:
        (folder / name).mkdir(parents=True)
    paths = [folder / pictures.classes[c] / f"{n:05d}.png" for n, c in enumerate(pictures.targets)]
    job = f"Writing {len(paths)} {folder.name} images"
    jobs = zip(paths, pictures.data, strict=True)
    for _ in report_progress(map_in_order(_write_png, jobs), total=len(paths), job=job):
        pass


def _write_png(job: tuple[Path, Any]) -> None:
    from PIL import Image

    path, pixels = job
    Image.fromarray(pixels).save(path, compress_level=1)
