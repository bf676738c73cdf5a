"""Clips in batches: which clips in which order, read ahead while the model computes."""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tymbal.devices import send
from tymbal.errors import InputError
from tymbal.layout import SHARD_FRAMES
from tymbal.norm import Scale
from tymbal.seeds import derive
from tymbal.store import FeatureStore, Places
from tymbal.train.distributed import Share, share
from tymbal.train.frames import Frames

# Frames whose order is mixed: what is read ahead and waits in memory, 4 GB of 128 mels.
WINDOW_FRAMES = 16 * SHARD_FRAMES
POOL = 16  # batches at a time whose clips are sorted by length
LOSS_ALLOWED = 0.1  # share of its frames that a clip may lose by being cut to the model's length


class Batch(NamedTuple):
    """Normalised, padded clips on the training device; of several processes, each has some of them."""

    x: Tensor  # [B, T, F], those of this process's share
    n_frames: Tensor  # [N], true frames of all clips of the batch
    y: Tensor  # [N, C], soft labels of all
    full: bool  # no clip is padded; known without asking the device
    share: Share


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
        trim: a batch whose clips are all shorter than `n_frames` is only as long as the longest of them, in whole
            multiples of so many frames; None keeps the length. Where padding is ignored, it is 1.
    """

    store: FeatureStore
    clip_ids: tuple[str, ...]
    labels: np.ndarray
    n_frames: int
    scale: Scale
    device: torch.device
    trim: int | None = None

    @cached_property
    def places(self) -> Places:
        """Where the clips are in the store."""
        return self.store.where(self.clip_ids)

    @cached_property
    def frames(self) -> Frames:
        """Where batches are read from."""
        return Frames(self.store, self.places, self.device)

    def batches(
        self,
        windows: Sequence[np.ndarray],
        batch_size: int,
        rng: np.random.Generator | None = None,
        read_ahead: bool | None = None,
        whole: bool = False,
    ) -> Iterator[Batch]:
        """Batches of the clips at the positions in `windows`, one after the other.

        The next batch is made while one is used. Clips are read from files, or taken from those that the device holds
        (`Frames`). When a window of files is begun, the system can be asked to read the clips of the next one from the
        disk, in the order of the files.

        Args:
            windows: positions of clips, in the order of reading.
            batch_size: clips in a batch; the last may have fewer.
            rng: where longer clips are cut at random; None cuts them at the end.
            read_ahead: whether the system is asked; None: if there are several windows.
            whole: x holds all clips in every process, as what mixes clips needs.
        """
        order = np.concatenate(windows)
        surplus = np.maximum(self.places.n_frames[order] - self.n_frames, 0)
        first = np.zeros(len(order), dtype=np.int64) if rng is None else rng.integers(surplus, endpoint=True)
        starts = range(0, len(order), batch_size)
        chunks = [(order[i : i + batch_size], first[i : i + batch_size]) for i in starts]
        begins = np.cumsum([0, *map(len, windows[:-1])]) // batch_size  # chunk in which each window begins
        due = np.append(0, begins[:-1])  # and the chunk at which it is asked for
        self.frames.begin()
        asked = self.frames.held is None and (len(windows) > 1 if read_ahead is None else read_ahead)
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as scout:
            ahead = reader.submit(self._read, *chunks[0], whole)
            for i in range(len(chunks)):
                for k in np.flatnonzero(due == i).tolist() if asked else ():
                    scout.submit(self._read_ahead, windows[k])
                batch = ahead.result()
                if i + 1 < len(chunks):
                    ahead = reader.submit(self._read, *chunks[i + 1], whole)
                yield batch

    def heard(self, batch: Batch) -> Tensor | None:
        """True frames of the clips in a batch's x, where padding is to be ignored and there is some; else None."""
        return batch.n_frames[batch.share.rows] if self.scale.ignored and not batch.full else None

    def subset(self, positions: np.ndarray) -> "ClipSet":
        """Only the clips at these positions."""
        ids = tuple(self.clip_ids[i] for i in positions)
        return dataclasses.replace(self, clip_ids=ids, labels=self.labels[positions])

    @property
    def members(self) -> dict[str, np.ndarray]:
        """Positions of the clips of each data set, in a store of several (`FeatureStore.joined`)."""
        dataset, names = pd.factorize(pd.Index([clip_id.partition(":")[0] for clip_id in self.clip_ids]))
        return {name: np.flatnonzero(dataset == i) for i, name in enumerate(names)}

    def in_order(self, batch_size: int, whole: bool = False) -> Iterator[Batch]:
        """All clips once, as listed; `whole` as of `batches`."""
        return self.batches([np.arange(len(self.clip_ids))], batch_size, whole=whole)

    def _read(self, chunk: np.ndarray, first: np.ndarray, whole: bool) -> Batch:
        length, trim = self.n_frames, 1 if self.scale.ignored else self.trim
        if trim is not None:
            longest = int(self.places.n_frames[chunk].max())
            length = max(trim, min(length, longest) // trim * trim)
        mine = share(len(chunk))
        rows = slice(None) if whole else mine.rows
        x = self.frames.batch(chunk[rows], first[rows], length, self.scale)
        n_frames = torch.from_numpy(np.minimum(self.places.n_frames[chunk] - first, length))
        y = torch.from_numpy(self.labels[chunk])
        full = bool((n_frames == length).all())
        return Batch(x, send(n_frames, self.device), send(y, self.device), full, mine)

    def _read_ahead(self, window: np.ndarray) -> None:
        self.store.read_ahead(self.places.at(window))


def epoch_order(
    clips: ClipSet, sampling: Literal["none", "balanced"], seed: int, epoch: int, epoch_clips: int | None = None
) -> list[np.ndarray]:
    """Positions of the training clips for one epoch; they depend on the seed, the epoch and the store alone.

    Up to `WINDOW_FRAMES` frames in all, the clips come in any order. More of them are read in windows of about that
    size: the files are shuffled and taken some at a time, and their clips come in any order. So the disk is read file
    by file, ahead of time, and nothing is fetched clip by clip.

    Args:
        clips: N training clips.
        sampling: `none` is a permutation. `balanced` draws N clips with replacement; a class weighs
            1 / (its number of clips) and a clip the sum over its classes (SSAST's weights).
        seed: of the run.
        epoch: counted from 1.
        epoch_clips: so many clips instead, drawn without replacement (SSLAM's AudioSet-2M); None for N.

    Returns:
        The positions in each window, in the order of reading.

    Raises:
        InputError: `epoch_clips` leaves nothing to draw from.
    """
    rng = np.random.default_rng(derive(seed, "order", epoch))
    n = len(clips.clip_ids)
    weight = np.ones(n) if sampling == "none" else _weights(clips.labels)
    if epoch_clips is not None:
        order = _some(weight, epoch_clips, rng)
    elif sampling == "none":
        order = rng.permutation(n)
    else:
        order = rng.choice(n, size=n, p=weight / weight.sum())
    return in_windows(clips.places, order, rng)


def _weights(labels: np.ndarray) -> np.ndarray:
    """How often each clip is drawn, [N]: one of rare classes more often, one of no class never."""
    positive = labels > 0
    return positive @ (1 / np.maximum(positive.sum(axis=0), 1))


def _some(weight: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `size` positions without replacement, by weight."""
    drawable = np.count_nonzero(weight)
    if size >= drawable:
        raise InputError(
            f"train.epoch_clips is {size}, but there are {drawable} training clips to draw from, each once an epoch. "
            "Leave it out, so that an epoch takes as many clips as there are, or give fewer."
        )
    # Of independent exponential times with these rates, the earliest are such draws.
    times = np.divide(rng.exponential(size=len(weight)), weight, out=np.full(len(weight), np.inf), where=weight > 0)
    return rng.permutation(np.argpartition(times, size)[:size])


def in_windows(places: Places, order: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut an epoch's positions, in random order, into windows of whole files, in random order."""
    frames = np.bincount(places.shard, weights=places.n_frames)  # of each shard
    shards = rng.permutation(len(frames))
    window_of = np.empty(len(frames), dtype=np.int64)
    window_of[shards] = (np.cumsum(frames[shards]) - frames[shards]) // WINDOW_FRAMES
    window = window_of[places.shard[order]]
    by_window = np.argsort(window, kind="stable")
    return np.split(order[by_window], np.flatnonzero(np.diff(window[by_window])) + 1)


def of_like_length(
    clips: ClipSet, windows: list[np.ndarray], batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Put clips of about one length into the same batch, so that less padding is computed.

    `POOL` batches at a time are sorted by length and come in any order; clips beyond the last whole batch stay where
    they are. Clips that are all of one length keep their order.

    Args:
        clips: whose positions these are.
        windows: an epoch's positions, as `epoch_order` gives them.
        batch_size: clips in a batch.
        rng: source of the order of batches.

    Returns:
        The positions in windows as large as before.
    """
    lengths = np.minimum(clips.places.n_frames, clips.n_frames)
    if (lengths == lengths[0]).all():
        return windows
    order = np.concatenate(windows)
    for i in range(0, len(order), POOL * batch_size):
        pool = order[i : i + POOL * batch_size]
        pool = pool[: len(pool) // batch_size * batch_size]
        batches = pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, batch_size)
        pool[:] = rng.permutation(batches).ravel()
    return np.split(order, np.cumsum([len(window) for window in windows])[:-1])


def check_lengths(
    store: FeatureStore, clip_ids: Sequence[str], n_frames: int, long_clips: Literal["error", "cut"]
) -> None:
    """Refuse clips of which the model would see too little.

    Args:
        store: the features.
        clip_ids: of all parts used.
        n_frames: length that the model sees.
        long_clips: `cut` allows it.

    Raises:
        InputError: clips that would lose more than a tenth of their frames.
    """
    found = store.where(clip_ids).n_frames
    long = np.flatnonzero(n_frames < (1 - LOSS_ALLOWED) * found)
    if long_clips == "error" and len(long):
        raise InputError(
            f"{len(long)} of {len(clip_ids)} clips are so much longer than the model's n_frames {n_frames} that they "
            f"would lose more than {LOSS_ALLOWED:.0%} of their frames at the end, such as {clip_ids[long[0]]} with "
            f"{found[long[0]]} frames; the longest has {found.max()}. Cut the files with the data set's `windows`, "
            "raise the model's net.n_frames, or set its `long_clips: cut` if the beginning is what counts."
        )
