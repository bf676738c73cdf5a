"""Decoding: the right samples, of the right channel, at the right rate."""

import numpy as np
import pytest
import soundfile

from tymbal import audio
from tymbal.audio import DamagedError, NotFiniteError, blocks, decode, opened
from tymbal.errors import InputError


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def strongest(samples: np.ndarray, rate: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


def test_channels_are_averaged_or_one_of_them_is_chosen(tmp_path):
    channels = np.array([[0.5, -0.25, 0.125], [0.25, 0.25, -0.5], [0.0, 0.75, 0.0]])
    path = tmp_path / "clip.wav"
    soundfile.write(path, channels.T, 16000, subtype="FLOAT")
    samples = decode(path, 16000)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, channels.mean(axis=0), atol=1e-7)
    for i in range(3):
        np.testing.assert_array_equal(decode(path, 16000, channel=i + 1), channels[i])
    with pytest.raises(InputError, match="has no channel 4, only 3"):
        decode(path, 16000, channel=4)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 250000, 384000])
def test_resampling_keeps_pitch_level_and_length(tmp_path, rate):
    soundfile.write(tmp_path / "clip.wav", tone(1000, rate), rate)
    samples = decode(tmp_path / "clip.wav", 16000)
    assert abs(len(samples) - 16000) <= 1
    assert strongest(samples, 16000) == pytest.approx(1000, abs=1.5)
    assert np.abs(samples[1000:-1000]).max() == pytest.approx(0.5, abs=0.005)


def test_resampling_does_not_fold_high_pitches_down(tmp_path):
    soundfile.write(tmp_path / "clip.wav", tone(11000, 48000), 48000)  # would appear at 5 kHz
    assert np.abs(decode(tmp_path / "clip.wav", 16000)[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_sound_is_the_same_in_blocks_of_any_size(tmp_path, suffix, monkeypatch):
    """A tone after silence: the frames of an MP3 there build on many frames before them."""
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.concatenate([np.zeros(54000), tone(1000, 44100, 0.3), np.zeros(60000)]), 44100)
    whole = decode(path, 44100)
    monkeypatch.setattr(audio, "BLOCK", 1000)
    np.testing.assert_array_equal(decode(path, 44100), whole)
    monkeypatch.setattr(audio, "MP3_BEFORE", 2**14)  # samples, so that there is something before
    for start_s in (1.25, 1.3, 1.4):
        start = round(44100 * start_s)
        np.testing.assert_allclose(decode(path, 44100, start_s, 0.1), whole[start : start + 4410], atol=1e-6)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_stretch_is_what_the_whole_file_has_there(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(audio, "BLOCK", 1000)  # so that stretches go over several blocks
    path = tmp_path / f"clip.{suffix}"
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (3 * 44100, 2))
    soundfile.write(path, noise, 44100)
    whole = decode(path, 44100)
    assert len(whole) == 3 * 44100
    for start, length in ((0, 0.1), (1.5297, 0.1), (1.5, 1.5), (2.9, 0.1)):
        stretch = decode(path, 44100, start, length)
        np.testing.assert_allclose(stretch, whole[round(start * 44100) :][: round(length * 44100)], atol=1e-6)
    np.testing.assert_allclose(decode(path, 44100, 2.5), whole[round(2.5 * 44100) :], atol=1e-6)


def test_places_in_a_long_ogg_are_found_exactly(tmp_path):
    path = tmp_path / "clip.ogg"
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", 44100, 1) as sound:  # in pieces: libsndfile crashes on long ones
        for _ in range(60):
            sound.write(rng.uniform(-0.3, 0.3, 44100))
    whole = decode(path, 44100)
    for start in [*rng.uniform(25, 59, 20), 59.7, 59.9]:
        stretch = decode(path, 44100, start, 0.1)
        np.testing.assert_array_equal(stretch, whole[round(start * 44100) :][: len(stretch)])


@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "GSM610"), ("AU", "G721_32"), ("WAV", "NMS_ADPCM_16"), ("AU", "G723_24")]
)
def test_a_stretch_of_a_file_without_places_to_jump_to(tmp_path, container, subtype):
    path = tmp_path / "clip"
    soundfile.write(path, tone(440, 8000, 3), 8000, format=container, subtype=subtype)
    whole = decode(path, 8000)
    np.testing.assert_array_equal(decode(path, 8000, 1.2, 0.5), whole[9600:13600])
    np.testing.assert_array_equal(decode(path, 8000, 2.5), whole[20000:])


def test_a_stretch_beyond_the_end_is_refused(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(440, 16000), 16000)
    for start, length in ((0.5, 0.6), (1.0, 0.5), (7.0, None)):
        with pytest.raises(InputError, match=r"ends at .* s, within the stretch"):
            decode(path, 16000, start, length)


def test_rounding_of_a_stretch_at_the_end_is_no_error(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros(22050 + 11), 22050)
    # Start and length are each half a sample too late or long: 3.528 + 22057.497 samples.
    assert len(decode(path, 22050, 0.00016, 1.00034)) in (22056, 22057)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
def test_every_wav_decodes(tmp_path, container, subtype):
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(440, 16000), 16000, format=container, subtype=subtype)
    np.testing.assert_allclose(decode(path, 16000), tone(440, 16000), atol=2**-15)


def test_what_is_not_audio_is_refused(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_text("not a recording")
    with pytest.raises(InputError, match="not readable as audio"):
        decode(path, 16000)
    with pytest.raises(InputError, match="is not there"):
        decode(tmp_path / "other.wav", 16000)


def test_a_file_without_samples_is_refused(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros(0), 16000)
    with pytest.raises(InputError, match="holds no samples"):
        decode(path, 16000)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path, bad):
    samples = tone(440, 16000)
    samples[[8000, 9000]] = bad
    soundfile.write(tmp_path / "clip.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(NotFiniteError, match=r"the sample at 0\.5000 s is not a finite number"):
        decode(tmp_path / "clip.wav", 16000)


def test_a_flac_that_stops_within_is_refused(tmp_path):
    path = tmp_path / "clip.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 100000), 16000)
    path.write_bytes(path.read_bytes()[:100000])
    with pytest.raises(DamagedError, match="decoding stops at"):
        decode(path, 16000)


def test_memory_does_not_grow_with_length(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros((100000, 8)), 16000)
    with opened(path) as sound:
        sizes = [block.size for block in blocks(sound)]
    assert sum(sizes) == 800000
    assert max(sizes) <= audio.BLOCK
