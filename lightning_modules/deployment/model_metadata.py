"""`Facts`: what an exported file says of itself, so that it can be used without this package."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from lightning_modules.errors import ConfigError

SCHEMA = 1
KEY = "model_diet"  # of the metadata entry that a program reads; the others are for people
FITS = {
    "stretch": "the whole image, its aspect ratio given up",
    "pad": "the whole image, grey (128) beside it where its aspect ratio differs",
    "crop": "the largest centred part of that aspect ratio",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What must be known of a classifier besides its weights.

    Attributes:
        class_names: in the order of the probabilities.
        image_size: (height, width) in pixels of what it takes.
        fit: what happens to another aspect ratio: stretch, pad or crop.
        macs: of one image, by convention: `standard`, `leaderboard2021`.
        params: number of parameters.
        largest_batch: the most images that the file takes at a time; None: any number.
    """

    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    fit: str
    macs: dict[str, int]
    params: int
    largest_batch: int | None = None

    def to_metadata(self) -> dict[str, str]:
        """Text by name: one entry of JSON for programs, and the preprocessing in words."""
        return {
            KEY: json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False),
            "class_names": json.dumps(self.class_names, ensure_ascii=False),
            "preprocessing": self.preprocessing,
            "output": "softmax probabilities, N x classes, in the order of class_names",
        }

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, str], *, file: str) -> "Facts":
        """What `to_metadata` wrote.

        Raises:
            ConfigError: the metadata is not of this package.
        """
        try:
            content = json.loads(metadata[KEY])
            if content.pop("schema") != SCHEMA or content["fit"] not in FITS:
                raise ValueError
            return cls(**_typed(content))
        except (KeyError, ValueError, TypeError):
            raise ConfigError(
                f"{file} does not say its classes and preprocessing: it was not written by "
                "scripts/export.py of this version; export the run again."
            ) from None

    @property
    def preprocessing(self) -> str:
        """How a picture becomes the input, in a few sentences."""
        height, width = self.image_size
        batch = "any N" if self.largest_batch is None else f"N in 1..{self.largest_batch}"
        return (
            "Decode to 8-bit RGB, turned upright by EXIF, transparency laid on white. Take "
            f"{FITS[self.fit]} (fit={self.fit}), resized to {height} x {width} pixels (H x W), "
            f"bilinear with antialiasing. Input: uint8 N x 3 x {height} x {width}, RGB, 0..255, "
            f"{batch}. Normalisation is inside the file."
        )


def with_largest_batch(facts: Facts, batch: int) -> Facts:
    """The same of a file that takes at most so many images at a time."""
    return replace(facts, largest_batch=batch)


def _typed(content: dict[str, Any]) -> dict[str, Any]:
    names, (height, width) = content["class_names"], content["image_size"]
    most = content.get("largest_batch")
    macs = {str(name): int(count) for name, count in content["macs"].items()}
    return {
        "class_names": tuple(map(str, names)),
        "image_size": (int(height), int(width)),
        "fit": content["fit"],
        "macs": macs,
        "params": int(content["params"]),
        "largest_batch": None if most is None else int(most),
    }
