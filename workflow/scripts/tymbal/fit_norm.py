"""Mean and standard deviation of the training features."""

import logging
from collections.abc import Sequence

import torch

from tymbal.errors import InputError
from tymbal.files import fingerprint
from tymbal.norm import NormStats
from tymbal.store import FeatureStore

log = logging.getLogger(__name__)

CHUNK = 512  # frames widened to float64 at a time: they stay in the cache


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
