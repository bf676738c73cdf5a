"""Normalised features of whole clips, as the original's loader makes them."""

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from helpers import golden_file, golden_inputs, needs_shared
from tymbal.fbank import fbank

pytestmark = needs_shared

LENGTH, RATE = 1024, 16000
MEAN, STD = -4.268, 4.569  # of AudioSet


@pytest.mark.parametrize("kind", ["tones", "noise", "clicks"])
def test_features_are_the_originals(kind):
    assert_rows(f"{kind}_16000", torch.from_numpy(waveform(kind, 16000)))


@pytest.mark.parametrize(("kind", "rate"), [("chirp", 32000), ("tones", 44100)])
def test_features_are_the_originals_after_its_resampling(kind, rate):
    """With torchaudio's resampler in place of soxr's, in which alone the two differ."""
    from torchaudio.functional import resample

    case = f"{kind}_{rate}"
    samples = resample(torch.from_numpy(waveform(kind, rate)), rate, RATE)
    golden = golden_file("sslam", "frontend.npz")
    assert len(samples) == golden[f"{case}_resampled_len"]
    np.testing.assert_allclose(samples[:64], golden[f"{case}_resampled_first64"], atol=2e-5)
    assert_rows(case, samples)


def waveform(kind: str, rate: int) -> np.ndarray:
    n = int(golden_file("sslam", "frontend.npz")[f"{kind}_{rate}_n_samples"])
    return golden_inputs().waveform(kind, n, rate, 3)


def assert_rows(case: str, samples: torch.Tensor) -> None:
    golden = golden_file("sslam", "frontend.npz")
    log_mel = fbank(samples, RATE, 128)
    assert len(log_mel) == golden[f"{case}_n_frames"]
    x = (pad(log_mel[:LENGTH], (0, 0, 0, max(0, LENGTH - len(log_mel)))) - MEAN) / (2 * STD)
    np.testing.assert_allclose(x[golden[f"{case}_frames"]], golden[f"{case}_rows"], rtol=0, atol=2e-4)
    np.testing.assert_allclose([x.mean(), x.std(correction=0)], golden[f"{case}_mean_std"], atol=2e-4)
