"""Calibration: found again where it was planted, tame where clips are few; reliability as scikit-learn has it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import expit, softmax
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from tymbal.errors import InputError
from tymbal.evaluate.bootstrap import Draws, draw_groups
from tymbal.evaluate.calibration import (
    SLOPES,
    Calibration,
    fit_calibration,
    read_calibration,
    reliability,
    write_calibration,
)

N, C = 2000, 4
SCORES = st.sampled_from(np.array([0, 1e-30, 0.001, 0.3, 0.5, 0.7, 0.999, 1], np.float32))


def all_of(targets: np.ndarray) -> np.ndarray:
    return np.ones(targets.shape, dtype=bool)


def planted(seed: int, slope: float, intercept: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose logits, moved so, are those of the truth."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (N, C))
    return expit(logits).astype(np.float32), rng.random((N, C)) < expit(slope * logits + intercept)


def one_of(labels: np.ndarray) -> np.ndarray:
    return np.eye(C, dtype=bool)[labels]


@pytest.mark.parametrize("temperature", [0.5, 1, 3])
def test_a_planted_temperature_is_found(temperature):
    scores, targets = planted(0, 1 / temperature, 0)
    found = fit_calibration("temperature", "bce", scores, targets, all_of(targets))
    assert found.temperature == pytest.approx(temperature, rel=0.07)
    assert (found.slope, found.intercept, found.n_clips) == (None, None, N)
    assert found.ece_after < 0.02
    assert found.ece_after < found.ece_before or temperature == 1


@pytest.mark.parametrize("temperature", [0.5, 1, 3, 10])
def test_a_planted_temperature_of_a_softmax_is_found(temperature):
    """Of a model that is ten times too sure, most scores are below what float32 tells from 1."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, max(2, 2 * temperature), (N, C))
    truth = softmax(logits / temperature, axis=1)
    targets = one_of((truth.cumsum(axis=1) < rng.random((N, 1))).sum(axis=1).clip(max=C - 1))
    found = fit_calibration("temperature", "ce", softmax(logits, axis=1).astype(np.float32), targets, all_of(targets))
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    probabilities = found.apply(softmax(logits, axis=1).astype(np.float32))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert found.brier_after <= found.brier_before + 1e-3


def test_scores_near_0_keep_what_they_tell():
    """Of a model that is ten times too sure; what float32 calls 1 tells no more."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-20, 20, (N, C))
    scores, targets = expit(logits).astype(np.float32), rng.random((N, C)) < expit(logits / 10)
    found = fit_calibration("temperature", "bce", scores, targets, all_of(targets))
    assert found.temperature == pytest.approx(10, rel=0.1)
    assert found.ece_after < 0.02


def test_platt_equals_a_logistic_regression_of_the_logits():
    scores, targets = planted(1, 0.6, -1)
    found = fit_calibration("platt", "bce", scores, targets, all_of(targets))
    logits = np.log(scores / (1 - scores.astype(np.float64))).reshape(-1, 1)
    expected = LogisticRegression(C=np.inf).fit(logits, targets.ravel())
    assert found.temperature is None
    assert found.slope == pytest.approx(expected.coef_.item(), rel=2e-3)
    assert found.intercept == pytest.approx(expected.intercept_.item(), rel=2e-3)


def test_errors_before_and_after_are_those_of_the_clips():
    scores, targets = planted(2, 0.4, 0)
    keep = np.random.default_rng(0).random((N, C)) < 0.7
    found = fit_calibration("temperature", "bce", scores, targets, keep)
    for told, probabilities in ((found.brier_before, scores), (found.brier_after, found.apply(scores))):
        assert told == pytest.approx(brier_score_loss(targets[keep], probabilities[keep]))
    assert found.brier_after < found.brier_before


def test_cells_that_are_left_out_have_no_say():
    scores, targets = planted(3, 0.4, 0)
    keep = np.random.default_rng(0).random((N, C)) < 0.7
    for method in ("temperature", "platt"):
        expected = fit_calibration(method, "bce", scores, targets, keep)
        assert fit_calibration(method, "bce", scores, targets ^ ~keep, keep) == expected


FEW = st.integers(1, 6).flatmap(
    lambda n: st.tuples(arrays.arrays(np.float32, (n, 3), elements=SCORES), arrays.arrays(bool, (n, 3)))
)


@settings(deadline=None, max_examples=100)
@given(FEW, st.sampled_from(["temperature", "platt"]))
def test_few_clips_never_make_a_degenerate_fit(clips, method):
    """Ties, scores of 0 and 1, absent classes, all positive, all in perfect order or in the wrong one."""
    scores, targets = clips
    found = fit_calibration(method, "bce", scores, targets, all_of(targets))
    slope = 1 / found.temperature if method == "temperature" else found.slope
    assert SLOPES[0] * (1 - 1e-9) <= slope <= 6
    assert abs(found.intercept or 0) < 6
    after = found.apply(scores)
    assert ((after >= 0) & (after <= 1)).all()
    order = np.argsort(scores, axis=None, kind="stable")
    assert (np.diff(after.ravel()[order]) >= 0).all()
    assert fit_calibration(method, "bce", scores, targets, all_of(targets)) == found
    clipped = (p.ravel().astype(np.float64).clip(1e-7, 1 - 1e-7) for p in (scores, after))
    before, now = (log_loss(targets.ravel(), p, labels=[False, True]) for p in clipped)
    assert now <= before + 1e-6 or now < 0.01


@settings(deadline=None, max_examples=50)
@given(FEW, st.data())
def test_few_clips_of_a_softmax_neither(clips, data):
    scores = (clips[0] + np.float32(1e-9)) / (clips[0] + np.float32(1e-9)).sum(axis=1, keepdims=True)
    classes = data.draw(st.lists(st.integers(0, 2), min_size=len(scores), max_size=len(scores)))
    targets = np.eye(3, dtype=bool)[classes]
    found = fit_calibration("temperature", "ce", scores, targets, all_of(targets))
    assert 1 / 6 <= found.temperature <= 1 / SLOPES[0] * (1 + 1e-9)
    after = found.apply(scores)
    np.testing.assert_allclose(after.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_a_temperature_of_one_changes_nothing(loss):
    scores = softmax(np.random.default_rng(0).normal(0, 3, (50, 5)), axis=1).astype(np.float32)
    none = Calibration("temperature", loss, 1.0, None, None, 50, 0, 0, 0, 0)
    np.testing.assert_allclose(none.apply(scores), scores, atol=1e-6)


def test_a_file_is_read_as_it_was_written(tmp_path):
    scores, targets = planted(4, 0.7, 0.3)
    for method in ("temperature", "platt"):
        made = fit_calibration(method, "bce", scores, targets, all_of(targets))
        write_calibration(tmp_path / "calibration.json", made)
        found = read_calibration(tmp_path / "calibration.json")
        assert dataclasses.asdict(found) == dataclasses.asdict(made)
    (tmp_path / "calibration.json").write_text('{"method": "guess"}')
    with pytest.raises(InputError, match="is no calibration of ours"):
        read_calibration(tmp_path / "calibration.json")


def test_reliability_equals_scikit_learns_curve():
    scores, targets = planted(5, 0.5, 0)
    table = reliability(scores, targets, all_of(targets), Draws(np.arange(N), draw_groups(N, 200, 0)))
    share, mean = calibration_curve(targets.ravel(), scores.ravel(), n_bins=10, strategy="quantile")
    np.testing.assert_allclose(table["share_positive"], share, atol=2e-3)
    np.testing.assert_allclose(table["mean_score"], mean, atol=2e-3)
    assert table["n"].tolist() == [N * C // 10] * 10
    assert (table["least_score"] < table["mean_score"]).all()
    assert (table["mean_score"] < table["most_score"]).all()
    assert (table["most_score"][:-1].to_numpy() < table["least_score"][1:].to_numpy()).all()
    assert (table["low"] < table["share_positive"]).all()
    assert (table["high"] > table["share_positive"]).all()
    width = 2 * 1.96 * np.sqrt(table["share_positive"] * (1 - table["share_positive"]) / table["n"])
    np.testing.assert_allclose(table["high"] - table["low"], width, rtol=0.25)


def test_tied_probabilities_share_a_bin_and_empty_bins_are_left_out():
    probabilities = np.array([[0.25], [0.25], [0.25], [0.75]])
    targets, keep = np.array([[1], [0], [0], [1]], bool), np.ones((4, 1), bool)
    table = reliability(probabilities, targets, keep, Draws(np.arange(4), draw_groups(4, 50, 0)))
    assert table[["mean_score", "share_positive", "n"]].to_numpy().tolist() == [[0.25, 1 / 3, 3], [0.75, 1, 1]]
    keep[0] = False
    table = reliability(probabilities, targets, keep, Draws(np.arange(4), draw_groups(4, 50, 0)))
    assert table["n"].tolist() == [2, 1]


def test_reliability_draws_groups_whole():
    """Ten copies of a clip tell no more than one."""
    scores, targets = planted(6, 1, 0)
    scores, targets = scores[:100], targets[:100]
    group = np.arange(100)
    alone = reliability(scores, targets, all_of(targets), Draws(group, draw_groups(100, 100, 0)))
    ten = [np.repeat(each, 10, axis=0) for each in (scores, targets, all_of(targets), group)]
    copied = reliability(*ten[:3], Draws(ten[3], draw_groups(100, 100, 0)))
    for column in ("share_positive", "low", "high"):
        np.testing.assert_allclose(copied[column], alone[column])
