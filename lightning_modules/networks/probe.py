"""The probe: a stored input and its output, which tell whether a loaded network still agrees.

A network that draws random numbers when it predicts (Monte-Carlo drop-out) draws the same ones for
the probe; where another machine draws others, its outputs may differ by what they spread.
"""

import logging

import torch
from torch import Tensor, nn

from lightning_modules.errors import ConfigError

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # of the largest logit; on the same machine the difference is exactly 0
DRAWS = 8  # passes of a network that draws at random
INT8_TOLERANCE = 0.05  # processors round and saturate 8-bit sums in their own ways


def make_probe(network: nn.Module, image_size: tuple[int, int]) -> dict[str, Tensor]:
    """Two random images, uint8 2 x 3 x H x W, and their logits from a network on the CPU.

    With `spread`, how far logits differ from pass to pass, of a network that draws at random.

    Raises:
        ConfigError: the logits are not finite, so there is nothing worth saving.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, *image_size), dtype=torch.uint8, generator=generator)
    logits = _logits(network, images)
    if not logits.isfinite().all():
        raise ConfigError("The network gives NaN or infinite logits and was not saved.")
    other = _logits(network, images, seed=1)
    if (other - logits).abs().max() <= TOLERANCE * logits.abs().max():
        return {"images": images, "logits": logits}
    others = [other, *(_logits(network, images, seed=seed) for seed in range(2, DRAWS))]
    spread = torch.stack([(other - logits).abs().max() for other in others]).max()
    log.info(
        f"note     the network draws random numbers when it predicts: its logits differ by up to "
        f"{spread:.2g} from pass to pass, and a loaded one is compared no closer"
    )
    return {"images": images, "logits": logits, "spread": spread}


def check_probe(
    network: nn.Module, probe: dict[str, Tensor], *, tolerance: float = TOLERANCE
) -> None:
    """Compare the network's logits with the stored ones, within `tolerance` of the largest.

    Raises:
        ConfigError: the probe's tensors are missing, or the logits differ.
    """
    if set(probe) - {"spread"} != {"images", "logits"}:
        raise ConfigError("The probe check failed: probe.safetensors lacks its images or logits.")
    expected = probe["logits"]
    try:
        found = _logits(network, probe["images"])
    except Exception as error:  # onnxruntime's own have no common base
        raise ConfigError(f"The probe check failed: the network does not run: {error}.") from error
    same_shape = found.shape == expected.shape
    difference = (found - expected).abs().max() if same_shape else torch.tensor(torch.inf)
    random = probe.get("spread", torch.zeros(()))
    if not difference <= tolerance * expected.abs().max() + 2 * random:
        raise ConfigError(
            f"The probe check failed: the loaded network's logits differ from the stored ones by "
            f"{difference:.2g}."
        )


@torch.inference_mode()
def _logits(network: nn.Module, images: Tensor, *, seed: int = 0) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(images).clone()  # 2 x classes
