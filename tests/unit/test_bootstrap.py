"""Draws of groups, and how often the intervals made of them hold the truth."""

import numpy as np
import pytest
from scipy.special import expit

from tymbal.evaluate.bootstrap import Draws, draw_groups, draws_of, interval
from tymbal.evaluate.metrics import evaluate

CLASSES = ["Owl", "Frog"]


def test_draws_are_of_as_many_groups_with_replacement():
    counts = draw_groups(50, 2000, 7)
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == 50).all()
    assert counts[1:].mean(axis=0) == pytest.approx(1, abs=0.1)
    assert (counts[1:] == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)
    assert np.array_equal(counts, draw_groups(50, 2000, 7))
    assert not np.array_equal(counts, draw_groups(50, 2000, 8))


def test_intervals_are_percentiles_of_the_draws_that_are_defined():
    assert interval(np.array([5, *range(101)], dtype=float), 50) == (2, 98, 101)
    assert interval(np.array([5, np.nan, 1, np.nan, 1]), 50) == (1, 1, 2)
    assert interval(np.array([5.0]), 50) == (None, None, 0)
    assert interval(np.array([5, np.nan]), 50) == (None, None, 0)
    assert interval(np.array([5, -np.inf, *range(98), np.inf, np.inf]), 50) == (1, 97, 101)
    assert interval(np.array([5, *range(10), np.inf]), 50) == (0, None, 11)


def test_an_interval_rises_with_its_figure():
    drawn = np.random.default_rng(0).random(400)
    low, high, _ = interval(drawn, 50)
    assert interval(np.log(drawn), 50)[:2] == (np.log(low), np.log(high))


def test_draws_of_some_clips_are_the_same_of_their_groups():
    counts = draw_groups(6, 4, 0)
    group, clips = np.array([0, 5, 5, 2, 3, 2]), np.array([1, 3, 5])
    some = draws_of(Draws(group, counts), clips)
    assert some.counts.shape == (5, 2)
    assert np.array_equal(some.counts[:, some.group], counts[:, group[clips]])


def test_few_groups_tell_no_interval():
    drawn = np.array([5, *range(101)], dtype=float)
    assert interval(drawn, 4) == (None, None, 0)
    assert interval(drawn, 5) == interval(drawn, 50)


# --- coverage ----------------------------------------------------------------------------------------------


METRICS = ["mAP_macro", "mAP_micro", "AUC_macro", "lwlrap", "precision_macro", "recall_macro", "F1_macro", "F1_micro"]
METRICS += ["Brier", "soft_Brier", "soft_BCE"]
N_POPULATION, N_DRAWN = 1000, 150  # groups


def population():
    """Scores, labels and groups of clips, alike within a group in what is heard and in what disturbs the scores."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(N_POPULATION), rng.integers(1, 5, N_POPULATION))
    common, disturbed = rng.normal([[[-0.5]], [[0]]], [[[1.5]], [[1]]], (2, N_POPULATION, 2))[:, group]
    labels = (rng.random(common.shape) < expit(common)).astype(float)
    return expit(1.5 * labels - 1 + disturbed + rng.normal(0, 1, common.shape)), labels, group


def coverage(n_repeats: int, n_draws: int, by_clip: bool) -> dict[str, float]:
    """How often intervals made of some groups hold the value of the whole population."""
    scores, labels, group = population()
    clips_of = np.split(np.arange(len(group)), np.flatnonzero(np.diff(group)) + 1)

    def values(clips, draws=None):
        rows = evaluate(scores[clips], labels[clips], CLASSES, "any", {"fixed": 0.5}, single_label=False, draws=draws)
        return {row.metric: row for row in rows if row.metric in METRICS and not row.class_name}

    truth = values(slice(None))
    rng = np.random.default_rng(1)
    held = dict.fromkeys(METRICS, 0)
    for seed in range(n_repeats):
        drawn = [clips_of[g] for g in rng.integers(N_POPULATION, size=N_DRAWN)]
        clips = np.concatenate(drawn)
        unit = np.arange(len(clips)) if by_clip else np.repeat(np.arange(N_DRAWN), [len(own) for own in drawn])
        draws = Draws(unit, draw_groups(unit[-1] + 1, n_draws, seed))
        for metric, row in values(clips, draws).items():
            held[metric] += row.low <= truth[metric].value <= row.high
    return {metric: count / n_repeats for metric, count in held.items()}


def test_intervals_hold_the_truth_as_often_as_they_say():
    found = coverage(n_repeats=500, n_draws=250, by_clip=False)
    assert {metric: share for metric, share in found.items() if not 0.92 <= share <= 0.98} == {}


def test_drawing_clips_of_groups_one_by_one_would_promise_too_much():
    found = coverage(n_repeats=100, n_draws=250, by_clip=True)
    assert np.mean(list(found.values())) < 0.92
