"""Which clips of a corpus are seen when: data sets mixed by weight, in batches that can be taken up anywhere."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from tymbal.config.pretrain import PretextTraining
from tymbal.seeds import derive
from tymbal.train.data import Batch, ClipSet, in_windows


class EpochPlan:
    """Which clips each epoch takes, and in which batches: a function of the seed and the epoch alone.

    Args:
        train: training clips of all data sets.
        weights: how often an epoch takes each clip of a data set, on average.
        settings: batch size and epochs.
        seed: of the run.
    """

    def __init__(self, train: ClipSet, weights: Mapping[str, float], settings: PretextTraining, seed: int) -> None:
        self.train, self.settings, self.seed = train, settings, seed
        dataset = pd.Series(train.clip_ids).str.partition(":")[0]
        self._members = [(np.flatnonzero(dataset == name), weight) for name, weight in weights.items()]
        n_clips = sum(self._count(members, weight) for members, weight in self._members)
        self.batches_per_epoch = max(1, n_clips // settings.batch_size)  # what is left over waits for the next
        self.n_batches = self.batches_per_epoch * settings.epochs
        self.steps_per_epoch = self.batches_per_epoch / settings.accumulate

    @staticmethod
    def _count(members: np.ndarray, weight: float) -> int:
        return round(weight * len(members))

    def windows(self, epoch: int) -> list[np.ndarray]:
        """Positions of the clips of an epoch, counted from 0, in the order of reading."""
        rng = np.random.default_rng(derive(self.seed, "order", epoch))
        drawn = []
        for members, weight in self._members:
            whole, rest = divmod(self._count(members, weight), max(1, len(members)))
            drawn += [members] * whole + [rng.choice(members, rest, replace=False)]
        return in_windows(self.train.places, rng.permutation(np.concatenate(drawn)), rng)

    def batches(self, first: int, n: int) -> Iterator[Batch]:
        """`n` batches from the `first` of the whole training on."""
        size = self.settings.batch_size
        while n > 0:
            epoch, begin = divmod(first, self.batches_per_epoch)
            count = min(n, self.batches_per_epoch - begin)
            rng = np.random.default_rng(derive(self.seed, "crop", first))
            windows = _cut(self.windows(epoch), begin * size, (begin + count) * size)
            yield from self.train.batches(windows, size, rng)
            first, n = first + count, n - count


def _cut(windows: list[np.ndarray], begin: int, end: int) -> list[np.ndarray]:
    """What is left of windows from one place in their whole length to another."""
    starts = np.cumsum([0, *map(len, windows)])
    cut = [w[max(0, begin - s) : max(0, end - s)] for w, s in zip(windows, starts, strict=False)]
    return [window for window in cut if len(window)]
