"""Clips to listen to: the right stretch, encoded so that it can be heard; and what is said where there is none."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tymbal.evaluate.sounds import LONGEST_S, clip_sound, mp3
from tymbal.files import sha256

RATE = 16000


def tone(hertz: float, seconds: float, rate: int = RATE, gain: float = 0.01) -> np.ndarray:
    return gain * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def pitch(encoded: bytes) -> float:
    """The strongest frequency, Hz."""
    samples, rate = soundfile.read(io.BytesIO(encoded))
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


@pytest.fixture
def recording(tmp_path):
    """A recording of two seconds, in which the pitch changes every half second, and its last clip's row."""

    def write(rate: int = RATE, channels: int = 1):
        path = tmp_path / "day" / "site.wav"
        path.parent.mkdir(exist_ok=True)
        samples = np.concatenate([tone(hertz, 0.5, rate) for hertz in (400, 800, 1600, 3200)])
        soundfile.write(path, np.stack([samples, *[0 * samples] * (channels - 1)], axis=1), rate)
        clip = {"root": "field", "path": "day/site.wav", "start_s": 1.5, "duration_s": 0.5, "sample_rate": rate}
        return SimpleNamespace(**clip, sha256=sha256(path))

    return write


def hear(clip, tmp_path, channel="mix"):
    return clip_sound(clip, {"field": tmp_path}, channel)


def test_the_stretch_of_the_clip_is_cut(recording, tmp_path):
    sound = hear(recording(), tmp_path)
    samples, rate = soundfile.read(io.BytesIO(sound.mp3))
    assert (rate, samples.ndim, sound.note) == (RATE, 1, "")
    assert len(samples) / rate == pytest.approx(0.5, abs=0.1)
    assert pitch(sound.mp3) == pytest.approx(3200, abs=10)


@pytest.mark.parametrize(("rate", "heard"), [(8000, 8000), (10000, 11025), (44100, 16000), (384000, 16000)])
def test_rates_that_mp3_has_and_no_more_than_needed(recording, tmp_path, rate, heard):
    sound = hear(recording(rate), tmp_path)
    assert soundfile.info(io.BytesIO(sound.mp3)).samplerate == heard
    assert pitch(sound.mp3) == pytest.approx(3200, abs=10)


def test_the_channel_that_the_model_hears(recording, tmp_path):
    clip = recording(channels=2)
    samples, _ = soundfile.read(io.BytesIO(hear(clip, tmp_path, channel=2).mp3))
    assert not samples.any()
    assert pitch(hear(clip, tmp_path, channel=1).mp3) == pytest.approx(3200, abs=10)


@pytest.mark.parametrize("gain", [1e-4, 0.9, 50.0])
def test_faint_and_loud_clips_are_heard_alike(gain):
    samples, _ = soundfile.read(io.BytesIO(mp3(tone(1000, 1, gain=gain), RATE)))
    assert np.abs(samples).max() == pytest.approx(0.9, abs=0.05)


def test_silence_stays_silent():
    samples, _ = soundfile.read(io.BytesIO(mp3(np.zeros(RATE), RATE)))
    assert not samples.any()


def test_size_leaves_room_on_a_page():
    noise = np.random.default_rng(0).standard_normal(6 * RATE)
    assert len(mp3(noise, RATE)) < 50_000


def test_long_clips_are_cut_and_that_is_said(tmp_path):
    soundfile.write(tmp_path / "long.wav", tone(500, LONGEST_S + 5), RATE)
    clip = {"root": "field", "path": "long.wav", "start_s": 0.0, "duration_s": LONGEST_S + 5.0, "sample_rate": RATE}
    sound = hear(SimpleNamespace(**clip, sha256=sha256(tmp_path / "long.wav")), tmp_path)
    assert soundfile.info(io.BytesIO(sound.mp3)).duration == pytest.approx(LONGEST_S, abs=0.2)
    assert sound.note == "the first 30 s of 35 s"


def test_without_audio_the_reason_is_told(recording, tmp_path, caplog):
    clip = recording()
    path = tmp_path / clip.path
    assert hear(clip, tmp_path, channel=None) == (b"", "no audio: the data set is given as features")
    path.write_bytes(path.read_bytes() + b"more")
    assert hear(clip, tmp_path) == (b"", "no audio: file changed since the manifest was made: field: day/site.wav")
    path.write_text("<html>")
    clip.sha256 = sha256(path)
    assert hear(clip, tmp_path).note.startswith("no audio: field: day/site.wav: not readable as audio")
    path.unlink()
    assert hear(clip, tmp_path) == (b"", "no audio: file not found: field: day/site.wav")
    assert "file not found: field: day/site.wav" in caplog.text


def test_a_file_that_may_not_be_read_does_not_stop_the_report(recording, tmp_path, monkeypatch):
    clip = recording()

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tymbal.evaluate.sounds.sha256", refuse)
    assert hear(clip, tmp_path) == (b"", "no audio: field: day/site.wav: cannot be read: Permission denied")
