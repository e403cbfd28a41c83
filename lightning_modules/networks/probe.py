"""The probe: a stored input and its output, which tell whether a loaded network still agrees."""

import torch
from torch import Tensor, nn

from lightning_modules.errors import ConfigError

TOLERANCE = 1e-4  # of the largest logit; on the same machine the difference is exactly 0
INT8_TOLERANCE = 0.05  # processors round and saturate 8-bit sums in their own ways


def make_probe(network: nn.Module, image_size: tuple[int, int]) -> dict[str, Tensor]:
    """Two random images, uint8 2 x 3 x H x W, and their logits from a network on the CPU.

    Raises:
        ConfigError: the logits are not finite, so there is nothing worth saving.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, *image_size), dtype=torch.uint8, generator=generator)
    logits = _logits(network, images)
    if not logits.isfinite().all():
        raise ConfigError("The network gives NaN or infinite logits and was not saved.")
    return {"images": images, "logits": logits}


def check_probe(
    network: nn.Module, probe: dict[str, Tensor], *, tolerance: float = TOLERANCE
) -> None:
    """Compare the network's logits with the stored ones, within `tolerance` of the largest.

    Raises:
        ConfigError: the probe's tensors are missing, or the logits differ.
    """
    if set(probe) != {"images", "logits"}:
        raise ConfigError("The probe check failed: probe.safetensors lacks its images or logits.")
    expected = probe["logits"]
    try:
        found = _logits(network, probe["images"])
    except Exception as error:  # onnxruntime's own have no common base
        raise ConfigError(f"The probe check failed: the network does not run: {error}.") from error
    same_shape = found.shape == expected.shape
    difference = (found - expected).abs().max() if same_shape else torch.tensor(torch.inf)
    if not difference <= tolerance * expected.abs().max():
        raise ConfigError(
            f"The probe check failed: the loaded network's logits differ from the stored ones by "
            f"{difference:.2g}."
        )


@torch.inference_mode()
def _logits(network: nn.Module, images: Tensor) -> Tensor:
    return network(images).clone()  # 2 x classes
