"""Calibration: between which values each activation lies, on images of the training split."""

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import TensorData, TensorsData, create_calibrator
from torch import Tensor

from compression.errors import CompressionError
from compression.onnx import suppress_output
from compression.quantization.settings import MIN_IMAGES

BATCH = 16  # images that are looked at together

Ranges = dict[str, list[float]]  # tensor -> lowest and highest value


def activation_ranges(
    model: onnx.ModelProto, images: np.ndarray, *, method: str, percentile: float
) -> Ranges:
    """The range of every floating tensor of a graph.

    Args:
        model: with one input `images`.
        images: N x C x H x W as the network takes them, at least `MIN_IMAGES`.
        method: `minmax`, or `percentile`: the outermost values are cut off, equally many below
            and above.
        percentile: in 0..100.
    """
    # onnxruntime prints how far it is, for itself.
    with tempfile.TemporaryDirectory() as folder, suppress_output(stdout=True):
        path = Path(folder) / "float.onnx"
        onnx.save(model, path)
        calibrator = create_calibrator(
            path,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.MinMax
            if method == "minmax"
            else CalibrationMethod.Percentile,
            # Activations are unsigned: a range about zero would waste half of it after a ReLU.
            extra_options={"symmetric": False, "percentile": percentile},
        )
        calibrator.collect_data(_Reader(images, _batch_of(model)))
        found = calibrator.compute_data()
    return {name: [_number(v) for v in data.range_value] for name, data in found.items()}


def as_tensors_data(ranges: Ranges) -> TensorsData:
    """Ranges of a plan as onnxruntime's quantiser takes them."""
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    return TensorsData(CalibrationMethod.MinMax, data)


def calibration_images(batches: Iterable[tuple[Tensor, Tensor]], count: int) -> np.ndarray:
    """The first `count` images of batches, N x C x H x W as they are; floating ones in float32.

    Raises:
        CompressionError: there are fewer than `MIN_IMAGES`.
    """
    found = list(islice((image for images, _ in batches for image in images), count))
    if len(found) < MIN_IMAGES:
        raise CompressionError(
            f"quantize calibrates on at least {MIN_IMAGES} training images, and there are "
            f"{len(found)}."
        )
    images = torch.stack(found).cpu()
    return (images.float() if images.is_floating_point() else images).numpy()


class _Reader(CalibrationDataReader):
    """Hands images to onnxruntime, a batch at a time."""

    def __init__(self, images: np.ndarray, size: int) -> None:
        # Whole batches only: histograms of several batches want tensors of one shape.
        size = min(size, len(images))
        starts = range(0, len(images) - size + 1, size)
        self.batches: Iterator[np.ndarray] = iter([images[s : s + size] for s in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


def _batch_of(model: onnx.ModelProto) -> int:
    """How many images are looked at together: all that the graph takes, if it says how many."""
    fixed: int = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value  # 0: any number
    return fixed or BATCH


def _number(value: np.ndarray | float) -> float:
    return float(np.asarray(value).reshape(-1)[0])
