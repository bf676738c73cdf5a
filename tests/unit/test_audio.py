import numpy as np
import pytest
import soundfile

from tymbal.audio import AudioInfo, decode, probe
from tymbal.errors import InputError


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def strongest(samples: np.ndarray, rate: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_probe_measures_without_decoding(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, np.stack([tone(440, 44100, 0.5)] * 2, axis=1), 44100)
    assert probe(path) == AudioInfo(sample_rate=44100, channels=2, duration_s=0.5, n_samples=22050)


def test_channels_are_averaged(tmp_path):
    left, right = np.array([0.5, -0.25, 0.125]), np.array([0.25, 0.25, -0.5])
    soundfile.write(tmp_path / "clip.wav", np.stack([left, right], axis=1), 16000, subtype="FLOAT")
    samples = decode((tmp_path / "clip.wav").read_bytes(), 16000)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, (left + right) / 2)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 384000])
def test_resampling_keeps_pitch_level_and_length(tmp_path, rate):
    soundfile.write(tmp_path / "clip.wav", tone(1000, rate), rate)
    samples = decode((tmp_path / "clip.wav").read_bytes(), 16000)
    assert abs(len(samples) - 16000) <= 1
    assert strongest(samples, 16000) == pytest.approx(1000, abs=1.5)
    assert np.abs(samples[1000:-1000]).max() == pytest.approx(0.5, abs=0.005)


def test_resampling_does_not_fold_high_pitches_down(tmp_path):
    soundfile.write(tmp_path / "clip.wav", tone(11000, 48000), 48000)  # would appear at 5 kHz
    assert np.abs(decode((tmp_path / "clip.wav").read_bytes(), 16000)[1000:-1000]).max() < 1e-3


def test_what_is_not_audio_is_refused(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_text("not a recording")
    for read in (probe, lambda path: decode(path.read_bytes(), 16000)):
        with pytest.raises(InputError, match="not readable as audio"):
            read(path)


def test_a_file_without_samples_is_refused(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros(0), 16000)
    for read in (probe, lambda path: decode(path.read_bytes(), 16000)):
        with pytest.raises(InputError, match="no samples"):
            read(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path, bad):
    samples = tone(440, 16000)
    samples[[7, 9]] = bad
    soundfile.write(tmp_path / "clip.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(InputError, match="2 of 16000 samples are not finite"):
        decode((tmp_path / "clip.wav").read_bytes(), 16000)
