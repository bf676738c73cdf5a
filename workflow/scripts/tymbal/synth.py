"""The embedded data set: soundscapes with known tags, synthesised from a seed.

A site has a habitat (which classes are common there) and a background. A recording has a recorder gain, a place
with its reverberation, and residents: a few classes, each one individual that recurs in its clips. A clip mixes one
to four of them; the loudest is the main tag. So clips of one recording resemble each other, and a split that
separates them flatters the model. `synth_sources.py` holds the sounds themselves.

Every draw has its own seed, derived by name: a clip is the same whichever clips are made before it.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from scipy.signal import lfilter, resample_poly

from tymbal.config.data import SynthSource
from tymbal.files import atomic
from tymbal.progress import track
from tymbal.seeds import derive
from tymbal.synth_sources import RATE, RECIPES, Rng, Signal, log_uniform, shaped_noise
from tymbal.tables import write_csv

# How common a class is as a source of sound; the order is the class order of the table.
COMMONNESS = {
    "Cicada": 7.0,
    "Insect": 9.0,
    "Bird": 8.0,
    "Owl": 1.6,
    "Frog": 4.0,
    "Mammal": 1.4,
    "Speech": 1.6,
    "Wind": 4.0,
    "Rain": 3.0,
    "Stream": 3.0,
    "Silence": 0.0,  # no source: see QUIET
    "Aircraft": 2.0,
}
CLASSES = tuple(COMMONNESS)
SILENCE = ("Silence",)  # all tags of a silent clip
MAX_TAGS = 4
QUIET = 8  # one recording in so many is silent for two fifths of its clips
FIRST_DAY = datetime(2024, 3, 1)
PEAK = 0.9  # no sample goes beyond; full scale is 1


@dataclass(frozen=True)
class Clip:
    """What is heard in one clip."""

    site: str
    recording: str  # <SITE>_<YYYYMMDD>_<HHMMSS>
    k: int  # number of the clip in its recording, from 1
    tags: tuple[str, ...]  # the main tag first
    levels_db: tuple[float, ...]  # of each tag above the background, falling; empty for Silence

    @property
    def file_name(self) -> str:
        """Name of the audio file, as real recorders' segments are named."""
        return f"{self.recording}_{self.k}.flac"


def synthesise(settings: SynthSource, table: Path, audio: Path) -> None:
    """Write the data set: 16-bit FLAC files and their tag table.

    Args:
        settings: size, rate and seed; the same settings give the same bytes on one machine.
        table: CSV to write, with columns FileName, Site, MainTag_<class>... and SubTag_<class>... of 1 and 0.
        audio: folder to write the clips into; one already there is replaced.
    """
    clips = plan(settings)
    with atomic(audio) as folder:
        folder.mkdir()
        for clip in track(clips, "synthesise", "clips"):
            path = folder / clip.file_name
            soundfile.write(path, waveform(clip, settings), settings.sample_rate, subtype="PCM_16")
    write_csv(tag_table(clips), table)


def plan(settings: SynthSource) -> list[Clip]:
    """Decide what is heard in every clip, before any sound is made."""
    clips = []
    per_recording = settings.clips_per_recording
    quiet = _rng(settings, "quiet").permutation(settings.recordings)[: math.ceil(settings.recordings / QUIET)]
    for i, lead in enumerate(_leads(settings)):
        site = f"SITE{i % settings.sites + 1:02d}"
        rng = _rng(settings, "recording", i)
        start = FIRST_DAY + timedelta(days=i // settings.sites, minutes=int(rng.integers(24 * 60)))
        recording = f"{site}_{start:%Y%m%d_%H%M%S}"
        habitat = _habitat(settings, site)
        residents = [lead, *_pick(rng, habitat, int(rng.integers(1, MAX_TAGS)), without={lead})]
        silent = rng.permutation(per_recording)[: math.ceil(0.4 * per_recording)] if i in quiet else ()
        for k in range(1, per_recording + 1):
            if k - 1 in silent:
                clips.append(Clip(site, recording, k, SILENCE, ()))
                continue
            rng = _rng(settings, "tags", recording, k)
            tags = _tags(rng, habitat, residents)
            clips.append(Clip(site, recording, k, tags, _levels(rng, len(tags))))
    return clips


def tag_table(clips: list[Clip]) -> pd.DataFrame:
    """The clips' tags, one row a clip, in the wide form with main and sub tags."""
    rows = [
        {"FileName": clip.file_name, "Site": clip.site}
        | {f"MainTag_{name}": int(name == clip.tags[0]) for name in CLASSES}
        | {f"SubTag_{name}": int(name in clip.tags[1:]) for name in CLASSES}
        for clip in clips
    ]
    return pd.DataFrame(rows)


def waveform(clip: Clip, settings: SynthSource) -> Signal:
    """The clip as its recorder wrote it: stems and background at the recorder's gain, [samples] within +-PEAK."""
    stems, background = layers(clip, settings)
    gain_db = _rng(settings, "gain", clip.recording).uniform(-62, -42)  # of the background, re full scale
    mix = 10 ** (gain_db / 20) * (background + sum(stems, np.zeros_like(background)))
    if settings.sample_rate != RATE:
        mix = resample_poly(mix, settings.sample_rate, RATE)
    return np.asarray(mix * min(1.0, PEAK / np.abs(mix).max()))


def layers(clip: Clip, settings: SynthSource) -> tuple[list[Signal], Signal]:
    """Everything that is mixed into a clip, at `RATE`.

    Returns:
        One stem a tag, in the order of `clip.tags` (none for Silence), and the background; each [samples], in
        units of the ambience's loudness.
    """
    n = round(settings.clip_s * RATE)
    if clip.tags == SILENCE:
        return [], _background(clip, settings, n)
    path, f = _path(clip, settings, n), np.fft.rfftfreq(n, 1 / RATE)
    stems: list[Signal] = []
    for tag, level_db in zip(clip.tags, clip.levels_db, strict=True):
        who = _rng(settings, "individual", clip.recording, tag)
        when = _rng(settings, "clip", clip.recording, clip.k, tag)
        sound = RECIPES[tag](who, when, n)
        air = np.exp(-log_uniform(who, 0.06, 2.3) * (f / 8000) ** 1.5)  # 0.5 to 20 dB lost on the way at 8 kHz
        stem = np.fft.irfft(np.fft.rfft(sound) * path * air, n)
        stems.append(10 ** (level_db / 20) * stem / loudness(stem))
    return stems, _background(clip, settings, n)


def loudness(x: Signal) -> float:
    """RMS of the loudest half second, below 300 Hz counted less, as ears do; brief calls are not averaged away."""
    heard = lfilter([1.0, -1.0], [1.0, -0.94], x)
    energy = np.cumsum(np.square(heard))
    window = min(len(x) - 1, RATE // 2)
    return float(np.sqrt(np.max(energy[window:] - energy[:-window]) / window))


# --- who is heard -----------------------------------------------------------------------------------------


def _rng(settings: SynthSource, *names: str | int) -> Rng:
    return np.random.default_rng(derive(settings.seed, "synth", *names))


def _leads(settings: SynthSource) -> list[str]:
    """The first resident of each recording, dealt so that even rare classes occur in a fair share of recordings."""
    share = np.cumsum(np.sqrt(list(COMMONNESS.values())))
    steps = (np.arange(settings.recordings) + 0.5) / settings.recordings
    dealt = np.searchsorted(share / share[-1], steps)
    return [CLASSES[c] for c in _rng(settings, "leads").permutation(dealt)]


def _habitat(settings: SynthSource, site: str) -> dict[str, float]:
    """How common each class is at a site."""
    factors = _rng(settings, "habitat", site).lognormal(0, 0.7, len(CLASSES))
    return {name: common * factor for (name, common), factor in zip(COMMONNESS.items(), factors, strict=True)}


def _pick(rng: Rng, weights: dict[str, float], count: int, without: set[str]) -> list[str]:
    """Draw `count` different classes by weight."""
    names = [name for name in weights if name not in without]
    p = np.array([weights[name] for name in names])
    return [str(name) for name in rng.choice(names, count, replace=False, p=p / p.sum())]


def _tags(rng: Rng, habitat: dict[str, float], residents: list[str]) -> tuple[str, ...]:
    """Some residents, the main one first, and now and then a visitor."""
    count = min(len(residents), int(rng.choice([1, 2, 3, 4], p=[0.4, 0.35, 0.18, 0.07])))
    tags = _pick(rng, {name: np.sqrt(habitat[name]) for name in residents}, count, without=set())
    if len(tags) < MAX_TAGS and rng.random() < 0.15:
        tags += _pick(rng, habitat, 1, without=set(residents))
    return tuple(tags)


def _levels(rng: Rng, count: int) -> tuple[float, ...]:
    """The main tag above the background, the others 6 to 20 dB below the main tag."""
    main = rng.uniform(12, 34)
    return main, *(main - np.sort(rng.triangular(6, 8, 20, count - 1))).tolist()


# --- how it is recorded -----------------------------------------------------------------------------------


def _path(clip: Clip, settings: SynthSource, n: int) -> NDArray[np.complex128]:
    """Response from source to file, [n // 2 + 1]: the site's microphone and the recording's reverberation.

    Reverberation is decaying noise, applied circularly: the clip's end stands for what went before its start.
    """
    f = np.fft.rfftfreq(n, 1 / RATE)
    microphone = _rng(settings, "microphone", clip.site)
    tilt_db, corner = microphone.uniform(-2, 2), log_uniform(microphone, 20, 150)  # dB an octave; Hz
    colour = 10 ** (tilt_db * np.log2(np.maximum(f, 20) / 1000) / 20) / (1 + (corner / np.maximum(f, 1)) ** 2)
    place = _rng(settings, "place", clip.recording)
    decay_s, wet_db = log_uniform(place, 0.15, 0.8), place.uniform(-24, -9)
    t = np.arange(min(n, RATE)) / RATE
    tail = place.standard_normal(len(t)) * np.exp(-3 * np.log(10) * t / decay_s)
    impulse = 10 ** (wet_db / 20) * tail / np.sqrt(np.sum(tail**2))
    impulse[0] += 1
    return np.asarray(colour * np.fft.rfft(impulse, n))


def _background(clip: Clip, settings: SynthSource, n: int) -> Signal:
    """The recorder's self-noise over the site's ambience; in Silence the self-noise alone, [n]."""
    site, place = _rng(settings, "ambience", clip.site), _rng(settings, "background", clip.recording)
    slope, hump = site.uniform(0.4, 1.0), log_uniform(site, 300, 6000)
    slope, hump = slope + place.uniform(-0.15, 0.15), hump * log_uniform(place, 0.8, 1.25)
    hump_db, self_db = place.uniform(0, 10), place.uniform(-12, -3)
    rng = _rng(settings, "noise", clip.recording, clip.k)
    self_noise = shaped_noise(rng, n, lambda f: 1 + 100 / np.maximum(f, 20))
    self_noise *= 10 ** (self_db / 20) / loudness(self_noise)
    if clip.tags == SILENCE:
        return self_noise

    def spectrum(f: Signal) -> Signal:
        octaves = np.log2(np.maximum(f, 20) / hump)
        return (np.maximum(f, 20) / 1000) ** -slope * 10 ** (hump_db / 20 * np.exp(-0.5 * octaves**2))

    ambience = shaped_noise(rng, n, spectrum)
    return self_noise + ambience / loudness(ambience)
