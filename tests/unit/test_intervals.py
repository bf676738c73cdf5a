"""Means over runs, and what their intervals are made of."""

import numpy as np
import pandas as pd
import pytest

from tymbal.evaluate.draws import Drawn, Key, Sample, draw, write_drawn
from tymbal.evaluate.intervals import KEY, combine

MAP = Key("mAP_macro", "", "", "clip", "", "")
NAN = float("nan")
PARTS = [("known_site", "known"), ("known_site", "new"), ("site", "S1")]


def write(folder, runs: dict[tuple[int, int], dict[Key, list[float]]], **counts):
    """Write the draws of runs, (fold, seed) -> figure -> value and draws; give what `combine` takes."""
    rows, paths = [], []
    for (fold, seed), figures in runs.items():
        paths.append(folder / f"{fold}-{seed}.npz")
        sample = Sample([], [], "recording", 0)
        write_drawn(Drawn(list(figures), np.array(list(figures.values()), dtype=np.float32), sample), paths[-1])
        told = {"fold": fold, "seed": seed, "n_pos": 10 * fold, "n_clips": 100, "n_groups": 7 + fold, "n_classes": 3}
        rows += [dict(zip(KEY, key, strict=True), value=drawn[0], **told | counts) for key, drawn in figures.items()]
    return pd.DataFrame(rows), paths


def test_a_draw_is_the_mean_over_folds_and_seeds(tmp_path):
    runs = {(1, 0): [0.5, 0.1, 0.3], (2, 0): [0.7, 0.2, 0.5], (1, 4): [0.6, 0.3, 0.1], (2, 4): [0.8, 0.2, 0.3]}
    (row,) = combine(*write(tmp_path, {run: {MAP: drawn} for run, drawn in runs.items()})).to_dict("records")
    assert [row[name] for name in KEY] == list(MAP)
    assert row["value"] == pytest.approx(0.65)
    assert (row["low"], row["high"]) == pytest.approx((0.2, 0.3))
    assert [row[name] for name in ("draws", "n_runs", "n_folds", "n_seeds")] == [2, 4, 2, 2]
    assert [row[name] for name in ("n_pos", "n_clips", "n_groups", "n_classes")] == [30, 200, 17, 3]  # folds once


def test_runs_and_draws_in_which_a_figure_is_undefined_are_left_out(tmp_path):
    runs = {(1, 0): {MAP: [NAN, 0.2, NAN, NAN]}, (2, 0): {MAP: [0.5, 0.4, 0.6, NAN]}}
    (row,) = combine(*write(tmp_path, runs)).to_dict("records")
    assert row["value"] == 0.5
    assert (row["low"], row["high"]) == pytest.approx((0.3, 0.6))
    assert [row[name] for name in ("draws", "n_runs", "n_folds", "n_clips")] == [2, 1, 1, 200]


def test_infinite_draws_of_a_figure_are_kept_unless_its_value_is_infinite(tmp_path):
    """A d' whose value is infinite is undefined; a draw of one that is not is beyond all others."""
    infinite = float("inf")
    runs = {(1, 0): {MAP: [infinite, infinite, infinite, infinite]}, (2, 0): {MAP: [1.5, 2.0, infinite, 1.0]}}
    figures, paths = write(tmp_path, runs)
    figures.loc[0, "value"] = NAN
    (row,) = combine(figures, paths).to_dict("records")
    assert [row[name] for name in ("value", "low", "draws", "n_runs")] == [1.5, 1.0, 3, 1]
    assert np.isnan(row["high"])


def test_a_figure_that_is_never_defined_is_told_with_its_counts(tmp_path):
    (row,) = combine(*write(tmp_path, {(1, 0): {MAP: [NAN, NAN]}})).to_dict("records")
    assert np.isnan([row["value"], row["low"], row["high"]]).all()
    assert [row[name] for name in ("draws", "n_runs", "n_seeds", "n_clips")] == [0, 0, 0, 100]


def test_levels_that_some_folds_lack_are_in_their_place(tmp_path):
    def level(name):
        return MAP._replace(slice="season", level=name)

    runs = {
        (1, 0): {MAP: [0.1, 0.1], level("Mar-May"): [0.2, 0.2], level("Sep-Nov"): [0.3, 0.3]},
        (2, 0): {MAP: [0.3, 0.3], level("Dec-Feb"): [0.4, 0.5], level("Mar-May"): [0.4, 0.4]},
    }
    table = combine(*write(tmp_path, runs))
    assert table["level"].tolist() == ["", "Dec-Feb", "Mar-May", "Sep-Nov"]
    assert table["value"].tolist() == pytest.approx([0.2, 0.4, 0.3, 0.3])
    assert table["n_runs"].tolist() == [2, 1, 2, 1]
    assert table["n_groups"].tolist() == [17, 9, 17, 8]


def test_intervals_of_two_folds_hold_the_truth_as_often_as_they_say(tmp_path):
    """Recordings of unlike accuracy, known beforehand; two seeds that are right on different clips."""
    rng = np.random.default_rng(0)
    n_groups, n_trials, held = 60, 200, 0
    for trial in range(n_trials):
        runs = {}
        for fold in (1, 2):
            easy = np.repeat(rng.beta(4, 2, n_groups), 3)  # accuracy 2/3 on average, the same in a recording
            draws = draw(np.repeat(np.arange(n_groups), 3).astype(str), 200, f"trial {trial}", fold, "test")
            for seed in (0, 1):
                right = rng.random(3 * n_groups) < easy
                by_group = np.bincount(draws.group, right)
                runs[fold, seed] = {MAP: draws.counts @ by_group / (3 * draws.counts.sum(axis=1))}
        row = combine(*write(tmp_path, runs)).iloc[0]
        held += row["low"] <= 2 / 3 <= row["high"]
    assert 0.92 <= held / n_trials <= 0.98


def test_a_slice_that_divides_nothing_is_left_out(tmp_path):
    known, new, alone = (MAP._replace(slice=name, level=level) for name, level in PARTS)
    runs = {(1, 0): {MAP: [0.5], known: [0.5], alone: [0.5]}, (2, 0): {MAP: [0.5], new: [0.4], alone: [0.5]}}
    table = combine(*write(tmp_path, runs))
    assert list(zip(table["slice"], table["level"], table["n_folds"], strict=True)) == [
        ("", "", 2),
        ("known_site", "known", 1),
        ("known_site", "new", 1),
    ]
