"""What is measured. To add a benchmark, add a decorated function; the name given there is what `--only` takes."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from harness import Goal, Measurement, benchmark, interleaved_medians

from tymbal import fbank
from tymbal.compute import compute_part
from tymbal.config.models import Frontend
from tymbal.files import sha256
from tymbal.layout import write_index
from tymbal.store import FeatureStore

RATE = 16000  # Hz
N_MELS = 128
N_FRAMES = 1024


@benchmark("fbank")
def fbank_of_decoded_audio() -> list[Measurement]:
    """Log-mel of 10 s clips on one core, against torchaudio."""
    torch.set_num_threads(1)
    seconds = 10
    waveform = 0.1 * torch.randn(seconds * RATE, generator=torch.Generator().manual_seed(0))
    ours, theirs = interleaved_medians(
        [lambda: fbank.fbank(waveform, RATE, N_MELS), lambda: fbank.fbank_torchaudio(waveform, RATE, N_MELS)],
        repeats=200,
    )
    goal = Goal(3, ratio=True)
    return [Measurement("fbank", seconds / ours, "x real time per core", seconds / theirs, goal, repeats=200)]


@benchmark("feature_read")
def shuffled_epoch_of_features() -> list[Measurement]:
    """A shuffled epoch of normalised float32 batches on one core, against one .pt file a clip; warm cache."""
    torch.set_num_threads(1)
    n_clips, batch_size, mean, std = 512, 32, -4.3, 4.6
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = _noise_store(folder, n_clips, rng)
        ids = store.clip_ids.tolist()
        for clip_id in ids:
            torch.save({"fbank": torch.from_numpy(store.frames(clip_id)).clone()}, folder / f"{clip_id}.pt")

        def shuffled_batches() -> list[list[str]]:
            return [[ids[i] for i in part] for part in np.array_split(rng.permutation(n_clips), n_clips // batch_size)]

        def packed() -> None:
            for batch in shuffled_batches():
                store.batch(store.where(batch), N_FRAMES, mean, std, 0.0)

        def files() -> None:
            for batch in shuffled_batches():
                clips = [torch.load(folder / f"{clip_id}.pt", weights_only=True)["fbank"] for clip_id in batch]
                torch.stack(clips).float().sub_(mean).div_(2 * std)

        ours, theirs = interleaved_medians([packed, files], repeats=7)
    return [Measurement("feature_read", n_clips / ours, "clips/s per core", n_clips / theirs, repeats=7)]


def _noise_store(folder: Path, n_clips: int, rng: np.random.Generator) -> FeatureStore:
    """Features of noise, N_FRAMES a clip."""
    rows = []
    n_samples = RATE // 40 + (N_FRAMES - 1) * RATE // 100
    for i in range(n_clips):
        path = folder / f"{i:04d}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(n_samples), RATE)
        stretch = {"start_s": 0.0, "duration_s": n_samples / RATE}
        rows.append({"clip_id": path.stem, "root": "data", "path": path.name, **stretch, "sha256": sha256(path)})
    part, roots = folder / "store" / "1-of-1", {"data": folder}
    compute_part(pd.DataFrame(rows), roots, Frontend(), None, "mix", part, folder / "work", threads=2)
    write_index([part], folder / "store")
    return FeatureStore(folder / "store")
