import numpy as np
import pytest

from helpers import write_store
from tymbal import fit_norm as fitting
from tymbal.config.models import Statistics
from tymbal.errors import InputError
from tymbal.fit_norm import fit_norm
from tymbal.norm import NormStats
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
    monkeypatch.setattr(fitting, "CHUNK", 7)
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


ESC50 = Statistics(mean=-6.627, std=5.358)
FITTED = NormStats(mean=-6.5, std=5.7, n_frames=100, n_clips=2, state="s", split="c")


def test_published_statistics_take_the_place_of_the_fitted_ones():
    used = FITTED.replaced("m", ESC50)
    assert (used.mean, used.std) == (-6.627, 5.358)
    assert (used.split, used.state) == (FITTED.split, FITTED.state)  # still of these clips and features
    assert FITTED.replaced("m", "fitted") == FITTED


@pytest.mark.parametrize(
    ("given", "fitted", "told"),
    [
        ((6.627, 5.358), (-6.5, 5.7), "wrong sign"),
        ((4.268, 4.569), (-4.2, 4.6), "wrong sign"),  # AudioSet's: near enough, as deviations go
        ((-30.0, 5.0), (-6.5, 5.7), "another kind of log-mel"),
        ((-2.9, 2.4), (-6.5, 5.7), "another kind of log-mel"),  # decimal logarithms
    ],
)
def test_statistics_that_cannot_be_of_the_clips_are_refused(given, fitted, told):
    stats = NormStats(*fitted, n_frames=100, n_clips=2, state="s", split="c")
    with pytest.raises(InputError, match=told):
        stats.replaced("m", Statistics(mean=given[0], std=given[1]))


def test_all_models_with_wrong_statistics_are_told_at_once():
    with pytest.raises(InputError) as told:
        FITTED.check_published({"a": Statistics(mean=6.627, std=5.358), "b": ESC50, "c": Statistics(mean=-30, std=5)})
    assert str(told.value).splitlines()[:3] == [
        "published statistics that cannot be of the training clips, which have mean -6.5 and std 5.7: 2 problems",
        "  - models.a.norm: mean 6.627, std 5.358: the mean has the wrong sign, it is subtracted",
        "  - models.c.norm: mean -30, std 5: of another kind of log-mel (here natural, of samples in -1 to 1), or of "
        "very different sound",
    ]


def test_statistics_of_audioset_are_for_field_recordings_too():
    quiet = NormStats(-7.4482, 2.4689, n_frames=100, n_clips=2, state="s", split="c")
    assert quiet.replaced("m", Statistics(mean=-4.268, std=4.569)).mean == -4.268


def test_no_clips_are_refused(store):
    with pytest.raises(InputError, match="no training clips"):
        fit_norm(store(a=clip(50, -9, 1)), [])


def test_clips_of_silence_are_refused(store):
    silence = np.full((3000, 128), np.log(2.0**-23), dtype=np.float16)
    with pytest.raises(InputError, match=r"all features of the 2 training clips are -15\.9"):
        fit_norm(store(a=silence, b=silence[:777]), ["a", "b"])
