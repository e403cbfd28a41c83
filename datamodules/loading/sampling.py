"""Which images make which batch: a pure function of (seed, epoch), never of a hidden state."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

Key = tuple[int, int]  # epoch, index of the image in its split

# An image that comes a second time in epoch e is augmented as in epoch e + DUPLICATE_OFFSET, else
# the two would be equal. Odd, so that they differ too where the epoch counts modulo a few repeats.
DUPLICATE_OFFSET = 1_000_003


class EpochSampler(Sampler[list[Key]]):
    """Yields one list of (epoch, index) keys per batch.

    The epoch travels with the keys, so that worker processes that live through many epochs know
    it. Hand it to a `DataLoader(dataset, sampler=..., batch_size=None)`: Lightning then calls
    `set_epoch`.

    Args:
        size: images in the split.
        batch_size: images in a batch of this process.
        seed: of the order.
        drop_last: leave out a last batch that is not full, unless it is the only one.
        shuffle: a new order in each epoch; else 0, 1, 2, ...
        weights: how often each image is drawn, relative to the others; None draws each once. An
            epoch stays as long: with weights, some images come several times and others not.
        augmentation_repeats: repeat the augmentations of this many epochs (the order is new all the
            same): a key then says epoch mod augmentation_repeats. None augments anew in each epoch.
        rank: number of this process among `world_size`; each gets every `world_size`-th image, so
            that the processes' n-th batches together are one process's n-th batch of all their
            sizes. With `drop_last` all get as many, without it the first ones may get one more;
            none gets an image of another.
        world_size: number of training processes.
    """

    def __init__(
        self,
        *,
        size: int,
        batch_size: int,
        seed: int,
        drop_last: bool,
        shuffle: bool = True,
        weights: Sequence[float] | None = None,
        augmentation_repeats: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.weights = None if weights is None else np.asarray(weights, np.float64)
        self.augmentation_repeats = augmentation_repeats
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.images_per_process = len(range(rank, size, world_size))
        if drop_last:
            self.images_per_process = size // world_size
        if drop_last and self.images_per_process > batch_size:
            self.images_per_process -= self.images_per_process % batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.images_per_process // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        mine = self._keys(self.epoch)[self.rank :: self.world_size]
        if self.augmentation_repeats is not None:
            mine[:, 0] %= self.augmentation_repeats
        for start in range(0, self.images_per_process, self.batch_size):
            batch = mine[start : min(start + self.batch_size, self.images_per_process)]
            yield [(int(draw), int(index)) for draw, index in batch]

    def _keys(self, epoch: int) -> np.ndarray:
        """The keys of all processes: int64 N x 2."""
        order = np.arange(self.size)
        draws = np.full(self.size, epoch)
        if self.shuffle:
            rng = np.random.default_rng((self.seed, epoch))
            order = rng.permutation(self.size)
            if self.weights is not None:
                order = _systematic_sample(self.weights, order, rng)
                draws = epoch + DUPLICATE_OFFSET * _occurrences(order)
        return np.stack([draws, order], axis=1)


def _systematic_sample(
    weights: np.ndarray, order: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """As many indices as there are weights, each drawn in proportion to its weight.

    Systematic sampling (Madow 1949): an image that is due x times comes floor(x) or ceil(x) times,
    so that the classes' fractions are exact, where independent draws would leave them to chance.
    """
    due = np.cumsum(weights[order])
    ticks = (np.arange(len(order)) + rng.random()) * (due[-1] / len(order))
    drawn = order[np.searchsorted(due, ticks, side="right").clip(max=len(order) - 1)]
    return rng.permutation(drawn)


def _occurrences(order: np.ndarray) -> np.ndarray:
    """How often each entry stood in `order` before: 0 for the first time."""
    seen: Counter[int] = Counter()
    counts = np.empty_like(order)
    for position, index in enumerate(order.tolist()):
        counts[position] = seen[index]
        seen[index] += 1
    return counts
