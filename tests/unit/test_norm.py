import numpy as np
import pytest

from tymbal.config import Frontend
from tymbal.errors import InputError
from tymbal.fbank import FeatureState
from tymbal.norm import NormStats, fit_norm


class Clips:
    """Stands for a feature store."""

    state = FeatureState.of(Frontend())

    def __init__(self, **frames: np.ndarray) -> None:
        self.by_id = frames

    def frames(self, clip_id: str) -> np.ndarray:
        return self.by_id[clip_id]


def clip(n_frames: int, mean: float, std: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, std, (n_frames, 128)).astype(np.float16)


def test_mean_and_deviation_are_those_of_all_frames_of_the_clips_given():
    # Lengths differ, so that averaging the clips' own statistics would be wrong; the sum is far beyond float16.
    store = Clips(a=clip(50, -9, 1), b=clip(5000, -3, 4, seed=1), test=clip(500, 8, 1))
    stats = fit_norm(store, ["a", "b"])
    values = np.concatenate([store.frames("a"), store.frames("b")]).astype(np.float64)
    assert stats.mean == pytest.approx(values.mean(), rel=1e-12)
    assert stats.std == pytest.approx(values.std(), rel=1e-12)
    assert (stats.n_frames, stats.n_clips) == (5050, 2)
    assert stats.state == store.state.fingerprint


def test_the_split_is_its_clips_in_any_order():
    store = Clips(a=clip(50, -9, 1), b=clip(60, -3, 4), c=clip(70, -3, 4))
    forward, backward, other = (fit_norm(store, ids) for ids in (["a", "b"], ["b", "a"], ["a", "c"]))
    assert forward == backward
    assert forward.split != other.split


def test_statistics_survive_their_file(tmp_path):
    stats = fit_norm(Clips(a=clip(50, -9, 1)), ["a"])
    stats.write(tmp_path / "norm.json")
    assert NormStats.read(tmp_path / "norm.json") == stats


def test_no_clips_are_refused():
    with pytest.raises(InputError, match="no training clips"):
        fit_norm(Clips(), [])


def test_clips_of_silence_are_refused():
    silence = np.full((3000, 128), np.log(2.0**-23), dtype=np.float16)
    with pytest.raises(InputError, match=r"all features of the 2 training clips are -15\.9"):
        fit_norm(Clips(a=silence, b=silence[:777]), ["a", "b"])
