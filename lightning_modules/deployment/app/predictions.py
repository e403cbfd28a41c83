"""What several models predict for one picture, and how long each took."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from datamodules.decoding import decode_crops
from lightning_modules.deployment.inference_model import InferenceModel

REPEATS = 5  # calls, of whose times the median is shown


@dataclass(frozen=True)
class PicturePrediction:
    """What one model predicts for one picture.

    Attributes:
        model: that predicts.
        rows: (class, probability), the most probable first; of equals in the model's order.
        milliseconds: median of some calls with this picture, decoding and resizing left out.
    """

    model: InferenceModel
    rows: list[tuple[str, float]]
    milliseconds: float


def predict_picture(models: Sequence[InferenceModel], path: str) -> list[PicturePrediction]:
    """Shows a picture to each model, in the size and resize mode that it was made for.

    Raises:
        DataError: the file is no picture; the sentence says why.
    """
    return [_predict(model, path) for model in models]


def _predict(model: InferenceModel, path: str) -> PicturePrediction:
    metadata = model.metadata
    size, mode = metadata.image_size, metadata.resize_mode
    pixels = decode_crops(path, [None], size=size, resize_mode=mode, levels=metadata.levels)[0]
    images = pixels.transpose(2, 0, 1)[None].copy()  # 1 x 3 x H x W
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        (probabilities,) = model(images)
        times.append(1000 * (perf_counter() - start))
    rows = [(name, float(p)) for name, p in zip(metadata.class_names, probabilities, strict=True)]
    return PicturePrediction(model, sorted(rows, key=lambda row: -row[1]), median(times))
