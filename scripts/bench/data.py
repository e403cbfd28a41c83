"""What images cost: `python scripts/bench/data.py data=image_folder data.root=photos`

Microseconds per image on one core for decoding, for reading from the cache and for augmenting,
their ratios, how long training waits for its batches, and how fast and in how much memory a cache
is built. Medians of several alternating measurements; a machine's other work moves the numbers, so
look at the ratios.
"""

import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from datamodules.cache import open_cache
from datamodules.decoding import decode_crops
from datamodules.sources import Item
from datamodules.workers import cores
from lightning_modules.config import ScriptParser, fresh_config, run_script
from lightning_modules.runs import run_directory
from scripts.bench.measuring import seconds

if TYPE_CHECKING:  # they load torch, and what measures memory needs a process without it
    from datamodules.loading import ImageData

SAMPLE = 512  # images of each measurement


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and prints every measurement."""
    parser = ScriptParser(description=__doc__, usage="data=NAME [key=value ...] [--flags]")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each kind")
    parser.add_argument("--build", type=int, default=20_000, help="images of the built cache")
    parser.add_argument("--memory", type=int, default=50_000, help="images of the measured memory")
    typed = parser.parse(arguments)
    flags = typed.flags
    from lightning_modules.runs import make_data

    run_directory.register_resolvers()
    overrides = [*typed.overrides, "logger=none", "callbacks=progress"]
    cfg = fresh_config(overrides)
    data = make_data(cfg)
    data.prepare_data()
    report_single_images(overrides, data, flags.repeats)
    report_building(data, flags.build)
    report_memory(data, flags.memory)
    report_waiting(cfg, data)


def report_single_images(overrides: list[str], data: "ImageData", repeats: int) -> None:
    """One core: decoding, the cache, and each back end of the recipe, in turns."""
    import torch

    items = data.items("train")[:SAMPLE]
    size = data.image_size

    def decode() -> None:
        for item in items:
            decode_crops(item.path, [item.box], size=size, resize_mode=data.resize_mode)

    jobs = {
        "decode and resize": decode,
        "cache, no augmentation": loading(overrides, "augment=none"),
        "cache, albumentations": loading(overrides, "augment.backend=albumentations"),
        "cache, torchvision": loading(overrides, "augment.backend=torchvision"),
    }
    spent = {name: [] for name in jobs}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # torchvision's transforms would take more
    for _, (name, job) in itertools.product(range(repeats), jobs.items()):
        spent[name].append(seconds(job) / len(items) * 1e6)
    torch.set_num_threads(threads)
    reference = statistics.median(spent["decode and resize"])
    for name, values in spent.items():
        median = statistics.median(values)
        print(f"{name:<24} {median:7.1f} us an image   x {reference / median:.2f}")


def loading(overrides: list[str], *more: str) -> Callable[[], None]:
    """A job that makes the first training batches, as the loop gets them."""
    from lightning_modules.runs import make_data

    data = make_data(fresh_config([*overrides, *more]))
    data.prepare_data()
    dataset = data.train_dataloader().dataset
    keys = [(0, index) for index in range(min(SAMPLE, len(dataset)))]

    def job() -> None:
        for start in range(0, len(keys), data.batch_size):
            dataset[keys[start : start + data.batch_size]]

    job()
    return job


def report_building(data: "ImageData", count: int) -> None:
    """A cache of `count` images in all cores, against one core that only decodes."""
    items = repeated(data.items("train"), count)
    sample = items[:2000]

    def decode() -> None:
        for item in sample:
            decode_crops(item.path, [item.box], size=data.image_size, resize_mode=data.resize_mode)

    alone = [seconds(decode) / len(sample)]
    settings = {"size": data.image_size, "resize_mode": data.resize_mode}
    with tempfile.TemporaryDirectory() as folder:
        build = partial(open_cache, items, name="bench", cache_dir=Path(folder), **settings)
        building = seconds(build) / count
    alone.append(seconds(decode) / len(sample))
    one = statistics.mean(alone)
    print(
        f"building a cache         {1 / building:7.0f} images/s of {count} on {cores()} cores; "
        f"one core decodes {1 / one:.0f}: x {one / building:.2f}"
    )


def repeated(items: list[Item], count: int) -> list[Item]:
    """The items again and again, as if they were so many files."""
    return list(itertools.islice(itertools.cycle(items), count))


def report_memory(data: "ImageData", count: int) -> None:
    """Anonymous memory of a process that builds and holds a cache of `count` images."""
    context = get_context("spawn")  # a fork would have this process's memory as well
    start, peak = context.Value("d", 0.0), context.Value("d", 0.0)
    items = repeated(data.items("train"), count)
    settings = {"size": data.image_size, "resize_mode": data.resize_mode}
    process = context.Process(target=build_and_watch, args=(items, settings, start, peak))
    process.start()
    process.join()
    imports = f"{start.value:.0f} MB of them for imports"
    print(f"memory                   {peak.value:7.0f} MB RssAnon for {count} images, {imports}")


def build_and_watch(items: list[Item], settings: dict[str, Any], start: Any, peak: Any) -> None:
    """Notes the anonymous memory before a cache is built, and its largest value until it is open.

    Args:
        items: What is cached.
        settings: Of `open_cache`.
        start, peak: Shared numbers, in MB.
    """
    start.value = anonymous_megabytes()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak.value = max(peak.value, anonymous_megabytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with tempfile.TemporaryDirectory() as folder:
        open_cache(items, name="bench", cache_dir=Path(folder), **settings)
        peak.value = max(peak.value, anonymous_megabytes())
    done.set()
    watcher.join()


def anonymous_megabytes() -> float:
    """RssAnon of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000


def report_waiting(cfg: DictConfig, data: "ImageData") -> None:
    """Three epochs of training: which part of the time the loop waits for a batch."""
    import torch

    from lightning_modules.experiment import RunContext, initial_network, stages_of
    from lightning_modules.experiment.fit import fit

    cfg.trainer.max_epochs = 3
    (stage,) = stages_of(cfg)
    waits: list[float] = []
    loader = data.train_dataloader

    def watched() -> Any:
        return Watched(loader(), waits)

    data.train_dataloader = watched
    with tempfile.TemporaryDirectory() as folder:
        spent = seconds(
            lambda: fit(initial_network(cfg, data), RunContext(cfg, data, Path(folder)), stage)
        )
    print(
        f"waiting while training   {sum(waits) / spent:7.1%} of {spent:.1f} s ({cfg.model.name}, "
        f"{torch.get_num_threads()} threads, batch {data.batch_size}, {data.num_workers} workers)"
    )


class Watched:
    """A loader that notes how long each batch was waited for."""

    def __init__(self, loader: Any, waits: list[float]) -> None:
        self.loader = loader
        self.waits = waits

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waits.append(time.perf_counter() - start)
            if batch is None:
                return
            yield batch


if __name__ == "__main__":
    run_script(main)
