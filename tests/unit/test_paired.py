"""Differences between models on the same draws."""

import numpy as np
import pandas as pd
import pytest

from tymbal.errors import InputError
from tymbal.evaluate.draws import Drawn, Key, Sample, draw, read_drawn, write_drawn
from tymbal.evaluate.measure import measure
from tymbal.evaluate.metrics import evaluate
from tymbal.evaluate.paired import COLUMNS, compare
from tymbal.evaluate.predictions import Predictions
from tymbal.runs import Run

CLASSES = ["Owl", "Frog", "蟬"]
N_DRAWS = 400


@pytest.fixture
def write(tmp_path):
    """Writes the draws of a run as an evaluation does; gives run and folder."""

    def write(
        run: Run, scores, labels, groups, single_label=True, rule="any", clip_ids=None, n_draws=N_DRAWS, **levels
    ):
        ids = clip_ids or [f"f{run.fold}c{i}" for i in range(len(scores))]
        draws = draw(groups, N_DRAWS, run.dataset, run.fold, "test")
        clips = Predictions(ids, ids, [""] * len(ids), CLASSES, scores, labels)
        levels = {name: np.array(levels_of_clips, dtype=str) for name, levels_of_clips in levels.items()}
        rows = measure(clips, scores, {"fixed": 0.5, "chosen": 0.4}, rule, single_label, draws, levels)
        keys = [Key(row.metric, row.class_name, row.thresholds, row.unit, row.slice, row.level) for row in rows]
        sample = Sample(ids, groups, "recording", N_DRAWS)
        folder = tmp_path / run.folder
        write_drawn(Drawn(keys, np.stack([row.drawn for row in rows]), sample, levels), folder / "draws.npz")
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
    """Of all test clips."""
    table = compare(runs)
    return table[table["slice"] == ""].set_index(["model_a", "model_b", "metric"])


def by_level(runs, metric: str) -> pd.DataFrame:
    """Of the only pair."""
    table = compare(runs)
    return table[(table["slice"] != "") & (table["metric"] == metric)].set_index(["slice", "level"])


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


def without(runs, place: int, **told) -> None:
    """Take figures out of the draws of a run, as if its evaluation had not had them."""
    path = runs[place][1] / "draws.npz"
    drawn = read_drawn(path)
    kept = [i for i, key in enumerate(drawn.keys) if any(getattr(key, name) != value for name, value in told.items())]
    assert 0 < len(kept) < len(drawn.keys)
    write_drawn(Drawn([drawn.keys[i] for i in kept], drawn.figures[kept], drawn.sample, drawn.levels), path)


def test_a_metric_that_a_run_lacks_is_not_compared(write):
    scores, labels, groups = several(60, 1, 10)
    levels = ["1", "2"] * 30
    runs = [
        write(Run("field", model, 1, seed), scores, labels, groups, False, n_sources=levels)
        for model, seed in (("a", 0), ("a", 1), ("b", 0))
    ]
    before = compare(runs).set_index(["slice", "level", "metric"])
    without(runs, 1, metric="lwlrap", slice="")
    without(runs, 2, metric="AUC_macro", level="2")
    after = compare(runs).set_index(["slice", "level", "metric"])
    gone = [("", "", "lwlrap"), ("n_sources", "2", "AUC_macro")]
    assert before.index.difference(after.index).tolist() == gone
    pd.testing.assert_frame_equal(after, before.drop(gone))


def test_a_run_without_levels_is_compared_on_the_whole(write):
    """Its evaluation had other slices, or was by a version that did not keep them."""
    scores, labels, groups = several(60, 1, 10)
    runs = [write(Run("field", "a", 1, 0), scores, labels, groups, False, n_sources=["1", "2"] * 30)]
    runs += [write(Run("field", "b", 1, 0), several(60, 2, 10)[0], labels, groups, False)]
    assert paired(runs).loc["a", "b", "mAP_macro"]["n_folds"] == 1
    levels = by_level(runs, "mAP_macro")
    assert levels.index.tolist() == [("n_sources", "1"), ("n_sources", "2")]
    assert (levels["n_folds"] == 0).all()
    assert levels["difference"].isna().all()


def test_levels_are_compared_where_the_same_clips_have_them(write):
    """Folds of unlike size and levels; `site` divides nothing, `loud` depends in a fold on the model."""
    runs, right = [], {}
    levels = {1: ["1", "2", "2", "1"] * 10, 2: ["10", "2"] * 30}
    for fold, model, seed in ((1, "a", 0), (2, "a", 0), (1, "b", 0), (1, "b", 1), (2, "b", 0)):
        n = len(levels[fold])
        scores, labels = single(n, 0.5 if model == "a" else 0.8, 10 * fold + seed)
        loud = ["low" if (i < n / 2) == (model == "a") or fold == 2 else "high" for i in range(n)]
        more = {"n_sources": levels[fold], "site": ["S1"] * n, "loud": loud}
        groups = [f"{fold}-{i // 2}" for i in range(n)]
        runs.append(write(Run("field", model, fold, seed), scores, labels, groups, **more))
        right.setdefault((model, fold), []).append((scores.argmax(1) == labels.argmax(1)) * 1.0)

    table = by_level(runs, "accuracy")
    assert table.index.tolist() == [("n_sources", level) for level in ("1", "2", "10")] + [
        ("loud", "high"),
        ("loud", "low"),
    ]

    def mean(model, level, folds):
        return np.mean([np.mean([run[np.array(levels[f]) == level] for run in right[model, f]]) for f in folds])

    for level, folds, n_runs, n_groups in (("1", [1], [1, 2], 20), ("2", [1, 2], [2, 3], 50), ("10", [2], [1, 1], 30)):
        row = table.loc["n_sources", level]
        assert row[["n_folds", "n_runs_a", "n_runs_b", "n_groups"]].tolist() == [len(folds), *n_runs, n_groups]
        means = [mean(model, level, folds) for model in "ab"]
        assert row[["mean_a", "mean_b", "difference"]].tolist() == pytest.approx([*means, means[1] - means[0]])
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["draws"] == N_DRAWS
    low, high = table.loc["loud", "low"], table.loc["loud", "high"]
    assert low[["n_folds", "n_runs_a", "n_runs_b", "n_groups"]].tolist() == [1, 1, 1, 30]  # the second fold alone
    assert high["n_folds"] == 0
    assert high[["mean_a", "difference", "low", "high"]].isna().all()
    whole = paired(runs).loc["a", "b", "accuracy"]
    assert whole[["n_folds", "n_runs_a", "n_runs_b", "n_groups"]].tolist() == [2, 2, 3, 50]


def test_levels_have_the_metrics_of_slices_and_the_draws_of_the_whole(write):
    """A slice of two levels, of which one has all clips but a single recording, is drawn as the whole is."""
    scores, labels, groups = several(80, 1, 12)
    levels = ["rest" if group == groups[0] else "most" for group in groups]
    runs = [write(Run("field", "a", 1, 0), scores, labels, groups, False, part=levels)]
    runs += [write(Run("field", "b", 1, 0), several(80, 2, 12)[0], labels, groups, False, part=levels)]
    table = compare(runs).set_index(["slice", "level", "metric"])
    assert table.loc["part", "most"].index.tolist() == ["mAP_macro", "AUC_macro", "F1_macro"]
    rest = table.loc[("part", "rest", "mAP_macro")]
    assert rest[["low", "high"]].isna().all()  # of one group
    assert rest["draws"] == 0
    whole, most = table.loc[("", "", "AUC_macro")], table.loc[("part", "most", "AUC_macro")]
    assert most["n_groups"] == whole["n_groups"] - 1
    assert most["high"] - most["low"] == pytest.approx(whole["high"] - whole["low"], rel=0.35)


def test_intervals_of_levels_hold_the_true_difference(tmp_path):
    """Two folds of 60 recordings, one model better on clips of two sources: 95 of 100 intervals hold the truth."""
    share = {("a", "1"): 0.7, ("b", "1"): 0.7, ("a", "2"): 0.5, ("b", "2"): 0.7}
    groups = [f"r{i // 2}" for i in range(120)]
    levels = np.array(["1", "2"] * 60)
    held, found = {"1": 0, "2": 0}, {"1": 0, "2": 0}
    for simulation in range(100):
        runs = []
        for fold, model in ((1, "a"), (1, "b"), (2, "a"), (2, "b")):
            hard = np.random.default_rng([simulation, fold]).uniform(-0.2, 0.2, 60).repeat(2)  # for both models
            rng = np.random.default_rng([simulation, fold, ord(model)])
            right = rng.random(120) < np.array([share[model, level] for level in levels]) + hard
            draws = draw(groups, 200, "field", fold, "test")
            weight = draws.counts[:, draws.group] * 1.0  # [1 + D, N]
            parts = {("", ""): levels != "", **{("n_sources", level): levels == level for level in held}}
            figures = [(weight @ (right & part)) / (weight @ part) for part in parts.values()]
            keys = [Key("accuracy", "", "", "clip", *part) for part in parts]
            sample = Sample([f"c{i}" for i in range(120)], groups, "recording", 200)
            drawn = Drawn(keys, np.array(figures, dtype=np.float32), sample, {"n_sources": levels})
            runs.append((Run("field", model, fold, 0), tmp_path / f"{model}{fold}"))
            write_drawn(drawn, runs[-1][1] / "draws.npz")
        table = by_level(runs, "accuracy")
        for level in held:
            row = table.loc["n_sources", level]
            held[level] += row["low"] <= share["b", level] - share["a", level] <= row["high"]
            found[level] += row["low"] > 0
    assert all(88 <= n_held <= 99 for n_held in held.values())
    assert found["1"] <= 8
    assert found["2"] >= 80
