"""Normalisation: mean and standard deviation of the training features, and what they make of a model's input."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tymbal.config.models import Padding
from tymbal.errors import InputError
from tymbal.files import fingerprint, read_json, write_json
from tymbal.store import FeatureStore

log = logging.getLogger(__name__)

CHUNK = 512  # frames widened to float64 at a time: they stay in the cache


@dataclass(frozen=True)
class NormStats:
    """Statistics over all values of all true frames of some clips."""

    mean: float
    std: float  # of the population
    n_frames: int
    n_clips: int
    state: str  # fingerprint of the features
    split: str  # fingerprint of the clips' ids

    @classmethod
    def read(cls, path: Path) -> "NormStats":
        """Statistics that `write` wrote."""
        return cls(**read_json(path))

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, dataclasses.asdict(self))


@dataclass(frozen=True)
class Scale:
    """How a model's input is made from log-mel: x = (log-mel - mean) / (2 std); padding in x is `pad`."""

    mean: float
    std: float
    pad: float
    ignored: bool = False  # padding takes no part, whatever it holds

    @classmethod
    def of(cls, mean: float, std: float, padding: Padding) -> "Scale":
        """Padding is the mean, 0 in x; or zeros in log-mel, as the released checkpoints saw it; or ignored."""
        return cls(mean, std, -mean / (2 * std) if padding == "original" else 0.0, padding == "ignored")


def fit_norm(store: FeatureStore, clip_ids: Sequence[str]) -> NormStats:
    """Fit the statistics on the true frames of some clips.

    Args:
        store: the features.
        clip_ids: training clips, and no others: validation and test clips must not shift the input.

    Raises:
        InputError: there are no clips, or all their values are equal.
    """
    if not clip_ids:
        raise InputError("no training clips to fit mean and standard deviation on; check the data set's split settings")
    n_frames = 0
    total = squares = 0.0
    for frames in store.stretches(clip_ids):  # [T, F] float16
        n_frames += len(frames)
        for chunk in torch.from_numpy(frames).split(CHUNK):
            values = chunk.double().flatten()
            total += float(values.sum())
            squares += float(values @ values)
    # Squares of float16 have 22 bits, so float64 sums of them lose next to nothing, and nothing if all are equal.
    n_values = n_frames * store.state.n_mels
    mean = total / n_values
    variance = squares / n_values - mean**2
    if variance <= 0:
        raise InputError(
            f"all features of the {len(clip_ids)} training clips are {mean:.4f}, so that they cannot be normalised. "
            "Do the recordings hold nothing but digital silence? Correct the data set's audio or split."
        )
    stats = NormStats(
        mean, variance**0.5, n_frames, len(clip_ids), store.state.fingerprint, fingerprint(sorted(clip_ids))
    )
    log.info("%s", stats)
    return stats
