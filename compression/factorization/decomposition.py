"""Tucker-2: the two channel modes of a convolution's kernel, decomposed together."""

import tensorly
import torch
from tensorly.decomposition import partial_tucker
from torch import Tensor

from compression.errors import CompressionError


def tucker2(kernel: Tensor, rank: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Higher-order orthogonal iteration over modes 0 and 1 of a kernel, in float64 on the CPU.

    Args:
        kernel: O x I x k x k.
        rank: (r_out, r_in), at most (O, I).

    Returns:
        core r_out x r_in x k x k, outer factor O x r_out and inner factor I x r_in, both with
        orthonormal columns; all float64 on the CPU.

    Raises:
        CompressionError: the kernel holds a NaN or an infinity.
    """
    exact = kernel.detach().to("cpu", torch.float64).contiguous()
    if not exact.isfinite().all():
        raise CompressionError("A kernel with NaN or infinite weights cannot be factorised.")
    if not exact.any():  # the iteration would divide by the norm
        factors = [torch.eye(n, r).double() for n, r in zip(exact.shape, rank, strict=False)]
        return exact.new_zeros(*rank, *exact.shape[2:]), *factors
    with tensorly.backend_context("numpy", local_threadsafe=True):
        (core, factors), _ = partial_tucker(
            exact.numpy(), rank=list(rank), modes=[0, 1], random_state=0
        )
    outer, inner = (torch.from_numpy(factor.copy()) for factor in factors)
    return torch.from_numpy(core.copy()), outer, inner
