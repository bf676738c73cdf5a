"""What features cost: computed from files; and at millions of clips their parts, index and order in an epoch."""

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from harness import Goal, Measurement, benchmark, interleaved_medians
from torchaudio.transforms import Resample

from tymbal.compute import compute_part, part_of
from tymbal.config.models import Frontend
from tymbal.fbank import fbank_torchaudio
from tymbal.files import sha256, write_json
from tymbal.layout import INDEX, SHARD_FRAMES, STATE, write_index
from tymbal.norm import Scale
from tymbal.spectrogram import FeatureState
from tymbal.store import FeatureStore
from tymbal.tables import write_csv
from tymbal.train.data import ClipSet, epoch_order

N_PARTS, N_FRAMES = 64, 598
N_FILES, SECONDS, RATE = 48, 10, 48_000


@benchmark("features_from_files")
def features_from_files() -> list[Measurement]:
    """Log-mel of WAV files on all cores: decoded, resampled, computed, written, and files held against their digests.

    Against torchaudio's resampling and its Kaldi features, written as a file a clip.
    """
    threads, frontend = len(os.sched_getaffinity(0)), Frontend()
    torch.set_num_threads(1)  # a file each is what runs in parallel
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = _noise(folder)
        resample = Resample(RATE, frontend.sample_rate)

        def ours() -> None:
            compute_part(clips, {"data": folder}, frontend, None, "mix", folder / "1-of-1", folder / "work", threads)

        def one(path: str) -> None:
            samples, _ = soundfile.read(folder / path, dtype="float32")
            frames = fbank_torchaudio(resample(torch.from_numpy(samples)), frontend.sample_rate, frontend.n_mels)
            torch.save(frames.half(), folder / f"{path}.pt")

        def theirs() -> None:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                list(pool.map(one, clips["path"]))

        seconds, their_seconds = interleaved_medians([ours, theirs], repeats=5)
    sound = N_FILES * SECONDS
    unit = f"x real time, {threads} cores"
    goal = Goal(2, ratio=True)
    return [Measurement("features_from_files", sound / seconds, unit, sound / their_seconds, goal, repeats=5)]


def _noise(folder: Path) -> pd.DataFrame:
    """Files of noise, and the columns of a manifest that tell of them."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(N_FILES):
        path = folder / f"{i}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(SECONDS * RATE), RATE, subtype="PCM_16")
        rows.append({"clip_id": str(i), "root": "data", "path": path.name, "sha256": sha256(path)})
    return pd.DataFrame(rows).assign(start_s=0.0, duration_s=float(SECONDS))


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
            write_part(part, [ids[i] for i in chosen])

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


def write_part(folder: Path, ids: list[str], n_frames: int = N_FRAMES) -> None:
    """Index and state as `compute_part` writes them, without shards."""
    folder.mkdir()
    shard, place = np.divmod(np.arange(len(ids)), SHARD_FRAMES // n_frames)
    names = [f"shard-{k:05d}.npy" for k in shard]
    index = pd.DataFrame({"clip_id": ids, "shard": names, "start": place * n_frames, "n_frames": n_frames})
    write_csv(index, folder / INDEX)
    write_json(folder / STATE, FeatureState.of(Frontend()).to_json())
