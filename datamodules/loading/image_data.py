"""`ImageData`: a source, its cache and its augmentation as Lightning's data module."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from datamodules.cache import Levels, Pixels
from datamodules.decoding import ResizeMode
from datamodules.errors import DataError
from datamodules.loading.class_balance import ClassSampler, class_weights
from datamodules.loading.data_loader import make_loader, worker_count
from datamodules.loading.dataset import Augmentation, ImageDataset
from datamodules.loading.sampling import EpochSampler
from datamodules.loading.split_caches import SplitCaches
from datamodules.schema import Size, as_size, checked
from datamodules.sources import Index, Item, Source
from datamodules.splits import ReadySplits, Splits, Splitter


class ImageData(pl.LightningDataModule):
    """Batches (uint8 N x 3 x H x W, int64 N) of the splits of a source.

    Evaluation images are resized once, from the file to the network's size. Training images are
    kept larger, so that the augmentation's random crops have pixels to choose from.

    Args:
        source: where the images come from.
        splits: which images are trained, validated and tested on.
        augmentation: makes a training image of the network's size from (image, epoch, index).
        image_size: the network's input: side of a square or [H, W], in pixels.
        batch_size: images in a training batch.
        eval_batch_size: images in a validation or test batch.
        sampling: how often classes come in training: `natural`, or with the weights of
            `class_weights`: `balanced`, `sqrt`, `effective_number`, or a function of one's own.
        num_workers: processes that make batches; "auto" is none where there are 2 cores or fewer.
        cache: keep decoded pixels on disk; else files are decoded for every batch.
        cache_dir: where caches are kept, shared by all runs.
        cache_scale: size of cached training images relative to `image_size`.
        resize_mode: what happens to another aspect ratio: stretch, pad or crop.
        max_bad_images: unreadable files that are skipped with a warning, over all splits.
        seed: of the order.
        audit_command: what a person types to see the duplicates that a warning of leakage is about.
        levels: bits in use in samples of more than 8, as a network was trained; None: all 16;
            `found`: as few as hold all training images.

    Attributes:
        augmentation_repeats: training repeats this many augmentations of each image, and its
            batches end with their (repeat, index) keys, int64 N x 2. None augments anew in each
            epoch.
    """

    def __init__(
        self,
        *,
        source: Source,
        splits: Splitter | None = None,
        augmentation: Augmentation,
        image_size: int | Sequence[int],
        batch_size: int = 64,
        eval_batch_size: int = 256,
        sampling: str | ClassSampler = "natural",
        num_workers: int | str = "auto",
        cache: bool = True,
        cache_dir: str,
        cache_scale: float = 1.25,
        resize_mode: ResizeMode = "stretch",
        max_bad_images: int = 0,
        seed: int = 0,
        audit_command: str = "python scripts/audit_data.py data=...",
        levels: Levels = "found",
    ) -> None:
        super().__init__()
        self.source = source
        self.splits = splits or Splits()
        # What is only measured is treated alike, whatever its splits are called.
        self._training = None if isinstance(splits, ReadySplits) else "train"
        self.augmentation = augmentation
        self.image_size: Size = as_size(image_size)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.sampling = sampling
        self.num_workers = worker_count(num_workers)
        self.max_bad_images = max_bad_images
        self.seed = seed
        self.audit_command = audit_command
        height, width = self.image_size
        # Only random crops gain from larger images.
        scale = cache_scale if self._training and getattr(augmentation, "crops", True) else 1
        self.caches = SplitCaches(
            source,
            self.splits,
            train_size=(round(height * scale), round(width * scale)),
            eval_size=self.image_size,
            resize_mode=checked("resize_mode", resize_mode, ResizeMode),
            cache_dir=Path(cache_dir),
            keep_pixels=cache,
            levels=levels,
        )
        self.augmentation_repeats: int | None = None

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes; a label is an index into them."""
        return self.source.check()

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def has_test(self) -> bool:
        """Whether there is a labelled test split."""
        return "test" in self.index.splits

    @property
    def class_counts(self) -> dict[str, list[int]]:
        """Readable images of each class, by labelled split."""
        counts = {name: Counter(i.label for i in self.items(name)) for name in self.caches.labelled}
        return {name: [count[c] for c in range(self.num_classes)] for name, count in counts.items()}

    def items(self, split: str) -> list[Item]:
        """The readable items of a split, in the order of its indices."""
        return self.caches[split].items

    def pixels(self, split: str) -> Pixels:
        """The pixels of a split by index: uint8 H x W x 3, of the size they are kept at."""
        return self.caches[split].pixels

    def prepare_data(self) -> None:
        """Make what the source lacks, then the caches.

        Raises:
            DataError: the data cannot be used; the sentence says why.
        """
        self.caches.prepare(max_bad_images=self.max_bad_images, audit=self.audit_command)

    def setup(self, stage: str | None = None) -> None:
        """Open the caches.

        Raises:
            DataError: a class sampler of one's own gives no weights for these images.
        """
        for split in self.caches.labelled:
            _ = self.caches[split]
        if self.sampling != "natural":
            self._weights()  # before anything is trained

    def train_dataloader(self) -> DataLoader:
        """Augmented, shuffled training batches."""
        return self._loader("train", self.augmentation)

    def repeat_batches(self, repeat: int) -> DataLoader:
        """All training images as augmented in one of the repeats, in order.

        Every batch has the training's size: the last one is filled up with the first images.
        """
        dataset = self._dataset("train", self.augmentation)
        images, size = len(dataset), min(self.batch_size, len(dataset))
        keys = [[(repeat, (n + i) % images) for i in range(size)] for n in range(0, images, size)]
        return make_loader(dataset, keys, num_workers=self.num_workers, seed=self.seed)

    def val_dataloader(self) -> DataLoader:
        """Validation batches, in order."""
        return self._loader("val", None)

    def test_dataloader(self) -> DataLoader:
        """Test batches, in order."""
        if not self.has_test:
            raise DataError("The data set has no test split: add one, or use the validation split.")
        return self._loader("test", None)

    def eval_dataloader(self, split: str) -> DataLoader:
        """Batches of a labelled split as it is, in order."""
        return self._loader(split, None)

    def predict_dataloader(self) -> DataLoader:
        """Batches of the unlabelled images, in order; their labels are -1."""
        if "predict" not in self.index.splits:
            raise DataError("The data set has no unlabelled images: put some into data.root/test.")
        return self._loader("predict", None)

    def train_eval_batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Training images without augmentation and their labels, in one fixed shuffled order.

        For BatchNorm statistics, calibration and importance; each call starts anew, and every
        training process gets the same batches.
        """
        dataset = self._dataset("train", None)
        for keys in self._sampler("train", len(dataset)):
            images, labels = dataset[keys][:2]
            yield images, labels

    @property
    def levels(self) -> int | None:
        """Bits in use in samples of more than 8; None: all 16, or no training image has such."""
        return self.caches.levels

    def key(self, split: str) -> str:
        """A digest that changes with the images of a split, their order and their pixels."""
        return self.caches[split].key

    @property
    def index(self) -> Index:
        """What the source found, split, with what joined and went since a saved run."""
        return self.caches.index

    def _dataset(self, split: str, augmentation: Augmentation | None) -> ImageDataset:
        return ImageDataset(
            pixels=self.pixels(split),
            labels=[item.label for item in self.items(split)],
            size=self.image_size,
            augmentation=augmentation,
            keyed=augmentation is not None and self.augmentation_repeats is not None,
        )

    def _loader(self, split: str, augmentation: Augmentation | None) -> DataLoader:
        dataset = self._dataset(split, augmentation)
        ranks = {}
        if self.trainer is not None:
            ranks = {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
            if len(dataset) < self.trainer.world_size:
                raise DataError(
                    f"The {split} split has {len(dataset)} images, too few for "
                    f"{self.trainer.world_size} processes; use fewer trainer.devices."
                )
        sampler = self._sampler(split, len(dataset), **ranks)
        return make_loader(dataset, sampler, num_workers=self.num_workers, seed=self.seed)

    def _sampler(self, split: str, size: int, **ranks: int) -> EpochSampler:
        train = split == self._training
        return EpochSampler(
            size=size,
            batch_size=self.batch_size if train else self.eval_batch_size,
            seed=self.seed,
            drop_last=train,  # BatchNorm cannot train on a last batch of one image
            shuffle=train,
            weights=self._weights() if train and self.sampling != "natural" else None,
            augmentation_repeats=self.augmentation_repeats if train else None,
            **ranks,
        )

    def _weights(self) -> list[float]:
        """How often each training image is drawn, relative to the others."""
        of_class = class_weights(self.class_counts["train"], self.sampling)
        return [of_class[item.label] for item in self.items("train")]
