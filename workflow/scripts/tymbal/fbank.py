"""Log-mel filterbank as Kaldi computes it, the front end of AST and SSAST.

Frames of 25 ms every 10 ms without padding at the edges; mean of each frame removed; pre-emphasis 0.97; symmetric
Hann window; power spectrum of the frame zero-padded to a power of two; triangles spaced and weighted on the scale
mel(f) = 1127 ln(1 + f/700) from 20 Hz to Nyquist; natural logarithm, floored at 2^-23.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tymbal.errors import InputError
from tymbal.spectrogram import (
    ENERGY_FLOOR,
    FRAME_LENGTH_MS,
    FRAME_SHIFT_MS,
    LOW_HZ,
    PREEMPHASIS,
    WINDOW,
    n_frames,
    window_and_shift,
)

# Frames worked on at a time: few enough for a CPU's cache, enough to occupy a GPU.
BLOCK = {"cpu": 512, "cuda": 2**16}


def fbank(waveform: Tensor, sample_rate: int, n_mels: int) -> Tensor:
    """Log-mel filterbank of clips of one length; the mean of each clip is removed first.

    Args:
        waveform: [N] or [B, N] float32, full scale 1, on any device.
        sample_rate: of the waveform, Hz.
        n_mels: F, number of triangles.

    Returns:
        [T, F] or [B, T, F] float32 natural logarithms of energy, lowest triangle first.

    Raises:
        InputError: the clips are shorter than one frame.
    """
    if waveform.dim() == 1:
        return fbank(waveform[None], sample_rate, n_mels)[0]
    length = _checked_n_frames(waveform, sample_rate)
    window, shift = window_and_shift(sample_rate)
    taper, bands = _tables(sample_rate, n_mels, waveform.device)

    # The Hann window is 0 at the first sample of a frame, the only one whose pre-emphasis depends on where the frame
    # begins. So the filter runs once over the clip instead of over each of the overlapping frames, which are one
    # sample shorter afterwards. A frame's mean contributes 1 - 0.97 of itself to every filtered sample.
    centred = waveform - waveform.mean(dim=1, keepdim=True)
    filtered = torch.sub(centred[:, 1:], centred[:, :-1], alpha=PREEMPHASIS)  # [B, N - 1]
    frames = centred.unfold(1, window, shift)  # [B, T, window]
    filtered_frames = filtered.unfold(1, window - 1, shift)  # [B, T, window - 1]

    features = waveform.new_empty(len(waveform), length, n_mels)
    step = max(1, BLOCK[waveform.device.type] // len(waveform))
    for start in range(0, length, step):
        block = slice(start, start + step)
        mean = frames[:, block].mean(dim=2, keepdim=True)
        padded = waveform.new_zeros(*mean.shape[:2], _fft_length(window))
        tapered = padded[..., : window - 1]
        torch.sub(filtered_frames[:, block], mean, alpha=1 - PREEMPHASIS, out=tapered)
        tapered.mul_(taper)
        energy = _mel_energy(padded.flatten(0, 1), bands, n_mels)
        torch.log(energy.clamp_(min=ENERGY_FLOOR).view(*mean.shape[:2], n_mels), out=features[:, block])
    return features


def fbank_torchaudio(waveform: Tensor, sample_rate: int, n_mels: int) -> Tensor:
    """The same by torchaudio, one clip after the other: the reference to hold `fbank` against."""
    from torchaudio.compliance import kaldi

    if waveform.dim() == 1:
        return fbank_torchaudio(waveform[None], sample_rate, n_mels)[0]
    _checked_n_frames(waveform, sample_rate)
    clips = [
        kaldi.fbank(
            (clip - clip.mean())[None],
            sample_frequency=sample_rate,
            num_mel_bins=n_mels,
            frame_length=FRAME_LENGTH_MS,
            frame_shift=FRAME_SHIFT_MS,
            preemphasis_coefficient=PREEMPHASIS,
            low_freq=LOW_HZ,
            window_type=WINDOW,
            htk_compat=True,
        )
        for clip in waveform
    ]
    return torch.stack(clips)


BACKENDS: dict[str, Callable[[Tensor, int, int], Tensor]] = {"tymbal": fbank, "torchaudio": fbank_torchaudio}


def mel_bank(sample_rate: int, n_mels: int, fft_length: int) -> np.ndarray:
    """Weights of FFT points in triangles, of peak 1 and linear in mel between.

    Returns:
        [fft_length / 2, n_mels] float64. The Nyquist point belongs to no triangle. Where triangles are narrower than
        the distance of FFT points some hold none, such as number 3 at 16 kHz; they stay on the floor.
    """

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

    points = mel(np.arange(fft_length // 2) * sample_rate / fft_length)[:, None]
    edges = np.linspace(mel(LOW_HZ), mel(sample_rate / 2), n_mels + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    return np.clip(np.minimum((points - left) / (centre - left), (right - points) / (right - centre)), 0, None)


@lru_cache
def empty_filters(sample_rate: int, n_mels: int) -> tuple[int, ...]:
    """The triangles that hold no FFT point, so that their bins are always on the log floor."""
    window, _ = window_and_shift(sample_rate)
    bank = mel_bank(sample_rate, n_mels, _fft_length(window))
    return tuple(np.flatnonzero(~bank.any(axis=0)).tolist())


class Band(NamedTuple):
    """Neighbouring triangles and the only columns of re² and im² that they touch."""

    columns: slice
    mels: slice
    weights: Tensor  # [columns, mels] float32


def _mel_energy(frames: Tensor, bands: list[Band], n_mels: int) -> Tensor:
    """Energy in each triangle, [frames, n_mels], of windowed frames, [frames, fft_length]."""
    spectrum = torch.view_as_real(torch.fft.rfft(frames))  # [frames, points, 2]
    squares = spectrum.flatten(1).square_()  # re², im² of a point side by side
    energy = frames.new_empty(len(frames), n_mels)
    for band in bands:
        torch.mm(squares[:, band.columns], band.weights, out=energy[:, band.mels])
    return energy


@lru_cache(maxsize=8)
def _tables(sample_rate: int, n_mels: int, device: torch.device) -> tuple[Tensor, list[Band]]:
    """The window without its first sample, [window - 1], and the mel bank in bands.

    The bank is nearly all zeros, and its product with the spectrum is the largest part of the work;
    a few bands leave out most of the zeros.
    """
    window, _ = window_and_shift(sample_rate)
    taper = torch.hann_window(window, periodic=False, dtype=torch.float64)[1:].float().to(device)
    bank = mel_bank(sample_rate, n_mels, _fft_length(window))
    bands = []
    for mels in np.array_split(np.arange(n_mels), min(4, n_mels)):
        used = np.flatnonzero(bank[:, mels].any(axis=1))
        points, triangles = slice(used[0], used[-1] + 1), slice(mels[0], mels[-1] + 1)
        weights = torch.from_numpy(bank[points, triangles].repeat(2, axis=0)).float()
        bands.append(Band(slice(2 * points.start, 2 * points.stop), triangles, weights.to(device)))
    return taper, bands


def _fft_length(window: int) -> int:
    """The next power of two."""
    return 1 << (window - 1).bit_length()


def _checked_n_frames(waveform: Tensor, sample_rate: int) -> int:
    n_samples = waveform.shape[-1]
    length = n_frames(n_samples, sample_rate)
    if length == 0:
        raise InputError(
            f"{n_samples} samples at {sample_rate} Hz are shorter than one frame of {FRAME_LENGTH_MS} ms "
            f"({window_and_shift(sample_rate)[0]} samples)"
        )
    return length
