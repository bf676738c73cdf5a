"""Thresholds: the best there are by brute force, drawn together, frozen in a file that is read with care."""

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import expit, logit
from sklearn.metrics import f1_score, precision_score

from tymbal.config import Choose
from tymbal.errors import InputError
from tymbal.evaluate.bootstrap import Draws, draw_groups, interval
from tymbal.evaluate.thresholds import Threshold, choose_thresholds, read_thresholds, write_thresholds

ALONE = Choose(shrink=0)
WANTED = Choose(by="precision", precision=0.8, shrink=0)


def once(n: int) -> Draws:
    """Each clip a group, and no draws beyond the clips as they are."""
    return Draws(np.arange(n), np.ones((1, n), dtype=np.int32))


def choose(scores, targets, how=ALONE, draws=None, keep=None) -> list[Threshold]:
    """Thresholds of scores [N] of a class, or [N, C]."""
    scores = np.asarray(scores, dtype=np.float32).reshape(len(scores), -1)
    targets = np.asarray(targets, dtype=bool).reshape(scores.shape)
    keep = np.ones(scores.shape, dtype=bool) if keep is None else np.asarray(keep, dtype=bool).reshape(scores.shape)
    names = [f"c{i}" for i in range(scores.shape[1])]
    return list(choose_thresholds(scores, targets, keep, names, how, draws or once(len(scores))).values())


def candidates(scores) -> np.ndarray:
    """Between distinct scores, and between the lowest and 0; the highest first."""
    levels = np.append(np.unique(scores.astype(np.float64))[::-1], 0)
    return (levels[1:] + levels[:-1]) / 2


def test_highest_f1_by_hand():
    chosen = choose([0.9, 0.8, 0.6, 0.4, 0.1], [1, 1, 0, 1, 0])[0]
    assert chosen.threshold == chosen.own == pytest.approx(0.25)
    assert (chosen.f1, chosen.precision, chosen.recall, chosen.n_pos) == (6 / 7, 3 / 4, 1, 3)
    assert chosen.reached is None


def test_lowest_threshold_with_the_wanted_precision_by_hand():
    """Below the first false alarm precision is 2/3, and with the next hits again 4/5."""
    chosen = choose([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [1, 1, 0, 1, 1, 0], WANTED)[0]
    assert chosen.threshold == pytest.approx(0.45)
    assert (chosen.precision, chosen.recall, chosen.reached) == (0.8, 1, True)


def test_a_precision_that_is_never_reached_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        chosen = choose([0.9, 0.8, 0.7, 0.6, 0.5], [0, 1, 0, 1, 0], WANTED)[0]
    assert chosen.reached is False
    assert (chosen.threshold, chosen.precision) == (pytest.approx(0.55), 0.5)  # the best there is, and most hits
    assert "0.8 is not reached: c0" in caplog.text


TIED = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.float32, n, elements=st.sampled_from(np.array([0, 0.1, 0.25, 0.5, 0.9, 1], np.float32))),
        arrays.arrays(bool, n).filter(np.any),
    )
)


@settings(deadline=None, max_examples=150)
@given(TIED)
def test_no_candidate_is_better(clips):
    scores, targets = clips
    by_f1 = {t: f1_score(targets, scores >= t, zero_division=0) for t in candidates(scores)}
    best = max(by_f1.values())
    chosen = choose(scores, targets)[0]
    assert chosen.threshold == max(t for t, f1 in by_f1.items() if f1 >= best - 1e-12)
    assert chosen.f1 == pytest.approx(best)

    by_precision = {t: precision_score(targets, scores >= t, zero_division=0) for t in candidates(scores)}
    goal = min(0.8, max(by_precision.values()))
    chosen = choose(scores, targets, WANTED)[0]
    assert chosen.threshold == min(t for t, precision in by_precision.items() if precision >= goal)
    assert chosen.reached == (chosen.precision >= 0.8)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from(["f1", "precision"]))
def test_a_draw_chooses_as_if_its_clips_were_there_so_often(seed, by):
    """Of the whole choice: own thresholds, the one of all classes and how they are drawn together."""
    rng = np.random.default_rng(seed)
    n, n_classes = 24, 3
    how = Choose(by=by, precision=0.7, shrink=4)
    scores = rng.choice(np.linspace(0, 1, 15), (n, n_classes)).astype(np.float32)
    targets, keep = rng.random((n, n_classes)) < (0.05, 0.3, 0.6), rng.random((n, n_classes)) < 0.9
    targets[0, 1] = keep[0, 1] = True
    group = rng.integers(0, 8, n)
    draws = Draws(group, draw_groups(8, 5, seed))
    drawn = []
    for counts in draws.counts:
        rows = np.repeat(np.arange(n), counts[group])
        if not (targets & keep)[rows].any():
            drawn.append([np.nan] * n_classes)
            continue
        alone = choose(scores[rows], targets[rows], how, keep=keep[rows])
        drawn.append([threshold.threshold for threshold in alone])
    for chosen, column in zip(choose(scores, targets, how, draws, keep), np.array(drawn).T, strict=True):
        low, high, _ = interval(column, draws.counts.shape[1])
        assert chosen.threshold == column[0]
        assert (chosen.low, chosen.high) == pytest.approx((low, high), abs=1e-12)


def test_few_positives_draw_a_threshold_towards_that_of_all_classes():
    rng = np.random.default_rng(0)
    targets = rng.random((400, 2)) < (0.02, 0.5)
    scores = expit(3 * targets + rng.normal((-3, -1), 1, targets.shape))
    own = choose(scores, targets)
    (overall,) = choose(scores.ravel(), targets.ravel())
    for rare, single in zip(choose(scores, targets, Choose(shrink=10)), own, strict=True):
        weight = single.n_pos / (single.n_pos + 10)
        assert rare.own == single.threshold
        assert rare.overall == overall.threshold
        between = weight * logit(single.threshold) + (1 - weight) * logit(overall.threshold)
        assert logit(rare.threshold) == pytest.approx(between)


def test_a_class_without_positives_has_the_threshold_of_all(caplog):
    scores, targets = [[0.9, 0.3], [0.8, 0.2], [0.4, 0.1]], [[1, 0], [1, 0], [0, 0]]
    with caplog.at_level(logging.WARNING):
        absent = choose(scores, targets, Choose())[1]
    (overall,) = choose(np.ravel(scores), np.ravel(targets))
    assert absent == Threshold(overall.threshold, low=absent.low, high=absent.high, overall=overall.threshold, n_pos=0)
    assert "threshold is that of all classes: c1" in caplog.text


def test_one_class_is_never_moved():
    rng = np.random.default_rng(0)
    scores, targets = rng.random(50), rng.random(50) < 0.1
    assert choose(scores, targets, Choose(shrink=1e6))[0].threshold == choose(scores, targets)[0].own


@pytest.mark.parametrize("how", [ALONE, WANTED, Choose()])
@pytest.mark.parametrize("scores", [[0.5, 0.5, 0.5], [0, 0, 0], [1, 1, 1], [0, 0.5, 1]])
def test_where_all_is_positive_all_is_detected(scores, how):
    chosen = choose(scores, [1, 1, 1], how)[0]
    assert (chosen.precision, chosen.recall) == (1, 1)
    assert np.isfinite(chosen.threshold)


def test_neighbouring_scores_are_told_apart():
    """Their middle is no float32."""
    high = np.float32(0.7)
    low = np.nextafter(high, np.float32(0))
    chosen = choose([high, low], [1, 0])[0]
    assert (chosen.f1, chosen.precision) == (1, 1)
    assert float(low) < chosen.threshold < float(high)


def test_cells_that_are_left_out_do_not_count():
    scores, targets = [0.9, 0.8, 0.7, 0.2], [0, 1, 1, 0]
    assert choose(scores, targets, keep=[0, 1, 1, 1])[0].precision == 1
    assert choose(scores, targets)[0].precision == 2 / 3


def test_without_any_positive_nothing_can_be_chosen():
    with pytest.raises(InputError, match="none of the 2 validation clips is positive"):
        choose([[0.9, 0.1], [0.2, 0.3]], [[0, 1], [0, 0]], keep=[[1, 0], [1, 1]])


def test_a_file_is_read_as_it_was_written(tmp_path):
    rng = np.random.default_rng(0)
    targets = rng.random((40, 3)) < (0.3, 0, 0.6)
    draws = Draws(np.arange(40) // 2, draw_groups(20, 20, 0))
    classes = ["Owl", "蟬", "NA"]
    made = choose_thresholds(
        rng.random((40, 3)).astype(np.float32), targets, np.ones((40, 3), bool), classes, WANTED, draws
    )
    write_thresholds(tmp_path / "thresholds.json", made)
    assert read_thresholds(tmp_path / "thresholds.json", classes) == made


def test_a_plain_file_is_read_in_the_order_of_the_classes(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"Owl": 0.5, "Cicada": {"threshold": 1, "f1": 0.9, "precision": 0.8, "recall": 1.0}}))
    found = read_thresholds(path, ["Cicada", "Owl"])
    assert found == {"Cicada": Threshold(1, f1=0.9, precision=0.8, recall=1.0), "Owl": Threshold(0.5)}
    assert list(found) == ["Cicada", "Owl"]


def test_all_problems_of_a_file_are_in_one_message(tmp_path):
    path = tmp_path / "mine.json"
    wrong = {"Owl": 1.5, "Frog": "0.5", "Wren": {"f1": 0.9}, "Bat": {"threshold": 0.5, "low": "?"}}
    path.write_text(json.dumps(wrong | {"Rain": float("nan"), "Unicorn": 0.5, "Toad": True}))
    with pytest.raises(InputError) as error:
        read_thresholds(path, ["Cicada", "Owl", "Frog", "Wren", "Bat", "Rain", "Toad"])
    message = str(error.value)
    assert "mine.json: 8 problems" in message
    for told in (
        "class 'Cicada': missing",
        "class 'Unicorn': not one of",
        "class 'Owl', threshold: found 1.5",
        "class 'Frog', threshold: found '0.5'",
        "class 'Wren', threshold: Field required",
        "class 'Bat', low: found '?'",
        "class 'Rain', threshold: found nan",
        "class 'Toad', threshold: found True",
    ):
        assert told in message
    path.write_text('{"Owl": 0.5, "Owl": 0.7, "Bat": {"threshold": 0.5, "treshold": 0.7, "low": 0.1, "low": 0.2}}')
    with pytest.raises(InputError) as error:
        read_thresholds(path, ["Owl", "Bat"])
    message = str(error.value)
    assert "mine.json: 3 problems" in message
    for told in (
        "key 'Owl': there more than once",
        "key 'low': there more than once",
        "class 'Bat', treshold: not known; beside a threshold there may be f1, precision, recall, low",
    ):
        assert told in message
    path.write_text("[0.5]")
    with pytest.raises(InputError, match="expected an object"):
        read_thresholds(path, ["Cicada"])
