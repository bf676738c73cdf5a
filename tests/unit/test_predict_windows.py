"""Windows of a recording: every sample, at the right place, however it comes."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from small_prediction import recording
from tymbal import audio
from tymbal.audio import decode
from tymbal.errors import InputError
from tymbal.predict.stream import read_windows
from tymbal.predict.windows import Windows, cut


@given(st.data(), st.lists(st.integers(0, 30), max_size=8), st.integers(1, 20))
def test_windows_are_whole_and_hold_every_sample(data, lengths, size):
    hop = data.draw(st.integers(1, size))
    whole = np.arange(sum(lengths))
    parts = np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
    found = list(cut(parts, size, hop))
    for start, samples in found:
        np.testing.assert_array_equal(samples, whole[start : start + size])
        assert len(samples) == min(size, len(whole))
    starts = [start for start, _ in found]
    assert starts[:-1] == [i * hop for i in range(len(starts) - 1)]
    assert starts == sorted(set(starts))
    assert set(whole) == {int(value) for _, samples in found for value in samples}
    assert all(b - a <= hop for a, b in pairwise(starts))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 250000])
def test_a_tone_at_a_known_time_is_found_there(tmp_path, rate, monkeypatch):
    """It begins at one sample of a file, which is where every window that holds it has it."""
    monkeypatch.setattr(audio, "BLOCK", 30011)
    begin = round(1.2345678 * rate)
    whole = np.zeros(round(2.9 * rate), dtype=np.float32)
    whole[begin:] = 0.5
    soundfile.write(tmp_path / "tone.wav", whole, rate, subtype="FLOAT")
    windows = Windows(0.37, 0.6)
    found = 0
    for start_s, end_s, waveform in read_windows(tmp_path / "tone.wav", windows, rate):
        start = round(start_s * rate)
        assert start / rate == start_s
        assert round(end_s * rate) - start == len(waveform) == windows.at(rate)[0]
        if start <= begin < start + len(waveform):
            assert start + np.flatnonzero(waveform)[0] == begin
            found += 1
    assert found >= 2
    for start_s, _, waveform in read_windows(tmp_path / "tone.wav", windows, 16000):
        # Half of the step, at the middle of the resampler's symmetric filter, is where it was.
        place = (begin - 0.5) / rate - start_s
        if 0.02 < place < 0.35:
            after = int(np.flatnonzero(waveform > 0.25)[0])
            crossing = after - (waveform[after] - 0.25) / (waveform[after] - waveform[after - 1])
            assert crossing / 16000 == pytest.approx(place, abs=0.5 / rate)


@pytest.mark.parametrize("name", ["clip.wav", "clip.flac", "clip.ogg", "clip.mp3"])
def test_a_window_is_what_is_decoded_there(tmp_path, name, monkeypatch):
    path = tmp_path / name
    soundfile.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, (100001, 2)), 44100)
    found = list(read_windows(path, Windows(0.5, 0.25), 16000, channel=2))
    assert found[-1].end_s == pytest.approx(100001 / 44100)
    for start_s, end_s, waveform in found:
        np.testing.assert_allclose(waveform, decode(path, 16000, start_s, end_s - start_s, 2), atol=1e-6)


def read(path) -> tuple[list[float], str]:
    """Ends of the windows, and what is wrong."""
    ends = []
    try:
        for window in read_windows(path, Windows(0.1, 0.0), 16000):
            ends.append(window.end_s)
    except InputError as error:
        return ends, str(error)
    return ends, ""


@pytest.mark.parametrize("block", [2**18, 4096, 1000])  # the second ends where frames of a FLAC end
def test_windows_up_to_the_damage_are_kept(tmp_path, monkeypatch, block):
    monkeypatch.setattr(audio, "BLOCK", block)
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.05, 5 * 16000), 16000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 24 // 50])
    ends, problem = read(path)
    assert problem == "decoding stops at 2.304 s (Error : flac decoder lost sync.)"
    assert ends == pytest.approx([*(0.1 * np.arange(1, 24)), 2.304])

    for value, told in ((np.nan, "the sample at 0.8125 s is not a finite number"), (1e30, "energy overflows")):
        whole = recording(tmp_path / "sound.wav", 2.0)
        whole[13000] = value
        soundfile.write(tmp_path / "sound.wav", whole, 16000, subtype="FLOAT")
        ends, problem = read(tmp_path / "sound.wav")
        assert told in problem
        assert ends == pytest.approx([*(0.1 * np.arange(1, 9)), 0.8125])

    recording(tmp_path / "short.wav", 1.0)
    (tmp_path / "short.wav").write_bytes((tmp_path / "short.wav").read_bytes()[:-3200])
    ends, problem = read(tmp_path / "short.wav")
    assert ends[-1] == pytest.approx(0.9)
    assert problem == "truncated files: 3200 bytes of samples are missing at its end"


def test_what_cannot_be_predicted_says_why(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "click.wav", np.zeros(1099), 44100)
    soundfile.write(tmp_path / "mono.wav", np.zeros(16000), 16000)
    (tmp_path / "nothing.wav").touch()
    (tmp_path / "text.wav").write_text("no sound")
    cases = {
        "empty.wav": "holds no samples",
        "click.wav": "holds 1099 samples, 24.9 ms; expected 25 ms or more",
        "nothing.wav": "not readable as audio",
        "text.wav": "not readable as audio",
        "lost.wav": "cannot be opened: No such file or directory",
        ".": "cannot be opened: Is a directory",
    }
    for name, told in cases.items():
        ends, problem = read(tmp_path / name)
        assert not ends
        assert told in problem
    for place, told in ((0, "the sample at 0.0000 s is not"), (300, "the sample at 0.0187 s is not")):
        whole = recording(tmp_path / "sound.wav", 2.0)
        whole[place] = np.nan
        soundfile.write(tmp_path / "sound.wav", whole, 16000, subtype="FLOAT")
        ends, problem = read(tmp_path / "sound.wav")
        assert not ends
        assert told in problem  # not that there is little sound
    with pytest.raises(InputError, match="has no channel 2, only 1"):
        list(read_windows(tmp_path / "mono.wav", Windows(0.1, 0.0), 16000, channel=2))


def test_what_is_as_short_as_a_frame_is_one_window(tmp_path):
    soundfile.write(tmp_path / "frame.wav", np.zeros(1103), 44100)
    [window] = read_windows(tmp_path / "frame.wav", Windows(0.1, 0.5), 16000)
    assert (window.start_s, len(window.waveform)) == (0, 400)
    assert window.end_s == 1103 / 44100
