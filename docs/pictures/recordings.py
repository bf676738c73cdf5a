"""Synthesised clips put together again as the recordings that a recorder would have written."""

import numpy as np

from tymbal import synth
from tymbal.config.data import SynthSource


def by_recording(settings: SynthSource) -> dict[str, list[synth.Clip]]:
    """Recording, named by site, date and time -> its clips in their order."""
    found: dict[str, list[synth.Clip]] = {}
    for clip in synth.plan(settings):
        found.setdefault(clip.recording, []).append(clip)
    return found


def sound(clips: list[synth.Clip], settings: SynthSource) -> synth.Signal:
    """The clips end to end, [samples]."""
    return np.concatenate([synth.waveform(clip, settings) for clip in clips])
