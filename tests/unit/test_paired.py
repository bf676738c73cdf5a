"""Differences between models on the same draws."""

import numpy as np
import pandas as pd
import pytest

from tymbal.errors import InputError
from tymbal.evaluate.draws import Drawn, Key, Sample, draw, write_drawn
from tymbal.evaluate.metrics import evaluate
from tymbal.evaluate.paired import COLUMNS, compare
from tymbal.runs import Run

CLASSES = ["Owl", "Frog", "蟬"]
N_DRAWS = 400


@pytest.fixture
def write(tmp_path):
    """Writes the draws of a run as an evaluation does; gives run and folder."""

    def write(run: Run, scores, labels, groups, single_label=True, rule="any", clip_ids=None):
        sample = Sample(clip_ids or [f"f{run.fold}c{i}" for i in range(len(scores))], groups, "recording", N_DRAWS)
        draws = draw(groups, N_DRAWS, run.dataset, run.fold, "test")
        thresholds = {"fixed": 0.5, "chosen": 0.4}
        rows = evaluate(scores, labels, CLASSES, rule, thresholds, single_label, calibrated=scores, draws=draws)
        keys = [Key(row.metric, row.class_name, row.thresholds, row.unit, row.slice, row.level) for row in rows]
        folder = tmp_path / run.folder
        write_drawn(Drawn(keys, np.stack([row.drawn for row in rows]), sample), folder / "draws.npz")
        return run, folder

    return write


def single(n: int, share_right: float, seed: int = 0):
    """Scores of a model that is right so often, and labels of one class a clip, which are the same for every seed."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    predicted = np.where(rng.random(n) < share_right, truth, (truth + 1) % 3)
    return np.eye(3, dtype=np.float32)[predicted] * 0.8, np.eye(3, dtype=np.float32)[truth]


def several(n: int, seed: int, n_groups: int):
    """Scores with many ties, soft labels, and groups; the labels do not depend on the seed."""
    rng = np.random.default_rng(n)
    labels = rng.choice([0, 0.4, 1], size=(n, 3), p=[0.8, 0.05, 0.15]).astype(np.float32)
    groups = [f"r{i}" for i in rng.integers(n_groups, size=n)]
    return (np.random.default_rng(seed).integers(0, 12, (n, 3)) / 12).astype(np.float32), labels, groups


def paired(runs) -> pd.DataFrame:
    return compare(runs).set_index(["model_a", "model_b", "metric"])


def test_a_pair_is_compared_in_the_folds_it_shares(write):
    runs, right = [], {"good": [], "bad": []}
    for fold, seed in ((1, 0), (2, 0), (1, 5), (2, 5)):
        n = 40 * fold
        for model, share in (("bad", 0.4), ("good", 0.9)):
            scores, labels = single(n, share, seed + fold)
            runs.append(write(Run("field", model, fold, seed), scores, labels, [f"{fold}-{i // 2}" for i in range(n)]))
            right[model].append((scores.argmax(1) == labels.argmax(1)) * 1.0)
    scores, labels = single(40, 0.2, 9)
    runs.append(write(Run("field", "once", 1, 5), scores, labels, [f"1-{i // 2}" for i in range(40)]))
    runs.append(write(Run("field", "alone", 3, 5), scores, labels, ["r"] * 40))
    table = paired(runs)
    assert list(table.reset_index()[COLUMNS]) == COLUMNS
    pairs = [("bad", "good"), ("bad", "once"), ("bad", "alone"), ("good", "once"), ("good", "alone"), ("once", "alone")]
    assert [key[:2] for key in table.index if key[2] == "mAP_macro"] == pairs
    apart = table.loc["once", "alone"]
    assert (apart[["n_folds", "n_runs_a", "n_runs_b", "n_groups", "draws"]] == 0).all(axis=None)
    assert apart[["mean_a", "mean_b", "difference", "low", "high"]].isna().all(axis=None)
    metrics = ["mAP_macro", "AUC_macro", "lwlrap", "F1_macro", "accuracy", "Brier_calibrated"]
    assert table.loc["bad", "good"].index.tolist() == metrics
    row = table.loc["bad", "good", "accuracy"]
    assert row[["n_folds", "n_runs_a", "n_runs_b", "n_groups", "draws"]].tolist() == [2, 4, 4, 20 + 40, N_DRAWS]
    means = {model: np.mean([clips.mean() for clips in of_runs]) for model, of_runs in right.items()}
    assert row["mean_a"] == pytest.approx(means["bad"])
    assert row["difference"] == pytest.approx(means["good"] - means["bad"])
    assert 0 < row["low"] < row["difference"] < row["high"]
    row_once = table.loc["bad", "once", "accuracy"]
    assert row_once[["n_folds", "n_runs_a", "n_runs_b", "n_groups"]].tolist() == [1, 2, 1, 20]
    assert row_once["mean_a"] == pytest.approx((right["bad"][0].mean() + right["bad"][2].mean()) / 2)
    # The interval of a mean over folds of differences, as the normal approximation has it.
    of_folds = [np.mean([right["good"][i] - right["bad"][i] for i in (fold, fold + 2)], axis=0) for fold in (0, 1)]
    of_recordings = [clips.reshape(-1, 2).mean(axis=1) for clips in of_folds]
    width = 2 * 1.96 * np.sqrt(sum(each.var() / len(each) for each in of_recordings)) / 2
    assert row["high"] - row["low"] == pytest.approx(width, rel=0.15)


@pytest.mark.parametrize("rule", ["any", "main-ignore-sub"])
def test_differences_are_those_of_the_means_over_folds(write, rule):
    """Folds of different sizes, one without positives, and unlike seeds: clips or runs pooled would tell otherwise."""
    runs, alone = [], {"a": {}, "b": {}}
    seeds = {"a": [(1, 0), (2, 0), (3, 0), (1, 1)], "b": [(1, 7), (2, 8), (2, 9), (3, 7)]}
    for model, of_folds in alone.items():
        for fold, seed in seeds[model]:
            scores, labels, groups = several(20 * fold, 100 * fold + 10 * seed + (model == "b"), 6)
            labels = labels * (fold != 3)
            runs.append(write(Run("field", model, fold, seed), scores, labels, groups, False, rule))
            found = {row.metric: row.value for row in evaluate(scores, labels, CLASSES, rule, {}, False)}
            of_folds.setdefault(fold, []).append(found["mAP_macro"])
    row = paired(runs).loc["a", "b", "mAP_macro"]
    assert alone["a"].pop(3) == alone["b"].pop(3) == [None]
    a, b = (np.mean([np.mean(values) for values in of_folds.values()]) for of_folds in alone.values())
    assert row[["mean_a", "mean_b", "difference"]].tolist() == pytest.approx([a, b, b - a])
    assert row[["n_folds", "n_runs_a", "n_runs_b"]].tolist() == [3, 4, 4]


def test_equal_models_do_not_differ_whatever_is_drawn(write):
    scores, labels, groups = several(50, 0, 10)
    runs = [write(Run("field", model, 1, 0), scores, labels, groups, single_label=False) for model in ("a", "b")]
    table = paired(runs)
    assert "accuracy" not in table.loc["a", "b"].index  # undefined without single labels
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)
    assert (table["draws"] == N_DRAWS).all()


def test_more_clips_of_the_same_recordings_make_no_narrower_interval(write):
    def interval(copies):
        runs = []
        for model, share in (("a", 0.5), ("b", 0.7)):
            scores, labels = (np.repeat(part, copies, axis=0) for part in single(30, share, int(10 * share)))
            groups = [f"r{i // copies}" for i in range(30 * copies)]
            runs.append(write(Run("field", model, 1, 0), scores, labels, groups))
        return paired(runs).loc["a", "b", "accuracy"][["low", "high"]].tolist()

    once = interval(1)
    assert once[0] < once[1]
    assert interval(4) == pytest.approx(once)


def test_the_interval_depends_on_nothing_else(write):
    def runs(names):
        made = []
        for model, share in names:
            scores, labels = single(60, share, int(100 * share))
            made.append(write(Run("field", model, 1, 0), scores, labels, [f"r{i // 3}" for i in range(60)]))
        return made

    alone = paired(runs([("a", 0.5), ("b", 0.6)]))
    among = paired(runs([("c", 0.8), ("a", 0.5), ("b", 0.6)]))
    pd.testing.assert_frame_equal(alone, among.loc[alone.index])


def test_results_of_different_clips_are_refused(write):
    scores, labels = single(3, 1.0)
    runs = [
        write(Run("field", model, 2, 0), scores, labels, ["r"] * 3, clip_ids=["x", "y", last])
        for model, last in (("a", "z"), ("b", "w"))
    ]
    with pytest.raises(InputError, match=r"results/field/b/fold2/seed0: other clip_ids than results/field/a/"):
        paired(runs)


def test_a_metric_that_is_never_defined_is_empty(write):
    scores, labels = single(6, 1.0)
    runs = [write(Run("field", model, 1, 0), scores, 0 * labels, ["r"] * 6, False) for model in ("a", "b")]
    row = paired(runs).loc["a", "b", "mAP_macro"]
    assert row[["mean_a", "difference", "low", "high"]].isna().all()
    assert row["draws"] == 0
