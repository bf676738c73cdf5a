"""Clips in batches: which clips in which order, read ahead while the model computes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tymbal.norm import Scale
from tymbal.seeds import derive
from tymbal.store import FeatureStore


class Batch(NamedTuple):
    """Normalised, padded clips on the training device."""

    x: Tensor  # [B, T, F]
    n_frames: Tensor  # [B], true frames
    y: Tensor  # [B, C], soft labels


@dataclass(frozen=True)
class ClipSet:
    """Some clips of a feature store with their labels, normalised and padded for a model.

    Args:
        store: where the features are.
        clip_ids: N clips.
        labels: soft labels, [N, C] float32.
        n_frames: length that the model sees; longer clips are cut, shorter ones padded.
        scale: normalisation and the value of padding.
        device: where batches go.
    """

    store: FeatureStore
    clip_ids: tuple[str, ...]
    labels: np.ndarray
    n_frames: int
    scale: Scale
    device: torch.device

    def batches(self, order: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """Batches of the clips at the positions in `order`; the next is read while one is used."""
        chunks = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self._read, chunks[0])
            for chunk in chunks[1:]:
                batch = ahead.result()
                ahead = reader.submit(self._read, chunk)
                yield batch
            yield ahead.result()

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """All clips once, as listed."""
        return self.batches(np.arange(len(self.clip_ids)), batch_size)

    def _read(self, chunk: np.ndarray) -> Batch:
        ids = [self.clip_ids[i] for i in chunk]
        x, n_frames = self.store.batch(ids, self.n_frames, self.scale.mean, self.scale.std, self.scale.pad)
        y = torch.from_numpy(self.labels[chunk])
        return Batch(x.to(self.device), n_frames.to(self.device), y.to(self.device))


def epoch_order(labels: np.ndarray, sampling: Literal["none", "balanced"], seed: int, epoch: int) -> np.ndarray:
    """Positions of the training clips for one epoch; it depends on the seed and the epoch alone.

    Args:
        labels: soft labels, [N, C].
        sampling: `none` is a permutation. `balanced` draws N clips with replacement; a class weighs
            1 / (its number of clips) and a clip the sum over its classes (SSAST's weights).
        seed: of the run.
        epoch: counted from 1.
    """
    rng = np.random.default_rng(derive(seed, "order", epoch))
    if sampling == "none":
        return rng.permutation(len(labels))
    positive = labels > 0
    weight = positive @ (1 / np.maximum(positive.sum(axis=0), 1))
    return rng.choice(len(labels), size=len(labels), p=weight / weight.sum())
