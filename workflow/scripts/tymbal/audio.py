"""Audio files: measuring and decoding. Whatever is wrong with a file is an InputError that says so without its name."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from tymbal.errors import InputError


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says."""

    sample_rate: int  # Hz
    channels: int
    duration_s: float
    n_samples: int  # of each channel


def probe(path: Path) -> AudioInfo:
    """Measure an audio file without decoding it.

    Raises:
        InputError: the file is not audio that libsndfile reads, or holds no samples.
    """
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise InputError(f"not readable as audio: {error.error_string}") from error
    if info.frames == 0:
        raise InputError("holds no samples")
    return AudioInfo(info.samplerate, info.channels, info.frames / info.samplerate, info.frames)


def decode(data: bytes, sample_rate: int) -> np.ndarray:
    """Decode the bytes of an audio file to mono (the mean of the channels) at the wanted rate.

    Every later step takes the rate for granted, so this is the one place where audio is resampled.

    Args:
        data: the whole file.
        sample_rate: wanted rate, Hz.

    Returns:
        [N] float32; full scale is 1.

    Raises:
        InputError: not audio that libsndfile reads, no samples in it, or samples that are not finite.
    """
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)  # [N, channels]
    except soundfile.LibsndfileError as error:
        raise InputError(f"not readable as audio: {error.error_string}") from error
    if len(samples) == 0:
        raise InputError("holds no samples")
    if not np.isfinite(samples).all():
        raise InputError(f"{np.count_nonzero(~np.isfinite(samples))} of {samples.size} samples are not finite numbers")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if rate == sample_rate:
        return mono
    return soxr.resample(mono, rate, sample_rate, quality="HQ")
