"""Differences between models, and the bootstrap behind their intervals."""

import numpy as np
import pandas as pd
import pytest

from tymbal.errors import InputError
from tymbal.evaluate import bootstrap
from tymbal.evaluate.bootstrap import accuracy, draw_recordings, mean_average_precision
from tymbal.evaluate.metrics import evaluate
from tymbal.evaluate.paired import COLUMNS, N_DRAWS, compare
from tymbal.evaluate.predictions import SCORE
from tymbal.ingest.manifest import LABEL
from tymbal.runs import Run
from tymbal.tables import write_csv

CLASSES = ["Owl", "Frog", "蟬"]

# --- the bootstrap ----------------------------------------------------------------------------------------


def clips(n: int, n_recordings: int, seed: int = 0):
    """Scores with many ties, soft labels with rare classes, and recordings."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0.4, 1], size=(n, 3), p=[0.8, 0.05, 0.15]).astype(np.float32)
    labels[:, 2] = 0
    labels[:2, 2] = 1  # in many a draw there is no positive
    scores = (rng.integers(0, 12, (n, 3)) / 12).astype(np.float32)
    return scores, labels, rng.integers(n_recordings, size=n)


def by_repetition(scores, labels, recording, count, rule, single_label):
    """The metrics of `evaluate` on a table that holds each clip as often as it was drawn."""
    drawn = np.repeat(np.arange(len(scores)), count[recording])
    rows = evaluate(scores[drawn], labels[drawn], CLASSES, rule, 0.5, single_label)
    return {row.metric: row.value for row in rows if not row.class_name}


@pytest.mark.parametrize("rule", ["any", "main", "main-ignore-sub"])
@pytest.mark.parametrize("cells", [1 << 22, 100])
def test_each_draw_is_evaluated_as_its_clips_are(monkeypatch, rule, cells):
    monkeypatch.setattr(bootstrap, "CELLS", cells)
    scores, labels, recording = clips(40, 12)
    counts = draw_recordings(12, 60, 0)
    counts[-1] = 0
    found = mean_average_precision(scores, labels, rule, recording, counts)
    lacking = 0
    for value, count in zip(found[:-1], counts[:-1], strict=True):
        expected = by_repetition(scores, labels, recording, count, rule, False)["mAP_macro"]
        assert value == pytest.approx(expected, abs=1e-12)
        lacking += not count[recording[:2]].any()
    assert lacking > 3
    assert np.isnan(found[-1])  # nothing drawn: not defined, and not 0


def test_accuracy_of_each_draw():
    scores, _, recording = clips(40, 12)
    labels = np.eye(3, dtype=np.float32)[np.arange(40) % 3]
    counts = draw_recordings(12, 60, 0)
    for value, count in zip(accuracy(scores, labels, recording, counts), counts, strict=True):
        assert value == pytest.approx(by_repetition(scores, labels, recording, count, "any", True)["accuracy"])


def test_draws_are_of_as_many_recordings_with_replacement():
    counts = draw_recordings(50, 2000, 7)
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == 50).all()
    assert counts[1:].mean(axis=0) == pytest.approx(1, abs=0.1)
    assert (counts[1:] == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)
    assert np.array_equal(counts, draw_recordings(50, 2000, 7))
    assert not np.array_equal(counts, draw_recordings(50, 2000, 8))


# --- pairs ------------------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path):
    """Writes the predictions of a run; gives run and folder."""

    def write(run: Run, scores: np.ndarray, labels: np.ndarray, recording, site="S1", clip_ids=None):
        table = pd.DataFrame({"clip_id": clip_ids or [f"f{run.fold}c{i}" for i in range(len(scores))]})
        table["recording"], table["site"] = recording, site
        for prefix, values in ((SCORE, scores), (LABEL, labels)):
            table[[prefix + name for name in CLASSES]] = values
        folder = tmp_path / run.folder
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(table, folder / "predictions.csv", float_format="%.9g")
        return run, folder

    return write


def single(n: int, share_right: float, seed: int = 0):
    """Scores of a model that is right so often, and labels of one class a clip, which are the same for every seed."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    predicted = np.where(rng.random(n) < share_right, truth, (truth + 1) % 3)
    return np.eye(3, dtype=np.float32)[predicted] * 0.8, np.eye(3, dtype=np.float32)[truth]


def paired(runs, single_label=True) -> pd.DataFrame:
    return compare(runs, {"field": single_label}, "any").set_index(["model_a", "model_b", "metric"])


def test_a_pair_is_compared_in_the_runs_it_shares(write):
    runs, right = [], {"good": [], "bad": []}
    for fold, seed in ((1, 0), (2, 0), (1, 5), (2, 5)):
        n = 40 * fold
        for model, share in (("bad", 0.4), ("good", 0.9)):
            scores, labels = single(n, share, seed + fold)
            runs.append(write(Run("field", model, fold, seed), scores, labels, [f"{fold}-{i // 2}" for i in range(n)]))
            right[model].append((scores.argmax(1) == labels.argmax(1)) * 1.0)
    scores, labels = single(40, 0.2, 9)
    runs.append(write(Run("field", "once", 1, 5), scores, labels, [f"1-{i // 2}" for i in range(40)]))
    runs.append(write(Run("field", "alone", 3, 5), scores, labels, "r"))
    table = paired(runs)
    assert list(table.reset_index()[COLUMNS]) == COLUMNS
    assert [pair for pair in table.index if pair[2] == "mAP"] == [
        ("bad", "good", "mAP"),
        ("bad", "once", "mAP"),
        ("good", "once", "mAP"),
    ]
    row = table.loc["bad", "good", "accuracy"]
    assert (row["n_runs"], row["n_recordings"], row["draws"]) == (4, 20 + 40, N_DRAWS)
    means = {model: np.mean([clips.mean() for clips in of_runs]) for model, of_runs in right.items()}
    assert row["mean_a"] == pytest.approx(means["bad"])
    assert row["difference"] == pytest.approx(means["good"] - means["bad"])
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert table.loc["bad", "once", "accuracy"][["n_runs", "n_recordings"]].tolist() == [1, 20]
    # The interval of a mean over folds of differences, as the normal approximation has it.
    of_folds = [np.mean([right["good"][i] - right["bad"][i] for i in (fold, fold + 2)], axis=0) for fold in (0, 1)]
    of_recordings = [clips.reshape(-1, 2).mean(axis=1) for clips in of_folds]
    width = 2 * 1.96 * np.sqrt(sum(each.var() / len(each) for each in of_recordings)) / 2
    assert row["high"] - row["low"] == pytest.approx(width, rel=0.15)


@pytest.mark.parametrize("rule", ["any", "main-ignore-sub"])
def test_differences_are_those_of_the_means_over_runs(write, rule):
    """Folds of different sizes, one without any positive: where the clips of all folds pooled would tell otherwise."""
    runs, alone = [], {"a": [], "b": []}
    for fold, seed in ((1, 0), (2, 0), (3, 0), (1, 1)):
        _, labels, recording = clips(20 * fold, 6, fold)
        labels = labels * (fold != 3)
        for model in alone:
            scores = clips(20 * fold, 6, 100 * fold + 10 * seed + len(alone[model]) + (model == "b"))[0] * fold / 3
            runs.append(write(Run("field", model, fold, seed), scores, labels, recording))
            found = {row.metric: row.value for row in evaluate(scores, labels, CLASSES, rule, 0.5, False)}
            alone[model].append(found["mAP_macro"])
    row = compare(runs, {"field": False}, rule).iloc[0]
    a, b = (np.mean([value for value in values if value is not None]) for values in alone.values())
    assert None in alone["a"]
    assert row[["mean_a", "mean_b", "difference"]].tolist() == pytest.approx([a, b, b - a])


def test_equal_models_do_not_differ_whatever_is_drawn(write):
    scores, labels, recording = clips(50, 10)
    runs = [write(Run("field", model, 1, 0), scores, labels, recording) for model in ("a", "b")]
    table = paired(runs, single_label=False)
    assert table.index.tolist() == [("a", "b", "mAP")]  # no accuracy without single labels
    assert table.loc["a", "b", "mAP"][["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert table["draws"].item() == N_DRAWS


def test_more_clips_of_the_same_recordings_make_no_narrower_interval(write):
    def interval(copies):
        runs = []
        for model, share in (("a", 0.5), ("b", 0.7)):
            scores, labels = (np.repeat(part, copies, axis=0) for part in single(30, share, int(10 * share)))
            runs.append(write(Run("field", model, 1, 0), scores, labels, np.repeat(np.arange(30), copies)))
        return paired(runs).loc["a", "b", "accuracy"][["low", "high"]].tolist()

    once = interval(1)
    assert once[0] < once[1]
    assert interval(4) == pytest.approx(once)


def test_the_interval_depends_on_nothing_else(write):
    def runs(names):
        made = []
        for model, share in names:
            scores, labels = single(60, share, int(100 * share))
            made.append(write(Run("field", model, 1, 0), scores, labels, np.arange(60) // 3))
        return made

    alone = paired(runs([("a", 0.5), ("b", 0.6)]))
    among = paired(runs([("c", 0.8), ("a", 0.5), ("b", 0.6)]))
    pd.testing.assert_frame_equal(alone, among.loc[alone.index])


def test_recordings_of_one_name_at_two_sites_are_two(write):
    runs = []
    for model, share in (("a", 0.5), ("b", 0.6)):
        scores, labels = single(20, share)
        site = np.repeat(["S1", "S2"], 10)
        runs.append(write(Run("field", model, 1, 0), scores, labels, [f"r{i % 5}" for i in range(20)], site))
    assert paired(runs)["n_recordings"].tolist() == [10, 10]


def test_predictions_of_different_clips_are_refused(write):
    scores, labels = single(3, 1.0)
    runs = [
        write(Run("field", model, 2, 0), scores, labels, "r", clip_ids=["x", "y", last])
        for model, last in (("a", "z"), ("b", "w"))
    ]
    with pytest.raises(InputError, match=r"predictions of a and b on field, fold 2, seed 0, are of different clips"):
        paired(runs)


def test_a_metric_that_is_never_defined_is_empty(write):
    scores, labels = single(6, 1.0)
    runs = [write(Run("field", model, 1, 0), scores, 0 * labels, "r") for model in ("a", "b")]
    row = paired(runs, single_label=False).loc["a", "b", "mAP"]
    assert row[["mean_a", "difference", "low", "high"]].isna().all()
    assert row["draws"] == 0
