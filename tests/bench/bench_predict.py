"""Speed and memory of prediction, from files to files, with networks of the published sizes and random weights."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import torch
from harness import Measurement, benchmark, median

from tymbal.config.models import Frontend, Ssast
from tymbal.config.predict import Predict
from tymbal.devices import peak_memory_mb
from tymbal.models.build import build
from tymbal.models.card import ModelCard
from tymbal.models.weights import save_weights
from tymbal.predict.model import Predictor
from tymbal.predict.shard import predict_part
from tymbal.predict.stream import read_windows
from tymbal.spectrogram import FeatureState

RATE = 48000  # Hz, of the recordings
MINUTES = {"cpu": {"tiny": 6, "base": 1}, "cuda": {"tiny": 60, "base": 60}}
HOURS = 3  # of the recording whose memory is measured
CPU = torch.device("cpu")
REPEATS = 3


@benchmark("predict_tiny")
def predict_tiny() -> list[Measurement]:
    """SSAST tiny, patches of 16 without overlap, windows of 10.26 s without overlap."""
    return _speed("tiny")


@benchmark("predict_base")
def predict_base() -> list[Measurement]:
    """SSAST base, the same."""
    return _speed("base")


@benchmark("predict_memory")
def predict_memory() -> list[Measurement]:
    """The largest memory while a recording of three hours is predicted."""
    torch.set_num_threads(1)
    with _folder("tiny", 60 * HOURS) as folder:
        predict_part(["sound.wav"], folder, Predictor.load(folder, CPU), Predict(), folder / "out")
        return [Measurement("predict_memory", peak_memory_mb(CPU), "MB, 3 h at 48 kHz")]


def _speed(size: str) -> list[Measurement]:
    """Seconds of sound a second of CPU time, and what its parts take; of a GPU, if there is one, a second."""
    torch.set_num_threads(1)
    made = []
    with _folder(size, MINUTES["cpu"][size]) as folder:
        predictor, settings = Predictor.load(folder, CPU), Predict()
        parts = ["sound.wav"], folder, predictor, settings, folder / "out"
        whole = median(lambda: predict_part(*parts), REPEATS, time.process_time)
        speed = 60 * MINUTES["cpu"][size] / whole
        made.append(Measurement(f"predict_{size}", speed, "x real time per core", repeats=REPEATS))

        windows = predictor.windows(settings)
        waveforms = [window.waveform for window in read_windows(folder / "sound.wav", windows, 16000)]
        first = waveforms[: settings.batch_size]
        x, *_ = predictor.prepare(first)
        share = len(waveforms) / len(first)
        steps = {
            "decode": (1, lambda: [None for _ in read_windows(folder / "sound.wav", windows, 16000)]),
            "features": (share, lambda: predictor.prepare(first)),
            "model": (share, lambda: predictor.model.with_embeddings(x)),
        }
        with torch.inference_mode():
            taken = {name: times * median(step, REPEATS, time.process_time) for name, (times, step) in steps.items()}
        for name, seconds in taken.items():
            percent = 100 * seconds / sum(taken.values())
            made.append(Measurement(f"predict_{size}_{name}", percent, "% of the time", repeats=REPEATS))
    if torch.cuda.is_available():
        minutes = MINUTES["cuda"][size]
        with _folder(size, minutes) as folder:
            predictor, settings = Predictor.load(folder, torch.device("cuda")), Predict(batch_size=64)
            parts = ["sound.wav"], folder, predictor, settings, folder / "out"
            whole = median(lambda: predict_part(*parts), REPEATS)
        made.append(Measurement(f"predict_{size}_gpu", 60 * minutes / whole, "x real time per GPU", repeats=REPEATS))
    return made


@contextmanager
def _folder(size: str, minutes: int) -> Iterator[Path]:
    """A folder with a model and `sound.wav`, noise of so many minutes."""
    net = Ssast(arch="ssast", size=size)
    card = ModelCard(
        net=net.model_dump(mode="json"),
        n_mels=128,
        classes=tuple(f"class {i}" for i in range(20)),
        mean=-7.0,
        std=3.0,
        padding="mean",
        frontend=FeatureState.of(Frontend()).to_json(),
        long_clips="error",
        loss="bce",
        corpus={},
        provenance={},
    )
    model = build(net, card.n_mels, len(card.classes), torch.Generator().manual_seed(0))
    minute = np.random.default_rng(0).integers(-3000, 3000, 60 * RATE, np.int16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_weights(folder / "model.safetensors", folder / "model.json", model, card)
        with soundfile.SoundFile(folder / "sound.wav", "w", RATE, 1) as file:
            for _ in range(minutes):
                file.write(minute)
        yield folder
