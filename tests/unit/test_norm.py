import numpy as np
import pytest

from helpers import write_store
from tymbal import norm
from tymbal.errors import InputError
from tymbal.norm import NormStats, fit_norm
from tymbal.store import FeatureStore


@pytest.fixture
def store(tmp_path):
    """Makes a store of clips given by name, two in a shard."""
    return lambda **clips: FeatureStore(write_store(tmp_path / "store", clips, shard_clips=2))


def clip(n_frames: int, mean: float, std: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, std, (n_frames, 128)).astype(np.float16)


def test_mean_and_deviation_are_those_of_all_frames_of_the_clips_given(store):
    # Lengths differ, so that averaging the clips' own statistics would be wrong; the sum is far beyond float16.
    kept = store(a=clip(50, -9, 1), test=clip(500, 8, 1), b=clip(5000, -3, 4, seed=1), c=clip(60, -6, 2, seed=2))
    stats = fit_norm(kept, ["c", "a", "b"])
    values = np.concatenate([kept.frames(clip_id) for clip_id in "abc"]).astype(np.float64)
    assert stats.mean == pytest.approx(values.mean(), rel=1e-12)
    assert stats.std == pytest.approx(values.std(), rel=1e-12)
    assert (stats.n_frames, stats.n_clips) == (5110, 3)
    assert stats.state == kept.state.fingerprint


def test_the_size_of_the_pieces_does_not_matter(store, monkeypatch):
    kept = store(a=clip(50, -9, 1), b=clip(90, -3, 4, seed=1))
    whole = fit_norm(kept, ["a", "b"])
    monkeypatch.setattr(norm, "CHUNK", 7)
    pieces = fit_norm(kept, ["a", "b"])
    assert (pieces.mean, pieces.std) == pytest.approx((whole.mean, whole.std), rel=1e-12)


def test_the_split_is_its_clips_in_any_order(store):
    kept = store(a=clip(50, -9, 1), b=clip(60, -3, 4), c=clip(70, -3, 4))
    forward, backward, other = (fit_norm(kept, ids) for ids in (["a", "b"], ["b", "a"], ["a", "c"]))
    assert forward == backward
    assert forward.split != other.split


def test_statistics_survive_their_file(store, tmp_path):
    stats = fit_norm(store(a=clip(50, -9, 1)), ["a"])
    stats.write(tmp_path / "norm.json")
    assert NormStats.read(tmp_path / "norm.json") == stats


def test_no_clips_are_refused(store):
    with pytest.raises(InputError, match="no training clips"):
        fit_norm(store(a=clip(50, -9, 1)), [])


def test_clips_of_silence_are_refused(store):
    silence = np.full((3000, 128), np.log(2.0**-23), dtype=np.float16)
    with pytest.raises(InputError, match=r"all features of the 2 training clips are -15\.9"):
        fit_norm(store(a=silence, b=silence[:777]), ["a", "b"])
