"""What the index of millions of clips costs: parts, one store of them, and the order of an epoch."""

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from harness import Measurement

from tymbal.compute import part_of, write_index
from tymbal.config.models import Frontend
from tymbal.fbank import FeatureState
from tymbal.files import write_json
from tymbal.layout import INDEX, SHARD_FRAMES, STATE
from tymbal.norm import Scale
from tymbal.store import FeatureStore
from tymbal.tables import write_csv
from tymbal.train.data import ClipSet, epoch_order

N_PARTS, N_FRAMES = 64, 598


def features_1m8(manifest: pd.DataFrame) -> list[Measurement]:
    """The index of a large manifest's features (part of `index_1m8`): no features, only where they are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        parts = [part_of(manifest, f"{i}-of-{N_PARTS}") for i in (1, N_PARTS)]  # each in a job of its own
        seconds = (time.perf_counter() - start) / len(parts)
        ids = manifest["clip_id"].tolist()
        folders = [folder / f"{i}-of-{N_PARTS}" for i in range(1, N_PARTS + 1)]
        for part, chosen in zip(folders, np.array_split(np.arange(len(ids)), N_PARTS), strict=True):
            _write_part(part, [ids[i] for i in chosen])

        start = time.perf_counter()
        write_index(folders, folder)
        write_s = time.perf_counter() - start
        start = time.perf_counter()
        store = FeatureStore(folder)
        store.where(ids[:1])  # looked up for the first time
        load_s = time.perf_counter() - start
        start = time.perf_counter()
        labels = np.zeros((len(ids), 1), dtype=np.float32)
        clips = ClipSet(store, tuple(ids), labels, N_FRAMES, Scale(-8.0, 2.0, 0.0), torch.device("cpu"))
        windows = epoch_order(clips, "none", seed=0, epoch=1)
        order_s = time.perf_counter() - start
        assert sum(map(len, windows)) == len(ids)
    return [
        Measurement("index_1m8_part", seconds, "s"),
        Measurement("index_1m8_write_index", write_s, "s"),
        Measurement("index_1m8_load_index", load_s, "s"),
        Measurement("index_1m8_epoch_order", order_s, "s"),
    ]


def _write_part(folder: Path, ids: list[str]) -> None:
    """Index and state as `compute_part` writes them, without shards."""
    folder.mkdir()
    shard, place = np.divmod(np.arange(len(ids)), SHARD_FRAMES // N_FRAMES)
    names = [f"shard-{k:05d}.npy" for k in shard]
    index = pd.DataFrame({"clip_id": ids, "shard": names, "start": place * N_FRAMES, "n_frames": N_FRAMES})
    write_csv(index, folder / INDEX)
    write_json(folder / STATE, FeatureState.of(Frontend()).to_json())
