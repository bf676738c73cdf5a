"""The windows of a recording of any length, in the memory of a few of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile

from tymbal.audio import blocks, check_channel, mono, opened, resample
from tymbal.errors import InputError
from tymbal.ingest.measure import cut_short
from tymbal.predict.windows import Windows, cut
from tymbal.spectrogram import FRAME_LENGTH_MS, n_frames

LOUDEST = 1e15  # beyond it, energies may overflow


class Window(NamedTuple):
    """A stretch of a recording."""

    start_s: float  # from the start of the file, exact to the sample
    end_s: float
    waveform: np.ndarray  # [N] float32 at the rate asked for, full scale 1


def read_windows(
    path: Path, windows: Windows, sample_rate: int, channel: Literal["mix"] | int = "mix"
) -> Iterator[Window]:
    """Decode a recording and cut it; each window is resampled by itself, as a clip of the same stretch would be.

    Args:
        path: the recording.
        windows: how to cut.
        sample_rate: of the windows, Hz.
        channel: `mix` for the mean of the channels, or one of them, counted from 1.

    Raises:
        InputError: the recording cannot be read, has no such channel, is shorter than a frame, or is damaged; then
            after the windows up to the damage.
    """
    try:
        data = path.open("rb", buffering=0)
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}") from error
    with data, opened(data.fileno()) as sound:  # by the descriptor: its position tells how much was decoded
        check_channel(sound, channel)
        rate, damages, end = sound.samplerate, list[InputError](), 0
        for start, samples in cut(_until_damaged(sound, channel, damages), *windows.at(rate)):
            end = start + len(samples)
            waveform = resample(samples, rate, sample_rate)
            if n_frames(len(waveform), sample_rate):
                yield Window(start / rate, end / rate, waveform)
        for damage in damages:
            raise damage
        if problem := cut_short(data, sound.format, end, sound.frames):
            raise InputError(problem)
        if not end:
            raise InputError("holds no samples")
        if not n_frames(len(waveform), sample_rate):
            raise InputError(f"holds {end} samples, {1000 * end / rate:.1f} ms; expected {FRAME_LENGTH_MS} ms or more")


def _until_damaged(
    sound: soundfile.SoundFile, channel: Literal["mix"] | int, damages: list[InputError]
) -> Iterator[np.ndarray]:
    """The samples; where decoding stops they end, and the reason is put into `damages`."""
    try:
        for block in blocks(sound):
            fine = len(block)
            if max(block.max(), -block.min()) > LOUDEST:
                fine = int((np.abs(block) > LOUDEST).any(axis=1).argmax())
            if fine:
                yield mono(block[:fine], channel)
            if fine < len(block):
                raise InputError("samples are so large that energy overflows; full scale is expected to be 1")
    except InputError as error:
        damages.append(error)
