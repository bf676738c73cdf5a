"""A clip to listen to on a page: cut from its recording, and encoded small."""

import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile

from tymbal.audio import decode
from tymbal.errors import InputError
from tymbal.files import sha256

log = logging.getLogger(__name__)

RATES = (8000, 11025, 12000, 16000)  # Hz; rates that MP3 has, up to what a page needs
LONGEST_S = 30  # a clip may be an hour long, a page has room for some megabytes
PEAK = 0.9  # MP3 decodes to somewhat more than was encoded


class Sound(NamedTuple):
    """A clip's sound as MP3, empty if there is none; and what is to be said of it, empty if nothing."""

    mp3: bytes
    note: str


def clip_sound(clip: Any, roots: Mapping[str, Path], channel: Literal["mix"] | int | None) -> Sound:
    """Cut a clip from its recording. Whatever is in the way is told in the note: a page can do without the sound.

    Args:
        clip: a row of the manifest.
        roots: name of a root -> folder that the clip's path is relative to.
        channel: of the audio, as in `audio.decode`; None for a data set of features, which has no audio.

    Returns:
        One channel at up to 16 kHz, up to 30 s, scaled to the same peak for every clip, so that faint ones are heard;
        how loud clips are cannot be compared.
    """
    if channel is None:
        return Sound(b"", "no audio: the data set is given as features")
    path, name = roots[clip.root] / clip.path, f"{clip.root}: {clip.path}"
    if not path.is_file():
        return _none(f"file not found: {name}")
    rate = next((rate for rate in RATES if rate >= clip.sample_rate), RATES[-1])
    try:
        if sha256(path) != clip.sha256:
            return _none(f"file changed since the manifest was made: {name}")
        samples = decode(path, rate, clip.start_s, min(clip.duration_s, LONGEST_S), channel)
    except InputError as error:
        return _none(f"{name}: {error}")
    except OSError as error:
        return _none(f"{name}: cannot be read: {error.strerror}")
    whole = clip.duration_s <= LONGEST_S
    return Sound(mp3(samples, rate), "" if whole else f"the first {LONGEST_S} s of {clip.duration_s:g} s")


def mp3(samples: np.ndarray, sample_rate: int) -> bytes:
    """Encode one channel [N] as MP3 of good quality, scaled to a peak of 0.9; silence stays silent."""
    peak = np.abs(samples).max()
    scaled = samples * (PEAK / peak) if peak > 0 else samples
    file = io.BytesIO()
    soundfile.write(file, scaled, sample_rate, format="MP3", bitrate_mode="VARIABLE", compression_level=0)
    return file.getvalue()


def _none(why: str) -> Sound:
    log.warning("no audio: %s", why)
    return Sound(b"", f"no audio: {why}")
