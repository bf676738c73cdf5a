"""A model that predicts in milliseconds, in the files of a run, and recordings for it."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from pydantic import TypeAdapter

from tymbal.config.models import Frontend, Net
from tymbal.evaluate.calibration import Calibration, write_calibration
from tymbal.evaluate.thresholds import Threshold, write_thresholds
from tymbal.fbank import fbank
from tymbal.files import write_json
from tymbal.models.build import build
from tymbal.models.card import ModelCard
from tymbal.models.classifier import Classifier
from tymbal.models.weights import save_weights
from tymbal.spectrogram import FeatureState

CPU = torch.device("cpu")
CLASSES = ("Owl", "蟬", 'Rain, "heavy"')
N_FRAMES, N_MELS = 48, 32
LENGTH_S = 0.5  # of a window if nothing else is set
MEAN, STD = -6.5, 3.25

SSAST = {"arch": "ssast", "patch": (16, 8), "stride": (16, 8), "n_frames": N_FRAMES}
SSLAM = {"arch": "sslam", "size": "tiny", "patch": (16, 8), "n_frames": N_FRAMES}
CNN = {"arch": "cnn", "n_frames": N_FRAMES}


def small_model(folder: Path, net=SSAST, loss="bce", sample_rate=16000, **changed) -> Path:
    """Files of a run: a network with random weights, its card, thresholds and calibration.

    Args:
        folder: to write; a run's is `.../<data set>/<model>/fold1/seed0`.
        net: settings of the network.
        loss: that it was trained with.
        sample_rate: of its front end, Hz.
        changed: fields of the card that are to be others.
    """
    settings = TypeAdapter(Net).validate_python(net)
    model = build(settings, N_MELS, len(CLASSES), torch.Generator().manual_seed(0))
    _spread(model.eval())
    card = {
        "net": settings.model_dump(mode="json"),
        "n_mels": N_MELS,
        "classes": CLASSES,
        "mean": MEAN,
        "std": STD,
        "padding": "mean",
        "frontend": FeatureState.of(Frontend(sample_rate=sample_rate, n_mels=N_MELS)).to_json(),
        "long_clips": "error",
        "loss": loss,
        "corpus": {},
        "provenance": {},
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / "model.safetensors", folder / "model.json", model, ModelCard(**{**card, **changed}))
    write_thresholds(folder / "thresholds.json", {name: Threshold(threshold=0.5) for name in CLASSES})
    calibration = Calibration("temperature", loss, 1.25, None, None, 50, 0.1, 0.1, 0.1, 0.1)
    write_calibration(folder / "calibration.json", calibration)
    write_json(folder / "run.json", {})
    return folder


def _spread(model: Classifier) -> None:
    """Make the last layer's weights such that the scores of every class differ from window to window."""
    waves = torch.stack([torch.from_numpy(sound(LENGTH_S, 16000, seed)) for seed in range(50)])
    last = list(model.head.modules())[-1]
    with torch.no_grad():
        logits = model((fbank(waves, 16000, N_MELS) - MEAN) / (2 * STD))
        scale = 1.5 / logits.std(dim=0)
        last.weight.mul_(scale.view(-1, *[1] * (last.weight.dim() - 1)))
        last.bias.copy_(scale * (last.bias - logits.mean(dim=0)))


def sound(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Noise and tones that change every fifth of a second, [N] float32."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    step = (5 * t).astype(int)
    hertz, level = rng.uniform(100, 3500, step[-1] + 1), 10 ** rng.uniform(-3, -0.5, step[-1] + 1)
    wave = level[step] * np.sin(2 * np.pi * hertz[step] * t) + 0.01 * rng.standard_normal(len(t)) * level[step[::-1]]
    return wave.astype(np.float32)


def recording(path: Path, seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """Write such sound as an audio file of the format that its name tells; samples come back as returned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.round(sound(seconds, rate, seed) * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    soundfile.write(path, whole, rate, subtype="PCM_16")
    return whole / np.float32(2**15)
