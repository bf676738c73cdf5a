"""Audio files: opening and decoding. Whatever is wrong with a file is an InputError that says so without its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

from tymbal.errors import InputError

BLOCK = 2**18  # values decoded at a time
# libsndfile 1.2 finds places in OGG Vorbis inexactly: the first samples after a jump may be wrong, and all in the last
# page. So the jump goes further back than a page can hold, and what comes before the place is decoded and left out.
OGG_BEFORE = 2**20  # samples; a page has at most 255 packets of 4096
# Frames of an MP3 build on bytes of those before them, at most 511, which a jump leaves out.
MP3_BEFORE = 2**16


class DamagedError(InputError):
    """Decoding stops before the end."""


class NotFiniteError(InputError):
    """Samples that are infinite or not numbers."""


class _Sound(soundfile.SoundFile):
    """An open file whose blocks are read one after another.

    soundfile jumps after each block, to where it is, unless it cannot jump in the file. An MP3 decoder then lacks what
    the next frames build on, and the block after it begins with wrong samples; and before a damaged place in a FLAC the
    jump fails, and the block is lost.
    """

    def seekable(self) -> bool:
        return False


@contextmanager
def opened(file: Path | int) -> Iterator[soundfile.SoundFile]:
    """Open an audio file, by path or as a descriptor that stays open; libsndfile knows the format by the content.

    Raises:
        InputError: not there, or not audio that libsndfile reads.
    """
    try:
        sound = _Sound(file, closefd=False)
    except soundfile.LibsndfileError as error:
        if isinstance(file, Path) and not file.is_file():
            raise InputError("is not there") from error
        raise InputError(f"not readable as audio: {error.error_string}") from error
    with sound:
        yield sound


def blocks(sound: soundfile.SoundFile, n_samples: int | None = None, start: int = 0) -> Iterator[np.ndarray]:
    """Decode from the present position on, in blocks, so that memory does not grow with length.

    Args:
        sound: an open file.
        n_samples: of each channel, at most; None for all.
        start: the present position, for what errors tell.

    Yields:
        [n, channels] float32; full scale is 1. What can be decoded before an error comes before it.

    Raises:
        DamagedError: the data cannot be decoded up to the end.
        NotFiniteError: there are samples that are not finite.
    """
    size, rate, done = max(1, BLOCK // sound.channels), sound.samplerate, 0
    while n_samples is None or done < n_samples:
        wanted = size if n_samples is None else min(size, n_samples - done)
        block = np.full((wanted, sound.channels), np.nan, dtype=np.float32)  # where nothing is decoded it stays so
        damage = None
        try:
            block = sound.read(out=block)
        except soundfile.LibsndfileError as error:
            damage = error
        finite = np.isfinite(block)
        n = len(block) if finite.all() else int(finite.all(axis=1).argmin())
        if n:
            yield block[:n]
        done += n
        if damage is not None:
            told = f" ({damage.error_string})" if damage.error_string else ""
            raise DamagedError(f"decoding stops at {(start + done) / rate:.3f} s{told}") from damage
        if n < len(block):
            raise NotFiniteError(f"the sample at {(start + done) / rate:.4f} s is not a finite number")
        if not n:
            return


def decode(
    path: Path,
    sample_rate: int,
    start_s: float = 0.0,
    duration_s: float | None = None,
    channel: Literal["mix"] | int = "mix",
) -> np.ndarray:
    """Decode a stretch of an audio file to one channel at the wanted rate.

    Args:
        path: the file.
        sample_rate: wanted rate, Hz.
        start_s: of the stretch, from the start of the file.
        duration_s: of the stretch; None for the rest of the file.
        channel: `mix` for the mean of the channels, or one of them, counted from 1.

    Returns:
        [N] float32; full scale is 1.

    Raises:
        InputError: not audio that libsndfile reads, no such channel, the file ends before the stretch does or has no
            samples in it, or samples are not finite.
    """
    with opened(path) as sound:
        rate = sound.samplerate
        check_channel(sound, channel)
        start = round(start_s * rate)
        wanted = None if duration_s is None else round(duration_s * rate)
        parts = []
        if start < sound.frames:
            _jump(sound, start)
            parts = [mono(block, channel) for block in blocks(sound, wanted, start)]
    samples = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    if len(samples) == 0 and start == 0:
        raise InputError("holds no samples")
    # Start and length are rounded one by one, so the last clip of a file may be one sample short.
    if len(samples) < max(1, (wanted or 0) - 1):
        raise InputError(f"ends at {(start + len(samples)) / rate:.3f} s, within the stretch to be read")
    return resample(samples, rate, sample_rate)


def check_channel(sound: soundfile.SoundFile, channel: Literal["mix"] | int) -> None:
    """Refuse a channel that a file does not have.

    Raises:
        InputError: which there are.
    """
    if channel != "mix" and channel > sound.channels:
        raise InputError(f"has no channel {channel}, only {sound.channels}")


def resample(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Bring a whole clip, [N] float32, from its rate to the wanted one.

    Every later step takes the rate for granted, so this is the one place where audio is resampled.
    """
    return samples if rate == sample_rate else soxr.resample(samples, rate, sample_rate, quality="HQ")


def mono(block: np.ndarray, channel: Literal["mix"] | int) -> np.ndarray:
    """[n, channels] to [n]: the mean of the channels, or one of them."""
    if channel != "mix":
        return block[:, channel - 1].copy()
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)


def _jump(sound: soundfile.SoundFile, start: int) -> None:
    place = max(0, start - {"OGG": OGG_BEFORE, "MP3": MP3_BEFORE}.get(sound.format, 0))
    if not soundfile.SoundFile.seekable(sound):  # as GSM 6.10 and G.721
        place = 0
    if place:
        sound.seek(place)
    for _ in blocks(sound, start - place, place):
        pass
