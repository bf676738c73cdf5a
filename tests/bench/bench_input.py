"""Whether training waits for its data, and how long millions of clips take to begin."""

import os
import tempfile
import time
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from bench_features import write_part
from bench_index import N_SEGMENTS, names
from harness import Goal, Measurement, apart, benchmark, clock

from tymbal.config.models import Augment, LayeredOptimizer, Ssast
from tymbal.config.pretrain import Pretraining
from tymbal.devices import peak_memory_mb
from tymbal.files import fingerprint, write_json
from tymbal.inference import mean_loss
from tymbal.layout import INDEX, read_index, write_index
from tymbal.models.ssast import SSAST
from tymbal.norm import NormStats, Scale
from tymbal.pretrain.corpus import joined_ids
from tymbal.pretrain.pretrain import Inputs, Outputs, pretrain
from tymbal.pretrain.ssast import MaskedPatchModel
from tymbal.runs import PretrainRun
from tymbal.store import FeatureStore
from tymbal.tables import write_csv
from tymbal.train.augment import augment
from tymbal.train.data import ClipSet, epoch_order
from tymbal.train.optim import build_optimizer
from tymbal.train.precision import autocast_dtype

N_MELS, N_FRAMES, N_CLASSES, BATCH = 128, 1024, 12, 16
WARM_UP, STEPS = 2, 20
AUGMENT = Augment(mixup=0.5, freq_mask=48, time_mask=192, noise=True, roll=10)  # as SSAST
SCALE = Scale(-8.0, 3.0, 0.0)
MILLIONS = {"north": 1_000_000, "south": 1_000_000}  # clips of each data set
MILLION_FRAMES = 598  # of each of them
HEARD = 64  # of which the encoder is given so many: computing is not what is measured


@benchmark("input_wait_2k")
def input_wait_2k() -> list[Measurement]:
    """2,000 clips of noise, 0.5 GB, that were just written, so that they are in memory; on a GPU in its own."""
    with tempfile.TemporaryDirectory() as name:
        clips = _clips(Path(name), 2_000)
        _fill(clips, np.unique(clips.places.shard))
        return [_wait("input_wait_2k", clips)]


@benchmark("input_wait_100k")
def input_wait_100k() -> list[Measurement]:
    """100,000 clips, 26 GB: noise in the two windows that an epoch begins with (9 GB), none of it in memory.

    These are all that is read in so few steps. The other files are sparse.
    """
    with tempfile.TemporaryDirectory() as name:
        clips = _clips(Path(name), 100_000)
        begin = np.concatenate(epoch_order(clips, "none", seed=0, epoch=1)[:2])
        _fill(clips, np.unique(clips.places.shard[begin]), cold=True)
        return [_wait("input_wait_100k", clips)]


@benchmark("corpus_2m")
def corpus_2m() -> list[Measurement]:
    """The first step of pre-training a tiny SSAST on two data sets of a million clips each, from nothing.

    The index is whole, with 310 GB of sparse files, so that reading them is cheap.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        apart(_write_corpus, folder)
        start = time.perf_counter()
        _first_step(folder)
        seconds = time.perf_counter() - start
    return [
        Measurement("corpus_2m_first_step", seconds, "s", goal=Goal(60, less=True)),
        Measurement("corpus_2m_memory", peak_memory_mb(torch.device("cpu")), "MB", goal=Goal(4000, less=True)),
    ]


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


# --- waiting for the next batch -----------------------------------------------------------------------------


def _wait(name: str, clips: ClipSet) -> Measurement:
    """Share of fine-tuning steps that passes from the end of one until the next batch is there."""
    device, generator = clips.device, torch.Generator().manual_seed(0)
    net = Ssast(arch="ssast", size="tiny", n_frames=N_FRAMES)
    model = SSAST(net, N_MELS, N_CLASSES, generator).to(device)
    optimizer = build_optimizer(model, LayeredOptimizer(lr=1e-4))
    dtype, rng, now = autocast_dtype("auto", device), np.random.default_rng(0), clock(device)
    next(clips.in_order(1))  # as fine-tuning begins: clips that fit are on the device from the second pass on
    batches = clips.batches(epoch_order(clips, "none", seed=0, epoch=1), BATCH)
    begun = waited = 0.0
    for i in range(WARM_UP + STEPS):
        asked = now()
        if i == WARM_UP:
            begun, waited = asked, 0.0
        batch = next(batches)
        waited += now() - asked
        batch = augment(batch, AUGMENT, clips.scale, rng)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            loss = mean_loss(model(batch.x), batch.y, "bce")
        loss.backward()
        optimizer.step()
    share = 100 * waited / (now() - begun)
    return Measurement(name, share, "% of step time", goal=Goal(2, less=True), repeats=STEPS)


def _clips(folder: Path, n: int) -> ClipSet:
    ids = [f"clip{i:06d}" for i in range(n)]
    _write_store(folder, ids, N_FRAMES, n_parts=1)
    labels = np.eye(N_CLASSES, dtype=np.float32)[np.arange(n) % N_CLASSES]
    return ClipSet(FeatureStore(folder), tuple(ids), labels, N_FRAMES, SCALE, _device())


def _fill(clips: ClipSet, shards: np.ndarray, cold: bool = False) -> None:
    """Write noise into some shards; `cold`: and have the system forget it, so that it must be read from the disk."""
    noise = np.random.default_rng(0).normal(SCALE.mean, SCALE.std, (N_FRAMES, N_MELS)).astype(np.float16)
    for path in sorted(read_index(clips.store.folder / INDEX)["shard"].unique()[shards]):
        shard = np.load(clips.store.folder / path, mmap_mode="r+")
        shard.reshape(-1, *noise.shape)[:] = noise
        shard.flush()
        if cold:
            with (clips.store.folder / path).open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _write_store(folder: Path, ids: list[str], n_frames: int, n_parts: int) -> None:
    """A feature store with sparse shards, which hold zeros and next to nothing on the disk."""
    folder.mkdir(exist_ok=True)
    parts = [folder / f"{i}-of-{n_parts}" for i in range(1, n_parts + 1)]
    for part, chosen in zip(parts, np.array_split(np.arange(len(ids)), n_parts), strict=True):
        write_part(part, [ids[i] for i in chosen], n_frames)
    write_index(parts, folder)
    index = read_index(folder / INDEX)
    for shard, length in (index["start"] + index["n_frames"]).groupby(index["shard"]).max().items():
        np.lib.format.open_memmap(folder / str(shard), "w+", np.float16, (length, N_MELS))


# --- millions of clips --------------------------------------------------------------------------------------


class _Begun(Exception):
    """The first step is done."""


def _first_step(folder: Path) -> None:
    """Pre-training until its first step is done, with all that comes before."""
    net = {"arch": "ssast", "size": "tiny", "n_frames": HEARD}
    train = {"epochs": 1, "batch_size": BATCH}
    settings = Pretraining.model_validate({"frontend": "fbank128", "corpus": "all", "net": net, "train": train})
    stores = {dataset: folder / dataset for dataset in MILLIONS}
    inputs = Inputs(folder / "clips.csv", folder / "corpus.json", stores, folder / "norm.json", None)
    made = ("encoder.safetensors", "encoder.json", "history.csv", "run.json", "checkpoints", "tensorboard")
    outputs = Outputs(*(folder / "out" / name for name in made))

    def before_step(self: MaskedPatchModel, step: int) -> None:
        if step == 1:
            raise _Begun

    with mock.patch.object(MaskedPatchModel, "before_step", before_step):
        try:
            pretrain(inputs, outputs, PretrainRun("all", "ssast", 0), settings, "code", _device())
        except _Begun:
            return
    raise AssertionError("there was one step only")


def _write_corpus(folder: Path) -> None:
    """What pre-training reads: the stores, the list of clips, their facts and their normalisation."""
    files = names(sum(MILLIONS.values()) // N_SEGMENTS)
    tables = []
    for dataset, n in MILLIONS.items():
        ids = [Path(file).stem for file in islice(files, n)]
        _write_store(folder / dataset, ids, MILLION_FRAMES, n_parts=64)
        part = np.where(np.arange(n) // N_SEGMENTS % 20 == 0, "val", "train")  # of recordings
        tables.append(pd.DataFrame({"dataset": dataset, "clip_id": ids, "part": part}))
    clips = pd.concat(tables).sort_values(["dataset", "clip_id"], ignore_index=True)
    write_csv(clips, folder / "clips.csv")
    parts = [{"dataset": dataset, "weight": 1.0} for dataset in MILLIONS]
    write_json(folder / "corpus.json", {"transductive": False, "held_out": [], "parts": parts})
    state = FeatureStore(folder / next(iter(MILLIONS))).state.fingerprint
    train = sorted(joined_ids(clips, "train"))
    n_frames = MILLION_FRAMES * len(train)
    NormStats(SCALE.mean, SCALE.std, n_frames, len(train), state, fingerprint(train)).write(folder / "norm.json")
