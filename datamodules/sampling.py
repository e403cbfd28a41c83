"""Which images make which batch: a pure function of (seed, epoch), never of a hidden state."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

Key = tuple[int, int]  # epoch, index of the image in its split


class EpochSampler(Sampler[list[Key]]):
    """Yields one list of (epoch, index) keys per batch.

    The epoch travels with the keys, so that worker processes that live through many epochs know
    it. Hand it to a `DataLoader(dataset, sampler=..., batch_size=None)`: Lightning then calls
    `set_epoch`.

    Args:
        size: Images in the split.
        batch_size: Images in a batch of this process.
        seed: Of the order.
        drop_last: Leave out a last batch that is not full, unless it is the only one.
        shuffle: A new order in each epoch; else 0, 1, 2, ...
        rank: Number of this process among `world_size`; each gets every `world_size`-th image, and
            the first images again where they do not divide evenly.
        world_size: Number of training processes.
    """

    def __init__(
        self,
        *,
        size: int,
        batch_size: int,
        seed: int,
        drop_last: bool,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.share = -(-size // world_size)
        if drop_last and self.share > batch_size:
            self.share -= self.share % batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.share // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, mine = self.epoch, self._order(self.epoch)[self.rank :: self.world_size]
        for start in range(0, self.share, self.batch_size):
            batch = mine[start : min(start + self.batch_size, self.share)]
            yield [(epoch, int(index)) for index in batch]

    def _order(self, epoch: int) -> np.ndarray:
        """The images of all processes, as many for each."""
        order = np.arange(self.size)
        if self.shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
        return np.resize(order, -(-self.size // self.world_size) * self.world_size)


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """A 64-bit seed for one image in one epoch: splitmix64 (Steele, Lea, Flood 2014), chained."""
    state = 0
    for value in (seed, epoch, index):
        state = _splitmix64(state ^ value)
    return state


def _splitmix64(value: int) -> int:
    mask = (1 << 64) - 1
    value = (value + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)
