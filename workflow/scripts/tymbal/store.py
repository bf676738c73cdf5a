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
from tymbal.fbank import FeatureState, state_differences
from tymbal.files import read_json
from tymbal.layout import INDEX, STATE, read_index


class Places(NamedTuple):
    """Where the rows of some clips are."""

    shard: np.ndarray  # [N] number of the shard
    start: np.ndarray  # [N] first row in it
    n_frames: np.ndarray  # [N]


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
        ids = [f"{dataset}:{clip_id}" for dataset, store in stores.items() for clip_id in store.clip_ids]
        first_shard = np.cumsum([0, *(len(store._files) for store in stores.values())])
        shards = [store._places.shard + begin for store, begin in zip(stores.values(), first_shard, strict=False)]
        first.clip_ids = pd.Index(ids)
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
        return Places(*(column[rows] for column in self._places))

    def frames(self, clip_id: str) -> np.ndarray:
        """The features of one clip, [T, F] float16; a view of the file."""
        shard, start, length = self._place(clip_id)
        return self._shard(shard)[start : start + length].numpy()

    def batch(
        self,
        clip_ids: Sequence[str],
        n_frames: int,
        mean: float,
        std: float,
        pad_value: float,
        first: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Normalised features of some clips, cut or padded at the end to one length.

        Args:
            clip_ids: B clips.
            n_frames: the length.
            mean: of the training frames, natural log.
            std: of the training frames; features are (x - mean) / (2 std), as AST and SSAST have it.
            pad_value: what padding holds, in normalised units.
            first: frame of each clip to begin with, [B]; None for the beginning.

        Returns:
            [B, n_frames, F] float32, and the number of frames that are not padding, [B] int64.
        """
        x = torch.empty(len(clip_ids), n_frames, self.state.n_mels)
        kept = torch.empty(len(clip_ids), dtype=torch.int64)
        scale = 1 / (2 * std)
        offset = torch.tensor(-mean * scale)
        for i, clip_id in enumerate(clip_ids):
            shard, start, length = self._place(clip_id)
            if first is not None:
                start, length = start + first[i], length - first[i]
            kept[i] = n = min(length, n_frames)
            # Clip by clip, so that what was just widened is normalised, in one pass, while it is in the cache.
            clip = x[i, :n].copy_(self._shard(shard)[start : start + n])
            torch.add(offset, clip, alpha=scale, out=clip)
            x[i, n:] = pad_value
        return x, kept

    def stretches(self, clip_ids: Sequence[str]) -> Iterator[np.ndarray]:
        """The frames of some clips in the order of the files, neighbours joined: [T, F] float16 views."""
        for shard, start, stop in self._ranges(clip_ids):
            yield self._shard(shard)[start:stop].numpy()

    def read_ahead(self, clip_ids: Sequence[str]) -> None:
        """Ask the system to read these clips from the disk, in the order of the files, before they are needed."""
        row = 2 * self.state.n_mels  # bytes; the header of the file is less than a page, and pages are what is read
        for shard, ranges in groupby(self._ranges(clip_ids), key=itemgetter(0)):
            with self._files[shard].open("rb") as file:
                for _, start, stop in ranges:
                    os.posix_fadvise(file.fileno(), start * row, (stop - start) * row, os.POSIX_FADV_WILLNEED)

    def _place(self, clip_id: str) -> tuple[int, int, int]:
        row = self.clip_ids.get_loc(clip_id)
        shard, start, n_frames = self._places
        return int(shard[row]), int(start[row]), int(n_frames[row])

    def _shard(self, number: int) -> Tensor:
        if number not in self._shards:
            # Mapped copy-on-write and never written to, because torch wants writable memory.
            self._shards[number] = torch.from_numpy(np.load(self._files[number], mmap_mode="c"))
        return self._shards[number]

    def _ranges(self, clip_ids: Sequence[str]) -> Iterator[tuple[int, int, int]]:
        """(shard, first row, row after the last) of clips, neighbours joined, in the order of the files."""
        shard, start, n_frames = self.where(clip_ids)
        order = np.lexsort((start, shard))
        shard, start, stop = shard[order], start[order], (start + n_frames)[order]
        gap = (shard[1:] != shard[:-1]) | (start[1:] != stop[:-1])
        firsts, lasts = np.append(True, gap), np.append(gap, True)
        yield from zip(shard[firsts].tolist(), start[firsts].tolist(), stop[lasts].tolist(), strict=True)


def _check(found: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> None:
    if different := state_differences(found, expected):
        remedy = "use features of the front end that the model was trained with"
        raise InputError.listing(f"the features in {path} are not those expected", different, remedy)
