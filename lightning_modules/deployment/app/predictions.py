"""What several classifiers say of one picture, and how long each took."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from datamodules.decoding.decoding import decode_crops
from lightning_modules.deployment.inference_model import Shipped

CALLS = 5  # of which the median is told


@dataclass(frozen=True)
class Answer:
    """Of one classifier.

    Attributes:
        classifier: who answers.
        rows: (class, probability), the most probable first; of equals in the classifier's order.
        milliseconds: median of some calls with this picture, decoding and resizing left out.
    """

    classifier: Shipped
    rows: list[tuple[str, float]]
    milliseconds: float


def ask(classifiers: Sequence[Shipped], path: str) -> list[Answer]:
    """Shows a picture to each classifier, in the size and fit that it was made for.

    Raises:
        DataError: the file is no picture; the sentence says why.
    """
    return [_ask(classifier, path) for classifier in classifiers]


def _ask(classifier: Shipped, path: str) -> Answer:
    facts = classifier.facts
    pixels = decode_crops(path, [None], size=facts.image_size, fit=facts.fit)[0]
    images = pixels.transpose(2, 0, 1)[None].copy()  # 1 x 3 x H x W
    times = []
    for _ in range(CALLS):
        start = perf_counter()
        (probabilities,) = classifier(images)
        times.append(1000 * (perf_counter() - start))
    rows = [(name, float(p)) for name, p in zip(facts.class_names, probabilities, strict=True)]
    return Answer(classifier, sorted(rows, key=lambda row: -row[1]), median(times))
