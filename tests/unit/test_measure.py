"""Figures of clips, of recordings and of slices: each is what the metrics of these clips alone would be."""

from dataclasses import replace

import numpy as np
import pytest

from tymbal.errors import InputError
from tymbal.evaluate.bootstrap import Draws
from tymbal.evaluate.draws import draw
from tymbal.evaluate.measure import measure
from tymbal.evaluate.metrics import evaluate
from tymbal.evaluate.predictions import Predictions

CLASSES = ["Owl", "Frog", "蟬"]
THRESHOLDS = {"fixed": 0.5, "chosen": np.array([0.3, 0.5, 0.7])}


def clips(n=40, single_label=False) -> Predictions:
    """Two clips a recording; recordings of one name at two sites."""
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 0.4, 1], size=(n, 3), p=[0.6, 0.1, 0.3]).astype(np.float32)
    if single_label:
        labels = np.eye(3, dtype=np.float32)[np.arange(n) // 2 % 3]
    scores = (rng.integers(1, 16, (n, 3)) / 16).astype(np.float32)  # whose means are exact, ties and all
    recordings, sites = [f"r{i // 4}" for i in range(n)], [f"S{i // 2 % 2}" for i in range(n)]
    return Predictions([f"c{i}" for i in range(n)], recordings, sites, CLASSES, scores, labels)


def told(rows, **where) -> dict:
    """(metric, class, thresholds) -> value and interval, of the rows in one place."""
    place = {"unit": "clip", "slice": "", "level": ""} | where
    mine = [row for row in rows if all(getattr(row, name) == value for name, value in place.items())]
    return {(row.metric, row.class_name, row.thresholds): (row.value, row.low, row.high, row.n_pos) for row in mine}


def measured(test, single_label=False, slices=None):
    groups = [f"{recording} {site}" for recording, site in zip(test.recordings, test.sites, strict=True)]
    draws = draw(groups, 25, "field", 1, "test")
    calibrated = test.scores**2
    return measure(test, calibrated, THRESHOLDS, "any", single_label, draws, slices or {}), draws


@pytest.mark.parametrize("how", ["max", "mean"])
def test_recordings_are_scored_by_the_largest_or_mean_of_their_clips(how):
    test = clips()
    rows, draws = measured(test)
    pairs = [np.reshape(values, (20, 2, 3)) for values in (test.scores, test.labels, test.scores**2)]
    scores, calibrated = (getattr(values, how)(axis=1) for values in (pairs[0], pairs[2]))
    expected = evaluate(
        scores,
        pairs[1].max(axis=1),
        CLASSES,
        "any",
        THRESHOLDS,
        False,
        calibrated=calibrated,
        draws=Draws(draws.group[::2], draws.counts),
    )
    found = told(rows, unit=f"recording-{how}")
    assert found == {key: pytest.approx(value, nan_ok=True) for key, value in told(expected).items()}
    assert {row.n_clips for row in rows if row.unit == f"recording-{how}" and not row.class_name} == {20}


def test_slices_are_scored_as_their_clips_alone_in_the_same_draws():
    test = clips()
    levels = np.array(["wood", "farm", "", "wood"] * 10)
    rows, draws = measured(test, slices={"habitat": levels})
    assert [level for level in dict.fromkeys(row.level for row in rows) if level] == ["farm", "wood"]
    for level in ("farm", "wood"):
        mine = levels == level
        alone = told(
            evaluate(
                test.scores[mine],
                test.labels[mine],
                CLASSES,
                "any",
                THRESHOLDS,
                False,
                draws=Draws(draws.group[mine], draws.counts),
            )
        )
        keys = [(metric, "", "") for metric in ("mAP_macro", "prevalence_macro", "AUC_macro")]
        keys.append(("F1_macro", "", "chosen"))
        assert told(rows, slice="habitat", level=level) == {key: pytest.approx(alone[key]) for key in keys}


def test_accuracy_of_slices_and_of_recordings_with_one_class():
    test = clips(single_label=True)
    rows, _ = measured(test, single_label=True, slices={"half": np.repeat(["a", "b"], 20)})
    right = test.scores.argmax(1) == test.labels.argmax(1)
    assert told(rows, slice="half", level="b")["accuracy", "", ""][0] == pytest.approx(right[20:].mean())
    assert ("accuracy", "", "") in told(rows, unit="recording-max")
    several = replace(test, recordings=[f"r{i // 8}" for i in range(40)], sites=["S1"] * 40)
    rows, _ = measured(several, single_label=True)
    assert ("accuracy", "", "") in told(rows)
    assert ("accuracy", "", "") not in told(rows, unit="recording-max")  # no longer one class each


def test_recordings_must_be_whole_in_a_group():
    """One that lasts over midnight is in two site-days."""
    test = clips()
    days = ["1" if i < 10 or i > 30 else "2" for i in range(40)]  # r2 and r7 at two sites each
    with pytest.raises(InputError) as error:
        measure(test, test.scores, THRESHOLDS, "any", False, draw(days, 5, "field", 1, "test"), {})
    message = str(error.value)
    assert "recordings in more than one of the groups that samples are drawn of: 1 problem" in message
    assert "recording r7 at S1: clips c30 and c31" in message
    assert "set `evaluation.bootstrap.group: recording`" in message


def test_recordings_of_one_clip_are_not_told_again():
    test = clips()
    rows, _ = measured(replace(test, recordings=test.clip_ids))
    assert {row.unit for row in rows} == {"clip"}
