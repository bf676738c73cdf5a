"""How many altered copies of real clips the leak audit finds, and how many other clips it takes for copies."""

import io
from collections.abc import Callable

import numpy as np
import soundfile
import torch
from harness import Measurement, NotHere, benchmark

from helpers import SHARED
from tymbal.audio import decode
from tymbal.copies import Copies
from tymbal.fbank import fbank
from tymbal.tables import read_csv

RATE = 16000  # Hz


def _noise(decibel: float) -> Callable[[np.ndarray], np.ndarray]:
    """Adds white noise so many decibels below the clip."""

    def add(x: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).standard_normal(len(x))
        return x + noise * np.sqrt(np.mean(x**2)) * 10 ** (-decibel / 20)

    return add


def _encoded(form: str) -> Callable[[np.ndarray], np.ndarray]:
    """Encodes and decodes."""

    def encode(x: np.ndarray) -> np.ndarray:
        data = io.BytesIO()
        soundfile.write(data, x, RATE, format=form)
        data.seek(0)
        return soundfile.read(data, dtype="float32")[0]

    return encode


ALTERED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gain": lambda x: 0.3 * x,
    "noise_40db": _noise(40),
    "noise_30db": _noise(30),
    "noise_20db": _noise(20),
    "vorbis": _encoded("OGG"),
    "mp3": _encoded("MP3"),
    "shift_0.3s": lambda x: np.roll(x, int(0.3 * RATE)),
    "shift_1s": lambda x: np.roll(x, RATE),
}


@benchmark("near_copies")
def near_copies() -> list[Measurement]:
    """Clips of ESC-10: share of altered copies that are found, and number of clips taken for copies of others."""
    if not SHARED.exists():
        raise NotHere("the real clips of ESC-10 are not beside the project")
    folder = SHARED / "data" / "esc10"
    table = read_csv(folder / "meta.csv", ("filename", "source_id"))
    clips = {name: decode(folder / "audio" / name, RATE) for name in table["filename"]}

    def features(x: np.ndarray) -> np.ndarray:
        return fbank(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)), RATE, 128).half().numpy()

    originals = {name: features(x) for name, x in clips.items()}
    n = len(originals)
    measurements = []
    for kind, alter in ALTERED.items():
        both = originals | {f"{name} altered": features(alter(x)) for name, x in clips.items()}
        found = Copies(list(both), both.__getitem__).find(np.arange(n, 2 * n), np.arange(n))
        own = sum(copy == f"{original} altered" for copy, original, *_ in found)
        measurements.append(Measurement(f"near_copies_{kind}", own / n, "of altered copies found"))
    copies = Copies(list(originals), originals.__getitem__)
    source = table["source_id"].to_numpy()
    wrong = {
        pair[0]
        for one in np.unique(source)
        for pair in copies.find(np.flatnonzero(source == one), np.flatnonzero(source != one))
    }
    return [*measurements, Measurement("near_copies_others", len(wrong), f"of {n} clips, taken for copies of others")]
