"""The size of a network's weights file, without writing it."""

import json
import zlib

import torch
from torch import Tensor, nn

from compression.onnx import is_onnx_network, stored_content

# Names of the format, in the order in which it sorts tensors of different types.
DTYPES = {torch.int64: "I64", torch.float32: "F32", torch.uint8: "U8", torch.bool: "BOOL"}


def file_bytes(network: nn.Module) -> int:
    """Bytes of `weights.safetensors`: float32 tensors, and a header with names and shapes.

    Of an int8 network the bytes of its file.
    """
    if is_onnx_network(network):
        return len(stored_content(network))
    state = network.state_dict()
    order = list(DTYPES.values())
    entries = sorted((order.index(_dtype(t)), name) for name, t in state.items())
    header, end = {}, 0
    for position, name in entries:
        start, end = end, end + saved_bytes(state[name])
        header[name] = {
            "dtype": order[position],
            "shape": list(state[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"))
    return 8 + -(-len(text) // 8) * 8 + end  # the header's length, the header padded, the data


def data_bytes(network: nn.Module) -> int:
    """Bytes of all parameters and buffers as `weights.safetensors` has them, without its header.

    What layers share is written once for each of them. Of an int8 network the bytes of its file.
    """
    if is_onnx_network(network):
        return len(stored_content(network))
    return sum(map(saved_bytes, network.state_dict().values()))


def compressed_bytes(network: nn.Module) -> int:
    """Bytes of all tensors after zlib, as a compressed download has them."""
    packer, total = zlib.compressobj(6), 0
    for tensor in network.state_dict().values():
        total += len(packer.compress(tensor.detach().cpu().contiguous().numpy().tobytes()))
    return total + len(packer.flush())


def _dtype(tensor: Tensor) -> str:
    return DTYPES[torch.float32 if tensor.is_floating_point() else tensor.dtype]


def saved_bytes(tensor: Tensor) -> int:
    """Of one tensor, without values too: floating ones are saved in float32."""
    return tensor.numel() * (4 if tensor.is_floating_point() else tensor.element_size())
