"""What int8 gains in each runtime: `python scripts/bench/int8.py [RUNTIME...] [--size 80]`.

For each network a float and an int8 file are written for onnxruntime, OpenVINO and ExecuTorch and
timed alternately on one thread; the ratios are int8 / float of latency, with 1 and with 64 images
a call, and of the bytes of the files. The weights and images are random: neither changes the time.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from compression import Context
from compression.latency import processor, stable_times, torch_threads
from compression.quantization import Quantize
from compression.quantization.calibration import BATCH, MIN_IMAGES
from datamodules.screen import ScreenTable
from lightning_modules.config import ScriptParser, option_values, run_script, table_console
from lightning_modules.deployment import Format, InferenceModel, format_named, metadata_of
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network, build_network

NETWORKS = {
    "shufflenet_g3": ("shufflenet_g3", {}),
    "mobilenet_v3_small": ("mobilenet_v3", {"variant": "mobilenet_v3_small"}),
    "resnet18": ("resnet", {"variant": "resnet18"}),
}
FORMATS = {"onnxruntime": "onnx", "openvino": "openvino", "executorch": "executorch"}
BATCHES = (1, 64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, measures, and prints one table."""
    typed = _parser().parse(arguments)
    runtimes, size = typed.names or [*FORMATS], typed.flags.size
    for runtime in runtimes:
        if runtime not in FORMATS:
            raise ConfigError(f"There is no runtime {runtime}; there are {', '.join(FORMATS)}.")
        format_named(FORMATS[runtime])
    table = ScreenTable()
    table.add_column("network")
    table.add_column("runtime")
    for batch in BATCHES:
        for heading in (f"ms, {batch} float", f"ms, {batch} int8", "ratio"):
            table.add_column(heading, number=True)
    for heading in ("bytes float", "bytes int8", "ratio"):
        table.add_column(heading, number=True)
    with torch_threads(1):
        for name in NETWORKS:
            for row in rows(name, runtimes, size):
                print(*row, flush=True)  # as they come: a table is printed at the end
                table.add_row(*row)
    table.print(table_console())
    print(f"{processor()}, one thread, {size} px, medians; float and int8 take turns")


def rows(name: str, runtimes: list[str], size: int) -> Iterator[list[str]]:
    """The cells of each runtime for one network."""
    option, changes = NETWORKS[name]
    node = OmegaConf.merge(option_values("model", option), changes)
    torch.manual_seed(0)
    network = build_network(node, num_classes=6, image_size=size).eval()
    images = np.random.default_rng(0).integers(0, 256, (64, 3, size, size), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for runtime in runtimes:
            form = format_named(FORMATS[runtime])
            paths = files(network, form, images, Path(folder))
            pair = [form.open_file(path, threads=1) for path in paths]
            sizes = [sum(part.stat().st_size for part in form.files(path)) for path in paths]
            yield [name, runtime, *_times(pair, images), *_ratio(sizes, ",")]


def files(network: Network, form: Format, images: np.ndarray, folder: Path) -> list[Path]:
    """The float and the int8 file of a network."""
    metadata = metadata_of(network, resize_mode="stretch")
    paths = [folder / f"{kind}{form.suffix}" for kind in ("float", "int8")]
    form.write(network, paths[0], metadata)
    if form.quantizes:
        form.write_int8(network, paths[1], metadata, images[:BATCH])
    else:
        form.write(quantized(network, images), paths[1], metadata)
    return paths


def quantized(network: Network, images: np.ndarray) -> Network:
    """The network after the step `quantize`."""
    sample = torch.from_numpy(images[:BATCH])
    context = Context(
        sample=sample, image_size=network.image_size, train_batches=lambda: [(sample, None)]
    )
    step = Quantize(images=MIN_IMAGES, method="minmax")
    return step.apply(network, step.plan(network, context, 0))


def _times(pair: list[InferenceModel], images: np.ndarray) -> list[str]:
    cells = []
    for batch in BATCHES:
        some = np.ascontiguousarray(images[:batch])
        calls = [lambda model=model, some=some: model(some) for model in pair]
        cells += _ratio(list(1e3 * np.median(stable_times(calls), axis=1)), ".3f")
    return cells


def _ratio(pair: list[float], form: str) -> list[str]:
    before, after = pair
    return [f"{before:{form}}", f"{after:{form}}", f"{after / before:.2f}"]


def _parser() -> ScriptParser:
    parser = ScriptParser(
        description=__doc__,
        usage="[RUNTIME ...] [--size N]",
        overrides=False,
        epilog=f"RUNTIME: of {', '.join(FORMATS)}; all.",
    )
    parser.add_argument("--size", type=int, default=80, help="pixels (default 80)")
    return parser


if __name__ == "__main__":
    run_script(main)
