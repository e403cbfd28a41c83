"""Whether an exported file predicts the same as the network it came from."""

from dataclasses import dataclass

import numpy as np

from lightning_modules.deployment.inference_model import InferenceModel
from lightning_modules.errors import ConfigError

BATCH = 64
MAX_DIFFERENCE = 1e-3  # of two probabilities
MAX_HALF_DIFFERENCE = 1e-2  # the same where weights were rounded to 11 bits
MIN_AGREEMENT = 0.995  # ratio of the images of which both name the same class


@dataclass(frozen=True)
class Comparison:
    """What two models predict for the same images.

    Attributes:
        images: how many.
        difference: the largest of two probabilities of one class.
        agreement: ratio of the images of which both name the same class.
        limit: what the difference has to lie below.
    """

    images: int
    difference: float
    agreement: float
    limit: float = MAX_DIFFERENCE

    def require(self) -> None:
        """Refuses a file that is not the network.

        Raises:
            ConfigError: it differs by more than rounding.
        """
        # So written that a NaN is refused.
        close = self.difference < self.limit and self.agreement >= MIN_AGREEMENT
        if not close:
            raise ConfigError(
                f"The exported file does not agree with the network on {self.images} images: "
                f"probabilities differ by up to {self.difference:.2g} (below "
                f"{self.limit:g} wanted), the top class agrees on {self.agreement:.2%} "
                f"({MIN_AGREEMENT:.1%} wanted); it was not kept."
            )


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What an int8 file is judged by: it rounds elsewhere than the network it is compared with.

    Attributes:
        split: of the labelled images.
        before, after: macro-F1 of the network and of the file on them.
        max_f1_drop: the largest loss allowed.
    """

    split: str
    before: float
    after: float
    max_f1_drop: float

    def require(self) -> None:
        """Refuses a file that lost too much.

        Raises:
            ConfigError: more macro-F1 is lost than is allowed.
        """
        if not self.before - self.after <= self.max_f1_drop:  # a NaN is refused
            raise ConfigError(
                f"The int8 file lost {self.before - self.after:.4f} of macro-F1 on {self.split} "
                f"({self.before:.4f} to {self.after:.4f}), more than max_f1_drop="
                f"{self.max_f1_drop:g}; it was not kept."
            )


def compare(
    network: InferenceModel,
    file: InferenceModel,
    images: np.ndarray,
    *,
    limit: float = MAX_DIFFERENCE,
) -> Comparison:
    """Both about uint8 N x 3 x H x W, in batches, and the file once more about one image."""
    expected = probabilities(network, images)
    found = probabilities(file, images)
    alone = file(images[:1])
    differences = np.abs(found - expected).max(), np.abs(alone - expected[:1]).max()
    agreement = np.mean(found.argmax(axis=1) == expected.argmax(axis=1))
    return Comparison(len(images), float(max(differences)), float(agreement), limit)


def probabilities(model: InferenceModel, images: np.ndarray) -> np.ndarray:
    """The probabilities of all images, N x classes."""
    starts = range(0, len(images), BATCH)
    return np.concatenate([model(images[start : start + BATCH]) for start in starts])
