import dataclasses
import math

import numpy as np
import pytest
import torch

from helpers import SHARED, golden_file, golden_inputs, needs_shared
from tymbal.audio import decode
from tymbal.config.data import Features
from tymbal.config.models import Frontend
from tymbal.errors import InputError
from tymbal.fbank import empty_filters, fbank, fbank_torchaudio
from tymbal.spectrogram import FeatureState, n_frames

FLOOR = math.log(2**-23)
AUDIOSET, ESC50, SPEECH = (-4.2677393, 4.5689974), (-6.6268077, 5.358466), (-6.845978, 5.5654526)


def noise(n: int, seed: int = 0) -> torch.Tensor:
    return 0.2 * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def assert_same_features(found: torch.Tensor, expected: np.ndarray | torch.Tensor) -> None:
    """Bounds of the reference vectors: near the loudest bin of a frame, any bin, and on average."""
    assert tuple(found.shape) == tuple(expected.shape)
    expected = np.asarray(expected, dtype=np.float64)
    error = np.abs(found.double().numpy() - expected)
    near = expected >= expected.max(axis=-1, keepdims=True) - 14
    assert error[near].max() < 1e-3
    assert error.max() < 3e-2
    assert error.mean() < 2e-4


@needs_shared
@pytest.mark.parametrize("kind", ["chirp", "noise", "tones", "clicks"])
@pytest.mark.parametrize("n", [16000, 80000, 160000])
def test_equals_the_original_front_end(kind, n):
    golden = golden_file("ssast", "fbank.npz")
    found = fbank(torch.from_numpy(golden_inputs().waveform(kind, n)), 16000, 128)
    assert len(found) == golden[f"{kind}_{n}_frames"]
    assert_same_features(found[::8], golden[f"{kind}_{n}_every8"])
    for axis, name in enumerate("tf"):
        error = found.double().sum(dim=axis).numpy() - golden[f"{kind}_{n}_sum_{name}"]
        assert np.abs(error).mean() / found.shape[axis] < 2e-4


def mixed(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """SSAST's mixup of waveforms: mean-free, the second cut or zero-padded to the first."""
    a, b = a - a.mean(), b - b.mean()
    b = np.pad(b[: len(a)], (0, max(0, len(a) - len(b))))
    return (share * a + (1 - share) * b).astype(np.float32)


@needs_shared
@pytest.mark.parametrize(
    ("tag", "length", "stats"),
    [
        ("pad", 1024, AUDIOSET),
        ("cut", 512, ESC50),
        ("short", 128, SPEECH),
        ("stereo", 256, AUDIOSET),
        ("mix_long_a", 256, AUDIOSET),
        ("mix_long_b", 256, AUDIOSET),
    ],
)
def test_equals_the_original_training_sample(tag, length, stats):
    wave = golden_inputs().waveform
    if tag == "stereo":
        channels = np.stack([wave("tones", 32000), wave("noise", 32000, seed=1)])
        samples = (channels - channels.mean())[0]
    else:
        samples = {
            "pad": lambda: wave("chirp", 80000),
            "cut": lambda: wave("tones", 160000),
            "short": lambda: wave("noise", 15000),
            "mix_long_a": lambda: mixed(wave("tones", 48000), wave("noise", 32000), 0.3),
            "mix_long_b": lambda: mixed(wave("tones", 32000), wave("noise", 48000), 0.62),
        }[tag]()
    features = fbank(torch.from_numpy(samples), 16000, 128)[:length]
    padded = torch.nn.functional.pad(features, (0, 0, 0, length - len(features)))
    mean, std = stats
    x = ((padded - mean) / (2 * std)).numpy()

    golden = golden_file("ssast", "frontend.npz")
    error = np.abs(x[::8] - golden[f"{tag}_x_every8"])
    assert error.max() < 5e-3
    assert error.mean() < 5e-5
    assert np.abs(x.sum(axis=1, dtype=np.float64) - golden[f"{tag}_sum_f"]).mean() / 128 < 5e-5


@needs_shared
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_equals_torchaudio_on_recordings(rate):
    paths = sorted((SHARED / "data" / "esc10" / "audio").glob("*.ogg"))
    for path in paths[:: len(paths) // 4]:
        waveform = torch.from_numpy(decode(path, rate))
        assert_same_features(fbank(waveform, rate, 128), fbank_torchaudio(waveform, rate, 128))


@pytest.mark.parametrize("rate", [8000, 11025, 20480, 22050, 32000, 48000, 96000, 192000, 384000])
@pytest.mark.parametrize("n_mels", [40, 128])
def test_equals_torchaudio_at_any_rate(rate, n_mels):
    waveform = noise(rate // 5)
    assert_same_features(fbank(waveform, rate, n_mels), fbank_torchaudio(waveform, rate, n_mels))


@pytest.mark.parametrize("backend", [fbank, fbank_torchaudio])
def test_a_batch_is_its_clips(backend):
    clips = torch.stack([noise(20000, seed) + 0.1 * seed for seed in range(7)])
    together = backend(clips, 16000, 128)
    assert together.shape == (7, n_frames(20000, 16000), 128)
    for clip, features in zip(clips, together, strict=True):
        torch.testing.assert_close(features, backend(clip, 16000, 128), rtol=0, atol=1e-4)


def test_the_clip_is_not_changed():
    clip = noise(16000)
    before = clip.clone()
    fbank(clip, 16000, 128)
    assert torch.equal(clip, before)


@pytest.mark.parametrize("level", [0.0, 0.7])
def test_silence_is_on_the_floor_whatever_its_offset(level):
    assert torch.equal(fbank(torch.full((16000,), level), 16000, 128), torch.full((98, 128), FLOOR))


def test_an_offset_does_not_matter():
    clip = noise(16000)
    torch.testing.assert_close(fbank(clip + 0.5, 16000, 128), fbank(clip, 16000, 128), rtol=0, atol=2e-3)


@pytest.mark.parametrize(("rate", "empty"), [(16000, [3]), (8000, [4, 7, 12, 17]), (22050, [])])
def test_triangles_without_an_fft_point_stay_on_the_floor(rate, empty):
    features = fbank(noise(rate), rate, 128)
    assert (features == features.new_tensor(FLOOR)).all(dim=0).nonzero().flatten().tolist() == empty


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1, 98), (5, 498), (6, 598), (10, 998), (10.24, 1022), (10.255, 1024), (60, 5998)]
)
def test_number_of_frames(seconds, expected):
    n = round(seconds * 16000)
    assert n_frames(n, 16000) == expected
    if seconds < 10:
        assert len(fbank(noise(n), 16000, 128)) == expected


@pytest.mark.parametrize("backend", [fbank, fbank_torchaudio])
def test_a_clip_shorter_than_a_frame_is_refused(backend):
    assert backend(noise(400), 16000, 128).shape == (1, 128)
    assert n_frames(399, 16000) == n_frames(1, 16000) == 0
    with pytest.raises(
        InputError, match=r"399 samples at 16000 Hz are shorter than one frame of 25 ms \(400 samples\)"
    ):
        backend(noise(399), 16000, 128)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same():
    clips = torch.stack([noise(80000, seed) for seed in range(3)])
    assert_same_features(fbank(clips.cuda(), 16000, 128).cpu(), fbank(clips, 16000, 128))


def test_state_survives_json_and_every_field_counts():
    state = FeatureState.of(Frontend(sample_rate=32000, n_mels=64))
    assert (state.high_hz, state.backend, state.log_floor) == (16000, "tymbal", FLOOR)
    assert FeatureState.from_json(state.to_json()) == state
    fingerprints = {state.fingerprint}
    for field in dataclasses.fields(state):
        value = getattr(state, field.name)
        other = value + "x" if isinstance(value, str) else value + 1
        fingerprints.add(dataclasses.replace(state, **{field.name: other}).fingerprint)
    assert len(fingerprints) == 1 + len(dataclasses.fields(state))


@pytest.mark.parametrize(
    ("rate", "empty"), [(8000, (4, 7, 12, 17)), (16000, (3,)), (22050, ()), (32000, ()), (44100, ()), (48000, ())]
)
def test_bins_of_empty_filters_are_always_on_the_floor(rate, empty):
    assert empty_filters(rate, 128) == empty
    features = fbank(noise(rate), rate, 128)
    constant = (features == features[:1]).all(dim=0)
    assert tuple(constant.nonzero().flatten().tolist()) == empty
    assert features[:, constant].numpy() == pytest.approx(FLOOR, abs=1e-5)


def test_imported_features_have_a_state_of_their_own():
    ours, theirs = FeatureState.of(Frontend()), FeatureState.imported(Features())
    assert (theirs.backend, theirs.sample_rate, theirs.n_mels) == ("imported", 16000, 128)
    assert ours.fingerprint != theirs.fingerprint
    assert FeatureState.from_json(theirs.to_json()) == theirs
