import numpy as np
import onnx
import pytest
import torch
from torch import nn

from compression.latency.layer_latency import compare_layers, layer_graph
from compression.onnx.network import onnx_session

LAYERS = [
    (nn.Conv2d(3, 6, 3, stride=2, padding=1), (2, 3, 9, 8)),
    (nn.Conv2d(4, 8, (3, 5), padding=(2, 1), dilation=(2, 1), groups=2, bias=False), (1, 4, 9, 8)),
    (nn.Conv2d(3, 6, 4, padding="same"), (1, 3, 9, 8)),
    (nn.Conv2d(3, 6, 3, padding="valid"), (1, 3, 9, 8)),
    (nn.Conv2d(3, 6, 3, padding=(1, 2), padding_mode="reflect"), (1, 3, 9, 8)),
    (nn.Conv2d(3, 6, 3, padding=1, padding_mode="replicate"), (1, 3, 9, 8)),
    (nn.Conv2d(3, 6, 3, padding=1, padding_mode="circular"), (1, 3, 9, 8)),
    (nn.Linear(5, 7), (1, 5)),
    (nn.Sequential(nn.Linear(5, 2, bias=False), nn.Linear(2, 7)), (2, 4, 5)),
    (nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 5, 3)), (1, 3, 9, 8)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_a_graph_computes_what_the_layer_does(layer, shape):

    model = layer_graph(layer, shape)
    onnx.checker.check_model(model)
    arrays = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    parts = layer if isinstance(layer, nn.Sequential) else [layer]
    with torch.no_grad():
        for number, part in enumerate(parts):
            weight = torch.from_numpy(arrays[f"y{number}_w"].copy())
            part.weight.copy_(weight.T if isinstance(part, nn.Linear) else weight)
            if part.bias is not None:
                part.bias.copy_(torch.from_numpy(arrays[f"y{number}_b"].copy()))
    session = onnx_session(model.SerializeToString())
    x = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    (found,) = session.run(None, {"x": x})
    torch.testing.assert_close(
        torch.from_numpy(found), layer(torch.from_numpy(x)).detach(), atol=1e-4, rtol=1e-4
    )


def test_a_larger_layer_takes_longer():
    with torch.device("meta"):
        layers = [nn.Conv2d(8, 8, 1), nn.Conv2d(8, 256, 5, padding=2)]
    small, large = compare_layers([(layer, (1, 8, 24, 24)) for layer in layers])
    assert 0 < 3 * small < large
