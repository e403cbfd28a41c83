"""What all classifiers that are ready for use have in common, whatever runs them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from compression.cost import CONVENTIONS, count_macs, count_params
from compression.images import check_shape
from compression.onnx import Traced
from datamodules.decoding import ResizeMode
from lightning_modules.deployment.model_metadata import ModelMetadata
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network


@dataclass(frozen=True)
class InferenceModel:
    """A classifier from uint8 N x 3 x H x W to probabilities, float32 N x classes.

    Attributes:
        name: what a person calls it.
        metadata: classes, input and cost.
        call: from such images to such probabilities; any N from 1. It is given at most
            `metadata.max_batch` images at a time, of the right size, whoever calls.
    """

    name: str
    metadata: ModelMetadata
    call: Callable[[np.ndarray], np.ndarray]

    def __post_init__(self) -> None:
        call = self.call

        def checked(images: np.ndarray) -> np.ndarray:
            return _checked(call, self, images)

        object.__setattr__(self, "call", checked)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.call(images)

    def warm_up(self) -> None:
        """One call, so that what is set up on the first one is not timed with the others."""
        self.call(np.zeros((1, 3, *self.metadata.image_size), np.uint8))


def _checked(
    call: Callable[[np.ndarray], np.ndarray], model: InferenceModel, images: np.ndarray
) -> np.ndarray:
    """What a model gives for images that it was made for, in parts where it takes only some.

    Raises:
        ConfigError, CompressionError: it was not made for them.
    """
    metadata = model.metadata
    size = list(metadata.image_size)
    check_shape(
        images.shape,
        channels=3,
        image_size=size,
        what=model.name,
        advice="export or load its run with data.image_size=[H,W]",
    )
    if images.dtype != np.uint8:
        raise ConfigError(
            f"{model.name} takes raw pixels, uint8 in 0..255, not {images.dtype}: give the "
            "decoded image as it is; normalisation is inside."
        )
    most = metadata.max_batch or max(len(images), 1)
    parts = [call(images[i : i + most]) for i in range(0, len(images), most)] or [call(images)]
    found = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if found.shape != (len(images), len(metadata.class_names)):
        raise ConfigError(
            f"{model.name} gives {list(found.shape)} for {len(images)} images and "
            f"{len(metadata.class_names)} classes: it is no network of scripts/export.py, or what "
            "it says of itself was changed."
        )
    return found


def eager_model(network: Network, *, name: str | Path, resize_mode: ResizeMode) -> InferenceModel:
    """A network as it is, run by PyTorch on the CPU.

    Args:
        network: with its class names; in eval mode.
        name: what a person calls it.
        resize_mode: what happens to images of another aspect ratio.
    """

    @torch.inference_mode()
    def call(images: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(images)).float().softmax(dim=1).numpy()

    return InferenceModel(str(name), metadata_of(network, resize_mode=resize_mode), call)


def metadata_of(network: Network, *, resize_mode: ResizeMode) -> ModelMetadata:
    """What an exported file of a network has to say."""
    names = network.class_names or [str(number) for number in range(network.num_classes)]
    size = network.image_size
    macs = {convention: count_macs(network, size, convention) for convention in CONVENTIONS}
    return ModelMetadata(
        class_names=tuple(names),
        image_size=size,
        resize_mode=resize_mode,
        macs=macs,
        params=count_params(network),
        levels=network.levels,
    )


class Probabilities(nn.Module):
    """uint8 N x 3 x H x W -> probabilities N x classes.

    Args:
        network: gives logits N x classes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """uint8 N x 3 x H x W -> probabilities, float32 N x classes."""
        return self.network(images).float().softmax(dim=1)


def tell_batch(traced: Traced) -> int | None:
    """The only number of images that a file takes, printed with its reason; None: any number."""
    if traced.batch is not None:
        print(f"batch       one image at a time, for {traced.reason}", flush=True)
    return traced.batch
