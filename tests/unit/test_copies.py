"""Near copies: the same sound altered is found, other sounds are not, however alike their spectra."""

import numpy as np
import soundfile
import torch

from helpers import SHARED, needs_shared
from tymbal.copies import Copies, correlation, pool
from tymbal.fbank import fbank

RATE = 16000


def log_mel(waveform: np.ndarray) -> np.ndarray:
    return fbank(torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32)), RATE, 64).half().numpy()


def rain(seed: int, seconds: float = 3.0) -> np.ndarray:
    """Steady coloured noise: every clip has the same spectrum, none is a copy."""
    noise = np.random.default_rng(seed).standard_normal(int(seconds * RATE))
    return 0.1 * np.convolve(noise, np.hanning(8), mode="same")


def song(seed: int, seconds: float = 3.0) -> np.ndarray:
    """A dozen short notes, here and there, on faint rain."""
    rng = np.random.default_rng(seed)
    sound = 0.02 * rain(seed, seconds)
    for start in rng.uniform(0, seconds - 0.2, 12):
        t = np.arange(int(0.15 * RATE)) / RATE
        first = int(start * RATE)
        sound[first : first + len(t)] += 0.2 * np.hanning(len(t)) * np.sin(2 * np.pi * rng.uniform(500, 6000) * t)
    return sound


def find(held_out: dict[str, np.ndarray], train: dict[str, np.ndarray]):
    features = {name: log_mel(sound) for name, sound in {**held_out, **train}.items()}
    copies = Copies(list(features), features.__getitem__)
    return copies.find(np.arange(len(held_out)), np.arange(len(held_out), len(features)))


def test_altered_copies_are_found_among_alike_sounds():
    songs = {f"song{i}": song(i) for i in range(8)} | {f"rain{i}": rain(50 + i) for i in range(20)}
    altered = {
        "louder": 3 * song(0),
        "cut": song(1)[RATE // 5 :],
        "noisy": song(2) + 0.0005 * np.random.default_rng(9).standard_normal(3 * RATE),
        "other song": song(77),
        "other rain": rain(88),
        "quiet rain": 0.3 * rain(51),
    }
    found = find(altered, songs)
    expected = {"louder": "song0", "cut": "song1", "noisy": "song2", "quiet rain": "rain1"}
    assert {clip: of for clip, of, *_ in found} == expected
    assert [row[3] for row in found] == sorted((row[3] for row in found), reverse=True)
    assert all(0.9 <= value <= 1 for _, _, *values in found for value in values)


def test_steady_sounds_have_equal_spectra_but_are_no_copies():
    clips = {f"r{i}": log_mel(rain(i)) for i in range(30)} | {f"s{i}": log_mel(song(i)) for i in range(30)}
    pooled = pool(list(clips), clips.__getitem__)
    cosine = (pooled[:30] @ pooled[:30].T).fill_diagonal_(0)
    assert cosine.max() > 0.95  # why the frames must be asked as well
    assert correlation(clips["r0"], clips["r1"]) < 0.3


def test_digital_silence_is_no_copy_of_itself():
    silence = np.full((98, 64), -15.94, dtype=np.float16)
    assert correlation(silence, silence) == 0
    clips = {"a": silence, "b": silence, "c": log_mel(song(1)), "d": log_mel(song(2))}
    assert Copies(list(clips), clips.__getitem__).find(np.array([0, 2]), np.array([1, 3])) == []


def test_clips_far_apart_in_the_list_are_compared(monkeypatch):
    """In chunks of two, the copies of both ends are found."""
    monkeypatch.setattr("tymbal.copies.CELLS", 10)
    found = find({f"copy{i}": 0.5 * song(i) for i in range(5)}, {f"song{i}": song(i) for i in range(5)})
    assert sorted((clip, of) for clip, of, *_ in found) == [(f"copy{i}", f"song{i}") for i in range(5)]


def test_fewer_training_clips_than_are_compared():
    clips = {"copy": log_mel(song(1)), "song": log_mel(0.5 * song(1)), "rain": log_mel(rain(1))}
    (pair,) = Copies(list(clips), clips.__getitem__).find(np.array([0]), np.array([1]))
    assert pair[:2] == ("copy", "song")


@needs_shared
def test_real_clips_of_different_recordings_are_no_copies():
    """Of 80 real clips only those that were altered here are found."""
    files = sorted((SHARED / "data" / "esc10" / "audio").glob("*.ogg"))[::5]
    sounds = {}
    for file in files:
        waveform, rate = soundfile.read(file, dtype="float32", always_2d=True)
        sounds[file.name] = torch.from_numpy(waveform.mean(axis=1)), rate
    clips = {name: fbank(sound, rate, 64).half().numpy() for name, (sound, rate) in sounds.items()}
    chosen = list(clips)[::8]
    for name in chosen:
        sound, rate = sounds[name]
        clips[f"louder {name}"] = fbank(0.3 * sound, rate, 64).half().numpy()
    found = Copies(list(clips), clips.__getitem__).find(np.arange(80, 90), np.arange(80))
    assert sorted(of for _, of, *_ in found) == sorted(chosen)
    half = Copies(list(clips), clips.__getitem__).find(np.arange(0, 80, 2), np.arange(1, 80, 2))
    assert all(clip.split("-")[1] == of.split("-")[1] for clip, of, *_ in half)  # one source, cut several times
