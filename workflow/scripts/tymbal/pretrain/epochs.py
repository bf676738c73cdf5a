"""Which clips of a corpus are seen when: data sets mixed by weight, in batches that can be taken up anywhere."""

from collections.abc import Iterator, Mapping

import numpy as np

from tymbal.config.pretrain import PretextTraining
from tymbal.errors import InputError
from tymbal.seeds import derive
from tymbal.train.data import Batch, ClipSet, in_windows


class EpochPlan:
    """Which clips each epoch takes, and in which batches: a function of the seed and the epoch alone.

    Args:
        train: training clips of all data sets.
        weights: how often an epoch takes each clip of a data set, on average.
        settings: batch size and epochs.
        seed: of the run.

    Attributes:
        counts: clips that an epoch takes of each data set.
        steps_per_epoch, n_steps: optimiser steps.
        batches_per_epoch, n_batches: batches, `accumulate` to a step.

    Raises:
        InputError: an epoch takes no clip of a data set, or too few for a step.
    """

    def __init__(self, train: ClipSet, weights: Mapping[str, float], settings: PretextTraining, seed: int) -> None:
        self.train, self.settings, self.seed = train, settings, seed
        self.members = train.members
        self.counts = {name: round(weights[name] * len(clips)) for name, clips in self.members.items()}
        size = settings.batch_size * settings.accumulate
        problems = [
            f"{name}: {len(self.members[name])} clips of weight {weights[name]:g}"
            for name, n in self.counts.items()
            if not n
        ]
        if problems:
            raise InputError.listing(
                "data sets that give no clip to an epoch", problems, "raise their weight in the corpus"
            )
        if sum(self.counts.values()) < size:
            raise InputError(
                f"an epoch takes {sum(self.counts.values())} clips, fewer than the {size} of one optimiser step. Lower "
                "train.batch_size or train.accumulate, or raise the weights of the corpus's data sets."
            )
        self.steps_per_epoch = sum(self.counts.values()) // size  # what is left over waits for the next
        self.n_steps = self.steps_per_epoch * settings.epochs
        self.batches_per_epoch = self.steps_per_epoch * settings.accumulate
        self.n_batches = self.n_steps * settings.accumulate

    def windows(self, epoch: int) -> list[np.ndarray]:
        """Positions of the clips of an epoch, counted from 0, in the order of reading."""
        rng = np.random.default_rng(derive(self.seed, "order", epoch))
        drawn = []
        for name, members in self.members.items():
            whole, rest = divmod(self.counts[name], len(members))
            drawn += [members] * whole + [rng.choice(members, rest, replace=False)]
        return in_windows(self.train.places, rng.permutation(np.concatenate(drawn)), rng)

    def batches(self, first: int, n: int, whole: bool = False) -> Iterator[Batch]:
        """`n` batches from the `first` of the whole training on; `whole` as of `ClipSet.batches`."""
        size = self.settings.batch_size
        while n > 0:
            epoch, begin = divmod(first, self.batches_per_epoch)
            count = min(n, self.batches_per_epoch - begin)
            rng = np.random.default_rng(derive(self.seed, "crop", first))
            windows = self.windows(epoch)
            here = _cut(windows, begin * size, (begin + count) * size)
            yield from self.train.batches(here, size, rng, read_ahead=len(windows) > 1, whole=whole)
            first, n = first + count, n - count


def _cut(windows: list[np.ndarray], begin: int, end: int) -> list[np.ndarray]:
    """What is left of windows from one place in their whole length to another."""
    starts = np.cumsum([0, *map(len, windows)])
    cut = [w[max(0, begin - s) : max(0, end - s)] for w, s in zip(windows, starts, strict=False)]
    return [window for window in cut if len(window)]
