"""How far the logits of an int8 file are from those of the float graph that it was made of."""

import copy

import numpy as np
import onnx

from compression.onnx import onnx_session, run_session
from compression.quantization.fitted_weights import Rounded
from compression.quantization.plan import QuantizePlan
from compression.quantization.quantization import planned_graph


class GraphDivergence:
    """The mean Kullback-Leibler divergence from a float graph's probabilities, in nats.

    Args:
        model: of `float_graph`; stays as it is.
        images: N x C x H x W, to judge by.
    """

    def __init__(self, model: onnx.ModelProto, images: np.ndarray) -> None:
        self.model, self.images = model, images
        self._expected = _log_softmax(_logits(model.SerializeToString(), images))

    def of_plan(self, plan: QuantizePlan, rounded: Rounded) -> float:
        """Of the file that a plan makes of the graph, with the weights that are rounded here."""
        return self(planned_graph(copy.deepcopy(self.model), plan, rounded))

    def __call__(self, content: bytes) -> float:
        """Of a file."""
        said = _log_softmax(_logits(content, self.images))
        return float((np.exp(self._expected) * (self._expected - said)).sum(1).mean())


def _logits(content: bytes, images: np.ndarray) -> np.ndarray:
    return run_session(onnx_session(content), images).astype(np.float64)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(1, keepdims=True)
    value: np.ndarray = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return value
