"""What is measured. To add a benchmark, add a decorated function; the name given there is what `--only` takes."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from harness import Measurement, benchmark, interleaved_medians

from tymbal import fbank
from tymbal.compute import compute_part, write_index
from tymbal.config.models import Frontend, LayeredOptimizer, Ssast
from tymbal.devices import peak_memory_mb
from tymbal.files import sha256
from tymbal.inference import mean_loss
from tymbal.models.flops import forward_flops
from tymbal.models.ssast import SSAST
from tymbal.store import FeatureStore
from tymbal.train.optim import build_optimizer

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
    return [Measurement("fbank", seconds / ours, "x real time per core", seconds / theirs)]


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
                store.batch(batch, N_FRAMES, mean, std, 0.0)

        def files() -> None:
            for batch in shuffled_batches():
                clips = [torch.load(folder / f"{clip_id}.pt", weights_only=True)["fbank"] for clip_id in batch]
                torch.stack(clips).float().sub_(mean).div_(2 * std)

        ours, theirs = interleaved_medians([packed, files], repeats=7)
    return [Measurement("feature_read", n_clips / ours, "clips/s per core", n_clips / theirs)]


@benchmark("finetune_step_tiny")
def finetune_step_tiny() -> list[Measurement]:
    """SSAST tiny, 8 clips of 1024 frames."""
    return _finetune_step("finetune_step_tiny", Ssast(arch="ssast", size="tiny", n_frames=N_FRAMES), batch_size=8)


@benchmark("finetune_step_base")
def finetune_step_base() -> list[Measurement]:
    """SSAST base, 2 clips of 1024 frames."""
    return _finetune_step("finetune_step_base", Ssast(arch="ssast", size="base", n_frames=N_FRAMES), batch_size=2)


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


def _finetune_step(name: str, net: Ssast, batch_size: int) -> list[Measurement]:
    """Forward, backward and Adam in float32 on the CPU with all threads, against a large matrix product."""
    n_classes, repeats = 12, 10
    generator = torch.Generator().manual_seed(0)
    model = SSAST(net, N_MELS, n_classes, generator)
    optimizer = build_optimizer(model, LayeredOptimizer(lr=1e-4))
    x = torch.randn(batch_size, net.n_frames, N_MELS, generator=generator)
    y = torch.rand(batch_size, n_classes, generator=generator)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        mean_loss(model(x), y, "bce").backward()
        optimizer.step()

    for _ in range(2):
        step()
    memory = peak_memory_mb(torch.device("cpu"))  # before the matrices below exist

    size = 4096
    a, b = (torch.randn(size, size, generator=generator) for _ in range(2))
    seconds, product_seconds = interleaved_medians([step, lambda: a @ b], repeats)
    flops = 3 * batch_size * forward_flops(model, x[:1])
    return [
        Measurement(name, seconds, "s/step"),
        Measurement(f"{name}_memory", memory, "MB"),
        Measurement(f"{name}_gflops", flops / seconds / 1e9, "GFLOP/s", 2 * size**3 / product_seconds / 1e9),
    ]
