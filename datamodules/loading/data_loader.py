"""Data loaders whose batches depend on nothing but their keys."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from datamodules.errors import DataError
from datamodules.loading.dataset import ImageDataset
from datamodules.loading.sampling import EpochSampler, Key
from datamodules.loading.worker_loader import WorkerDataset, WorkerLoader, worker_settings
from datamodules.schema import is_whole
from datamodules.workers import cores, prefetch


class PrefetchingLoader(DataLoader):
    """A loader without worker processes whose batches are made in a thread of this one.

    Worker processes would take the few cores from the training's threads, and making batches in
    between would leave the cores idle: decoding and augmenting leave Python's lock most of the
    time, and so does training.
    """

    # The base promises an iterator class of its own, of which nobody uses more than `next`.
    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """The batches, in order, the next ones made meanwhile."""
        yield from prefetch(super().__iter__())


def make_loader(
    dataset: ImageDataset,
    sampler: EpochSampler | Sequence[list[Key]],
    *,
    num_workers: int,
    seed: int,
) -> DataLoader:
    """A loader of the sampler's batches (lists of keys), the same for any number of workers.

    An iterator of it asks the sampler for nothing, and starts no process, until its first batch is
    wanted. Lightning opens the loader of a resumed fit before it tells the sampler the epoch, so
    that what is fetched at once would be of epoch 0: resuming is exact because of this.
    """
    settings: dict[str, Any] = {
        "sampler": sampler,
        "batch_size": None,  # a key of the sampler is a whole batch
        "pin_memory": torch.cuda.is_available(),
        # Without its own, each epoch would draw from torch's global generator.
        "generator": torch.Generator().manual_seed(seed),
    }
    if num_workers == 0:
        return PrefetchingLoader(dataset, collate_fn=tuple, **settings)
    return WorkerLoader(WorkerDataset(dataset), **settings, **worker_settings(num_workers))


def worker_count(num_workers: int | str) -> int:
    """How many processes "auto" or a number asks for."""
    if num_workers == "auto":
        # With one or two cores, workers only take them from the training's threads.
        return 0 if cores() <= 2 else min(8, cores() - 1)
    if not is_whole(num_workers) or num_workers < 0:
        raise DataError(f"num_workers={num_workers} is neither auto nor a number of processes.")
    return num_workers
