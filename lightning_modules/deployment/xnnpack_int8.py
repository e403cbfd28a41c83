"""Static int8 quantisation for XNNPACK after training (torchao's PT2E), for ExecuTorch files."""

import numpy as np
import torch
from torch import nn

from lightning_modules.deployment.suppress_output import silenced

with silenced():
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

BATCH = 32  # images that are looked at together


def int8_module(module: nn.Module, images: np.ndarray, *, largest_batch: int) -> nn.Module:
    """The same network with signed 8-bit weights, one scale a channel, and 8-bit activations.

    Args:
        module: maps uint8 N x 3 x H x W to probabilities; in eval mode.
        images: of the training split, to find the activations' ranges on, at least `BATCH`.
        largest_batch: images that the result takes at a time.
    """
    example = torch.zeros(largest_batch, *images.shape[1:], dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=largest_batch)
    quantizer = XNNPACKQuantizer().set_global(
        get_symmetric_quantization_config(is_per_channel=True)
    )
    with torch.no_grad(), silenced():
        traced = torch.export.export(module, (example,), dynamic_shapes=({0: batch},)).module()
        observed = prepare_pt2e(traced, quantizer)
        for start in range(0, len(images), BATCH):
            observed(torch.from_numpy(images[start : start + BATCH]))
        return convert_pt2e(observed)
