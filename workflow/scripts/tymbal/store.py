"""Reading a feature store: log-mel features of a data set, packed end to end in large files (`layout.py`).

The files are mapped into memory, so clips in random order cost a copy each and no opening of files.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tymbal.errors import InputError
from tymbal.files import read_json
from tymbal.layout import INDEX, STATE, read_index
from tymbal.spectrogram import FeatureState, state_differences


class Places(NamedTuple):
    """Where the rows of some clips are."""

    shard: np.ndarray  # [N] number of the shard
    start: np.ndarray  # [N] first row in it
    n_frames: np.ndarray  # [N]

    def at(self, positions: np.ndarray) -> "Places":
        """Where some of them are."""
        return Places(*(column[positions] for column in self))


class FeatureStore:
    """A feature store, mapped into memory.

    Args:
        folder: with the index, the state and the shards.
        expected: what the features must be, as `FeatureState.to_json` gives it (say, from a model's card).

    Raises:
        InputError: the features are others; each differing field is told.
    """

    def __init__(self, folder: Path, expected: Mapping[str, Any] | None = None) -> None:
        found = read_json(folder / STATE)
        if expected is not None:
            _check(found, expected, folder)
        self.folder = folder
        self.state = FeatureState.from_json(found)
        index = read_index(folder / INDEX)
        shard, names = pd.factorize(index["shard"])
        self.clip_ids = pd.Index(index["clip_id"])
        self._places = Places(shard, index["start"].to_numpy(), index["n_frames"].to_numpy())
        self._files = [folder / name for name in names]
        self._folders: Mapping[str, Path] = {}  # of several stores joined: data set -> folder
        self._shards: dict[int, Tensor] = {}  # mapped when first read

    @classmethod
    def joined(cls, folders: Mapping[str, Path]) -> "FeatureStore":
        """The stores of several data sets as one, in which a clip is `<data set>:<clip_id>`.

        Args:
            folders: store of each data set.

        Raises:
            InputError: the features are of different sample rates or numbers of mel bins.
        """
        stores = {dataset: cls(folder) for dataset, folder in folders.items()}
        first = next(iter(stores.values()))
        kinds = {dataset: (store.state.sample_rate, store.state.n_mels) for dataset, store in stores.items()}
        if len(set(kinds.values())) > 1:
            cases = [f"{dataset}: {rate} Hz, {n_mels} mel bins" for dataset, (rate, n_mels) in kinds.items()]
            raise InputError.listing("features of one corpus differ", cases, "give its data sets one front end")
        ids = [f"{dataset}:" + store.clip_ids for dataset, store in stores.items()]
        first_shard = np.cumsum([0, *(len(store._files) for store in stores.values())])
        shards = [store._places.shard + begin for store, begin in zip(stores.values(), first_shard, strict=False)]
        first.clip_ids = ids[0].append(ids[1:])
        first._places = Places(
            np.concatenate(shards),
            *(np.concatenate([store._places[i] for store in stores.values()]) for i in (1, 2)),
        )
        first._folders = folders
        first._files = [file for store in stores.values() for file in store._files]
        return first

    def where(self, clip_ids: Sequence[str]) -> Places:
        """Where some clips are.

        Raises:
            InputError: clips that the store does not hold.
        """
        rows = self.clip_ids.get_indexer(pd.Index(clip_ids))
        if (absent := rows < 0).any():
            missing = np.asarray(clip_ids, dtype=object)[absent]
            folders = dict.fromkeys(self._folders.get(name.partition(":")[0], self.folder) for name in missing)
            indices, names = " and ".join(str(folder / INDEX) for folder in folders), ", ".join(missing[:5])
            raise InputError(
                f"{indices}: no features of {absent.sum()} of {len(rows)} clips, such as {names}. "
                "Made from another manifest: delete it, and index_fbank makes it again."
            )
        return self._places.at(rows)

    def frames(self, clip_id: str) -> np.ndarray:
        """The features of one clip, [T, F] float16; a view of the file."""
        row = self.clip_ids.get_loc(clip_id)
        shard, start, length = (int(column[row]) for column in self._places)
        return self._shard(shard)[start : start + length].numpy()

    def batch(self, places: Places, n_frames: int, mean: float, std: float, pad_value: float) -> tuple[Tensor, Tensor]:
        """Normalised features of some clips, cut or padded at the end to one length.

        Args:
            places: of B clips, or of parts of them.
            n_frames: the length.
            mean: of the training frames, natural log.
            std: of the training frames; features are (x - mean) / (2 std), as AST and SSAST have it.
            pad_value: what padding holds, in normalised units.

        Returns:
            [B, n_frames, F] float32, and the number of frames that are not padding, [B] int64.
        """
        kept = np.minimum(places.n_frames, n_frames)
        x = torch.empty(len(kept), n_frames, self.state.n_mels)
        rows = zip(places.shard.tolist(), places.start.tolist(), kept.tolist(), strict=True)
        for i, (shard, start, n) in enumerate(rows):
            # Clip by clip, so that what was just widened is normalised, in one pass, while it is in the cache.
            normalise(x[i, :n].copy_(self._shard(shard)[start : start + n]), mean, std)
            x[i, n:] = pad_value
        return x, torch.from_numpy(kept)

    def stretches(self, clip_ids: Sequence[str]) -> Iterator[np.ndarray]:
        """The frames of some clips in the order of the files, neighbours joined: [T, F] float16 views."""
        yield from self._stretches(self.where(clip_ids))

    def packed(self, places: Places, device: torch.device) -> tuple[Tensor, np.ndarray]:
        """The frames of some clips one after the other on a device, in the order of the files.

        Returns:
            [sum of frames, F] float16, and the first row of each clip.
        """
        n_frames, order = places.n_frames, _in_files(places)
        begin = np.empty(len(order), dtype=np.int64)
        begin[order] = np.cumsum(n_frames[order]) - n_frames[order]
        frames = torch.empty(int(n_frames.sum()), self.state.n_mels, dtype=torch.float16, device=device)
        filled = 0
        for stretch in self._stretches(places):
            frames[filled : filled + len(stretch)] = torch.from_numpy(stretch)
            filled += len(stretch)
        return frames, begin

    def read_ahead(self, places: Places) -> None:
        """Ask the system to read clips from the disk, in the order of the files, before they are needed."""
        row = 2 * self.state.n_mels  # bytes; the header of the file is less than a page, and pages are what is read
        for shard, ranges in groupby(_ranges(places), key=itemgetter(0)):
            with self._files[shard].open("rb") as file:
                for _, start, stop in ranges:
                    os.posix_fadvise(file.fileno(), start * row, (stop - start) * row, os.POSIX_FADV_WILLNEED)

    def _stretches(self, places: Places) -> Iterator[np.ndarray]:
        for shard, start, stop in _ranges(places):
            yield self._shard(shard)[start:stop].numpy()

    def _shard(self, number: int) -> Tensor:
        if number not in self._shards:
            # Mapped copy-on-write and never written to, because torch wants writable memory.
            self._shards[number] = torch.from_numpy(np.load(self._files[number], mmap_mode="c"))
        return self._shards[number]


def _in_files(places: Places) -> np.ndarray:
    """The order of clips in the files."""
    return np.lexsort((places.start, places.shard))


def _ranges(places: Places) -> Iterator[tuple[int, int, int]]:
    """(shard, first row, row after the last) of clips, neighbours joined, in the order of the files."""
    shard, start, n_frames = places.at(_in_files(places))
    stop = start + n_frames
    gap = (shard[1:] != shard[:-1]) | (start[1:] != stop[:-1])
    firsts, lasts = np.append(True, gap), np.append(gap, True)
    yield from zip(shard[firsts].tolist(), start[firsts].tolist(), stop[lasts].tolist(), strict=True)


def normalise(log_mel: Tensor, mean: float, std: float) -> Tensor:
    """(x - mean) / (2 std), written over x in one pass."""
    scale = 1 / (2 * std)
    return torch.add(torch.tensor(-mean * scale), log_mel, alpha=scale, out=log_mel)


def _check(found: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> None:
    if different := state_differences(found, expected):
        remedy = "use features of the front end that the model was trained with"
        raise InputError.listing(f"the features in {path} are not those expected", different, remedy)
