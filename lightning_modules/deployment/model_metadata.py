"""`ModelMetadata`: what an exported file says of itself, to be used without this package."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from datamodules.decoding import ResizeMode, white
from lightning_modules.errors import ConfigError

SCHEMA = 2
EARLIER_KEYS = {1: {"fit": "resize_mode", "largest_batch": "max_batch"}}  # by schema
LARGEST = 2**15  # pixels of a side
ENDLESS = (OverflowError, RecursionError)  # of numbers and nesting that no file of ours has
KEY = "model_diet"  # of the metadata entry that a program reads; the others are for people
RESIZE_MODES = {
    "stretch": "the whole image, its aspect ratio given up",
    "pad": "the whole image, grey (128) beside it where its aspect ratio differs",
    "crop": "the largest centred part of that aspect ratio",
}


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """What must be known of a classifier besides its weights.

    Attributes:
        class_names: in the order of the probabilities.
        image_size: (height, width) in pixels of what it takes.
        resize_mode: what happens to another aspect ratio: stretch, pad or crop.
        macs: of one image, by convention: `standard`, `leaderboard2021`.
        params: number of parameters.
        max_batch: the most images that the file takes at a time; None: any number.
        levels: bits in use in samples of more than 8, as in training; None: all 16.
    """

    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    resize_mode: ResizeMode
    macs: dict[str, int]
    params: int
    max_batch: int | None = None
    levels: int | None = None

    def to_entries(self) -> dict[str, str]:
        """Text by name: one entry of JSON for programs, and the preprocessing in words."""
        return {
            KEY: json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False),
            "class_names": json.dumps(self.class_names, ensure_ascii=False),
            "preprocessing": self.preprocessing,
            "output": "softmax probabilities, N x classes, in the order of class_names",
        }

    @classmethod
    def from_entries(cls, entries: Mapping[str, str], *, file: str) -> "ModelMetadata":
        """What `to_entries` wrote, in this version or an earlier one.

        Raises:
            ConfigError: the metadata is not of this package.
        """
        try:
            content = _current(json.loads(entries[KEY]))
            if content["resize_mode"] not in RESIZE_MODES:
                raise ValueError
            return cls(**_typed(content))
        except (LookupError, ValueError, TypeError, AttributeError, *ENDLESS):
            raise ConfigError(
                f"{file} does not say its classes and preprocessing: it was not written by "
                "scripts/export.py of this version; export the run again."
            ) from None

    @property
    def preprocessing(self) -> str:
        """How a picture becomes the input, in a few sentences."""
        height, width = self.image_size
        numbers = {None: "any N", 1: "one at a time (N = 1)"}
        batch = numbers.get(self.max_batch, f"N in 1..{self.max_batch}")
        return (
            "Decode to 8-bit RGB, turned upright by EXIF, transparency laid on white. "
            f"{self._levels}Take {RESIZE_MODES[self.resize_mode]} "
            f"(resize_mode={self.resize_mode}), resized to {height} x {width} pixels (H x W), "
            f"bilinear with antialiasing. Input: uint8 N x 3 x {height} x {width}, RGB, 0..255, "
            f"{batch}. Normalisation is inside the file."
        )

    @property
    def _levels(self) -> str:
        if self.levels is None:
            return ""
        return (
            f"Where samples have more than 8 bits, {self.levels} are in use: "
            f"min(level, {white(self.levels)}) >> {self.levels - 8}. "
        )


def with_max_batch(metadata: ModelMetadata, batch: int | None) -> ModelMetadata:
    """The same of a file that takes at most so many images at a time; None: any number."""
    return replace(metadata, max_batch=batch)


def _current(content: dict[str, Any]) -> dict[str, Any]:
    """The JSON of an earlier schema in today's keys."""
    schema = content.pop("schema")
    renamed = {} if schema == SCHEMA else EARLIER_KEYS[schema]
    return {renamed.get(key, key): value for key, value in content.items()}


def _typed(content: dict[str, Any]) -> dict[str, Any]:
    """The values in their types; `ValueError` where one is beyond what a network can have."""
    names, (height, width) = content["class_names"], content["image_size"]
    batch, levels = content.get("max_batch"), content.get("levels")
    if not isinstance(names, list) or not names:
        raise ValueError
    return {
        "class_names": tuple(map(str, names)),
        "image_size": (_within(height, 1, LARGEST), _within(width, 1, LARGEST)),
        "resize_mode": content["resize_mode"],
        "macs": {str(name): _within(count, 0) for name, count in content["macs"].items()},
        "params": _within(content["params"], 0),
        "max_batch": None if batch is None else _within(batch, 1),
        "levels": None if levels is None else _within(levels, 9, 16),
    }


def _within(value: Any, least: int, most: int = 2**63) -> int:
    if not least <= int(value) <= most:
        raise ValueError
    return int(value)
