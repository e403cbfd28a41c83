"""`export`: writes a network to a file, tries the file, and keeps it only if both agree."""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from datamodules.decoding import ResizeMode
from lightning_modules.deployment.comparison import (
    MAX_DIFFERENCE,
    MAX_HALF_DIFFERENCE,
    Comparison,
    Quality,
    compare,
)
from lightning_modules.deployment.formats import Format
from lightning_modules.deployment.inference_model import eager_model, metadata_of
from lightning_modules.deployment.int8_export import Int8Export
from lightning_modules.files import remove_dead_parts, write_bytes, write_json
from lightning_modules.networks import Network


def export(
    network: Network,
    form: Format,
    path: Path,
    *,
    resize_mode: ResizeMode,
    images: np.ndarray,
    image_source: str,
    int8: Int8Export | None = None,
    half: bool = False,
) -> dict[str, Any]:
    """The file at `path` (and those that belong to it), and what was found of it in `<path>.json`.

    All or none of them are there afterwards; what is in two files checks, when it is opened, that
    both are of one export.

    Args:
        network: in eval mode on the CPU.
        form: the file's format.
        path: of the file; an earlier one is replaced.
        resize_mode: what happens to images of another aspect ratio: stretch, pad or crop.
        images: uint8 N x 3 x H x W to compare file and network on.
        image_source: what these images are.
        int8: of an int8 file, which may predict otherwise, but not worse; else both must agree.
        half: store the weights in 16 bits; both must agree, if less closely.

    Returns:
        What the JSON says.

    Raises:
        ConfigError, CompressionError: the network cannot be exported, or the file disagrees.
    """
    metadata = metadata_of(network, resize_mode=resize_mode)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / f"network{form.suffix}"
        start = perf_counter()
        if int8 is not None and int8.calibration is not None:
            form.write_int8(network, part, metadata, int8.calibration)
        else:
            form.write(network, part, metadata, **({"half": True} if half else {}))
        seconds = perf_counter() - start
        file = form.open_file(part, threads=torch.get_num_threads())
        model = eager_model(network, name="network", resize_mode=resize_mode)
        limit = MAX_HALF_DIFFERENCE if half else MAX_DIFFERENCE
        found = compare(model, file, images, limit=limit)
        quality = None if int8 is None else int8.quality(model, file)
        (quality or found).require()
        targets = form.files(path)
        report = {
            "format": form.name,
            "file": path.name,
            **_fingerprints(form.files(part), targets),
            "seconds": round(seconds, 2),
            "compared_on": image_source,
            **_found(found, quality),
            "preprocessing": file.metadata.preprocessing,
            **asdict(file.metadata),
            "torch": torch.__version__,
        }
        described = path.with_name(f"{path.name}.json")
        for target in (*targets, described):
            remove_dead_parts(target.parent, target.name)
        for written, target in zip(form.files(part), targets, strict=True):
            write_bytes(target, written.read_bytes())
        write_json(described, report)
    return report


def _fingerprints(written: Sequence[Path], targets: Sequence[Path]) -> dict[str, Any]:
    """Bytes of all files, the hash of the last one, and of those beside it by their names."""
    contents = [path.read_bytes() for path in written]
    *others, own = [hashlib.sha256(content).hexdigest() for content in contents]
    names = [target.name for target in targets[:-1]]
    return {
        "bytes": sum(map(len, contents)),
        "sha256": own,
        "beside": dict(zip(names, others, strict=True)),
    }


def _found(comparison: Comparison, quality: Quality | None) -> dict[str, Any]:
    """What file and network were found to have in common."""
    return {
        "images": comparison.images,
        "largest_probability_difference": comparison.difference,
        "top1_agreement": comparison.agreement,
        **({} if quality is None else {"macro_f1": asdict(quality)}),
    }
