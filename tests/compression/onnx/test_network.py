"""What is known of networks that are ONNX graphs."""

import pytest
from torch import nn

from compression import CompressionError
from compression.onnx import counted_network, is_onnx_network, stored_content
from compression.quantization import Int8Network


def test_a_network_says_whether_it_is_a_graph():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4, 2))
    quantized = Int8Network(network, b"graph")
    assert is_onnx_network(quantized) and not is_onnx_network(network)
    assert counted_network(network) is network
    assert counted_network(quantized) is quantized.outline
    assert stored_content(quantized) == b"graph"
    with pytest.raises(CompressionError, match="has no file yet"):
        stored_content(Int8Network(network))
