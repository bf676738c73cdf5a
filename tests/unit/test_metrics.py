"""Metrics by hand, against scikit-learn, of repeated clips, and what happens where they are undefined."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    label_ranking_average_precision_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from tymbal.errors import InputError
from tymbal.evaluate import weighted
from tymbal.evaluate.bootstrap import Draws, draw_groups
from tymbal.evaluate.metrics import CHOSEN, FIXED, dprime, evaluate, headline
from tymbal.evaluate.targets import binarise
from tymbal.evaluate.weighted import calibration_error, equal_mass_bins

RULES = ["any", "main", "main-ignore-sub"]
HALF = {FIXED: 0.5}
EXACT = {"rel": 1e-12, "abs": 1e-14}


def by_name(rows):
    return {(row.metric, row.class_name): row for row in rows}


def of_one_class(scores, targets, rule="any"):
    """Metrics of a class, beside one that is easy."""
    n = len(scores)
    easy = (np.arange(n) % 2).astype(float)
    rows = evaluate(
        np.column_stack([scores, easy]), np.column_stack([targets, easy]), ["a", "easy"], rule, HALF, single_label=False
    )
    return by_name(rows)


@st.composite
def tables(draw, single_label=False):
    """Scores, of which many are tied or all differ, and labels of classes that all, some or no clips have."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, n_classes = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    n_levels = draw(st.sampled_from([1, 3, 10, 1 << 20]))
    scores = rng.integers(0, n_levels + 1, (n, n_classes)) / n_levels
    share = rng.choice([0, 0.2, 0.5, 1], n_classes)
    soft = (rng.random((n, n_classes)) < share) * rng.choice([0.6, 1], (n, n_classes))
    if single_label:
        soft = np.eye(n_classes)[rng.integers(n_classes, size=n)]
    return scores, soft


# --- values ------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(tables(), st.sampled_from(RULES), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_values_equal_scikit_learns(table, rule, threshold):
    scores, soft = table
    classes = list("abcd")[: scores.shape[1]]
    targets, keep = binarise(soft, rule)
    rows = by_name(evaluate(scores, soft, classes, rule, {FIXED: threshold}, single_label=False))
    expected = {}
    for c, name in enumerate(classes):
        s, y = scores[keep[:, c], c], targets[keep[:, c], c]
        detected = s >= threshold
        some, mixed = y.any(), y.any() and not y.all()
        expected |= {
            ("AP", name): average_precision_score(y, s) if some else None,
            ("AUC", name): roc_auc_score(y, s) if mixed else None,
            ("precision", name): precision_score(y, detected) if some and detected.any() else None,
            ("recall", name): recall_score(y, detected) if some else None,
            ("F1", name): f1_score(y, detected) if some else None,
            ("Brier", name): brier_score_loss(y, s, labels=[False, True]) if len(y) else None,
            ("prevalence", name): y.mean() if len(y) else None,
        }
    for metric, mean in {"AP": "mAP", "AUC": "AUC", "precision": "precision", "recall": "recall", "F1": "F1"}.items():
        defined = [expected[metric, name] for name in classes if expected[metric, name] is not None]
        expected[f"{mean}_macro", ""] = np.mean(defined) if defined else None
    evaluable = [expected["prevalence", name] for name in classes if expected["AP", name] is not None]
    expected["prevalence_macro", ""] = np.mean(evaluable) if evaluable else None
    kept, truth = scores[keep], targets[keep]
    some = truth.any()
    expected |= {
        ("mAP_micro", ""): average_precision_score(truth, kept) if some else None,
        ("F1_micro", ""): f1_score(truth, kept >= threshold) if some else None,
        ("Brier", ""): np.mean((kept - truth) ** 2) if len(kept) else None,
        ("soft_Brier", ""): np.mean((scores - soft) ** 2),
        ("soft_BCE", ""): torch.nn.functional.binary_cross_entropy(*map(torch.from_numpy, (scores, soft))).item(),
    }
    found = {key: rows[key].value for key in expected}
    assert found == {key: value if value is None else pytest.approx(value, **EXACT) for key, value in expected.items()}
    for row in rows.values():
        assert (row.value is None) <= (row.note != "")
        assert row.value is None or math.isfinite(row.value)


@settings(deadline=None, max_examples=30)
@given(tables(single_label=True))
def test_accuracies_equal_scikit_learns(table):
    scores, labels = table
    classes = list("abcd")[: scores.shape[1]]
    rows = by_name(evaluate(scores, labels, classes, "any", {}, single_label=True))
    pair = labels.argmax(axis=1), scores.argmax(axis=1)
    occurring = np.unique(pair[0])
    recall = recall_score(*pair, labels=occurring, average="macro", zero_division=0)
    assert rows["accuracy", ""].value == pytest.approx(accuracy_score(*pair), **EXACT)
    assert rows["balanced_accuracy", ""].value == pytest.approx(recall, **EXACT)
    assert rows["balanced_accuracy", ""].n_classes == len(occurring)
    if len(occurring) == len(classes) > 1:
        assert rows["balanced_accuracy", ""].value == pytest.approx(balanced_accuracy_score(*pair), **EXACT)


@settings(deadline=None, max_examples=40)
@given(tables(), st.sampled_from(RULES[:2]))
def test_lwlrap_is_label_ranking_precision_weighted_by_the_number_of_labels(table, rule):
    scores, soft = table
    classes = list("abcd")[: scores.shape[1]]
    value = by_name(evaluate(scores, soft, classes, rule, {}, single_label=False))["lwlrap", ""].value
    targets, _ = binarise(soft, rule)
    n_labels = targets.sum(axis=1)
    if not n_labels.any():
        assert value is None
    elif len(classes) > 1:
        expected = label_ranking_average_precision_score(targets, scores, sample_weight=n_labels)
        assert value == pytest.approx(expected, **EXACT)
    else:
        assert value == 1


def test_lwlrap_by_hand_leaves_cells_out():
    # First clip: b is found behind c, a does not count: 1/2. Second: a first, c tied with b second and third: 1, 2/3.
    soft = np.array([[0.6, 1, 0], [1, 0, 1]])
    scores = np.array([[0.9, 0.5, 0.7], [0.8, 0.4, 0.4]])
    rows = by_name(evaluate(scores, soft, list("abc"), "main-ignore-sub", {}, single_label=False))
    assert rows["lwlrap", ""].value == pytest.approx((1 / 2 + 1 + 2 / 3) / 3)


def test_calibration_error_without_ties_is_that_of_ten_equal_parts():
    rng = np.random.default_rng(0)
    scores = rng.permutation(np.linspace(0, 1, 200)) ** 2
    targets = rng.random(200) < scores**2
    parts = np.array_split(np.argsort(scores), 10)
    expected = np.mean([abs(scores[part].mean() - targets[part].mean()) for part in parts])
    assert calibration_error(scores, targets) == pytest.approx(expected, rel=1e-12)


def test_tied_scores_share_a_bin():
    scores = np.array([0.1] * 7 + [0.5] * 10 + [0.9] * 3)
    assert equal_mass_bins(scores).tolist() == [1] * 7 + [6] * 10 + [9] * 3
    # The distances of mean score and share of positives in the three bins.
    targets = np.concatenate([np.arange(7) < 3, np.arange(10) < 5, np.arange(3) < 3])
    assert calibration_error(scores, targets) == pytest.approx((7 * (3 / 7 - 0.1) + 0 + 3 * 0.1) / 20)


@settings(deadline=None, max_examples=30)
@given(tables(), st.sampled_from(RULES))
def test_no_metric_but_the_soft_ones_looks_at_cells_left_out(table, rule):
    scores, soft = table
    _, keep = binarise(soft, rule)
    classes = list("abcd")[: scores.shape[1]]

    def values(scores):
        rows = evaluate(scores, soft, classes, rule, HALF, single_label=False, calibrated=scores**2)
        return [row for row in rows if not row.metric.startswith("soft")]

    assert values(scores) == values(np.where(keep, scores, 1 - scores))


def test_average_precision_by_hand():
    # Ranked: hit, miss, hit, miss. Precision at the hits: 1 and 2/3.
    rows = of_one_class([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0])
    assert rows["AP", "a"].value == pytest.approx(5 / 6)


def test_ties_are_one_step_whatever_the_order():
    for targets in ([1, 0, 0, 0], [0, 0, 0, 1]):
        rows = of_one_class([0.5] * 4, targets)
        assert rows["AP", "a"].value == 0.25
        assert rows["AUC", "a"].value == 0.5


def test_dprime():
    values = dprime(np.array([0.5, 0.9, 1.0, 0.0, np.nan]))
    assert values[:2] == pytest.approx([0, 1.8124], abs=1e-4)
    assert values[2:].tolist() == pytest.approx([np.inf, -np.inf, np.nan], nan_ok=True)


def test_dprime_over_classes_is_that_of_the_mean_auc():
    rows = of_one_class([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0])  # AUC 0.75, and 1 for the other
    assert rows["dprime_of_mean_AUC", ""].value == pytest.approx(math.sqrt(2) * 1.150349, abs=1e-5)


def test_cells_left_out_by_the_rule_do_not_count():
    soft = [1, 0.6, 0, 0]
    rows = of_one_class([0.8, 0.9, 0.2, 0.1], soft, "main-ignore-sub")
    assert rows["AP", "a"].value == 1
    assert rows["prevalence", "a"].value == pytest.approx(1 / 3)
    assert rows["AP", "a"].n_clips == 3
    assert rows["mAP_micro", ""].value == 1
    assert rows["mAP_micro", ""].n_clips == 4
    assert of_one_class([0.8, 0.9, 0.2, 0.1], soft, "main")["AP", "a"].value == 0.5
    assert of_one_class([0.8, 0.9, 0.2, 0.1], soft, "any")["AP", "a"].n_pos == 2


def test_micro_ranks_all_cells_together():
    scores, targets = np.array([[0.9, 0.2], [0.8, 0.7]]), np.array([[1.0, 0], [0, 1]])
    rows = by_name(evaluate(scores, targets, ["a", "b"], "any", {}, single_label=False))
    assert rows["mAP_micro", ""].value == pytest.approx((1 + 2 / 3) / 2)
    assert rows["mAP_macro", ""].value == 1


def test_a_clip_whose_class_is_left_out_has_no_accuracy():
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    soft = np.array([[1, 0], [0.6, 0], [0, 1.0]])
    for rule, accuracy in (("any", 1 / 3), ("main", 1 / 2), ("main-ignore-sub", 1 / 2)):
        rows = by_name(evaluate(scores, soft, ["a", "b"], rule, {}, single_label=True))
        assert rows["accuracy", ""].value == pytest.approx(accuracy)


def test_thresholds_have_names_and_may_differ_by_class():
    scores, labels = np.array([[0.4, 0.4], [0.6, 0.6], [0.8, 0.8]]), np.array([[0, 1.0], [0, 1], [1, 1]])
    rows = evaluate(scores, labels, ["a", "b"], "any", {FIXED: 0.5, CHOSEN: np.array([0.8, 0.4])}, single_label=False)
    f1 = {(row.thresholds, row.class_name): row.value for row in rows if row.metric == "F1"}
    assert f1 == pytest.approx(
        {(FIXED, "a"): 2 / 3, (FIXED, "b"): 4 / 5, (CHOSEN, "a"): 1, (CHOSEN, "b"): 1},
    )
    precision = {row.thresholds: row.value for row in rows if row.metric == "precision_macro"}
    assert precision == pytest.approx({FIXED: 3 / 4, CHOSEN: 1})
    assert headline(rows)["precision"] == precision[FIXED]
    assert {row.thresholds for row in rows if row.metric in ("AP", "accuracy", "Brier", "ECE")} == {""}


def test_computing_is_in_double_precision_whatever_the_scores_are():
    scores = np.full((1, 1), 0.7, dtype=np.float32)  # less than 0.7
    rows = evaluate(scores, np.ones((1, 1)), ["a"], "any", {FIXED: 0.7}, single_label=False, calibrated=scores)
    assert by_name(rows)["recall", "a"].value == 0
    assert by_name(rows)["Brier", "a"].value == (1 - float(scores[0, 0])) ** 2
    for metric in ("Brier", "soft_Brier", "soft_BCE", "ECE"):
        assert by_name(rows)[metric, ""].value == by_name(rows)[f"{metric}_calibrated", ""].value
    assert by_name(rows)["ECE", ""].value == 1 - float(scores[0, 0])


def test_calibrated_probabilities_have_metrics_of_their_own():
    rng = np.random.default_rng(0)
    soft = rng.choice([0, 0.6, 1], (50, 2))
    scores, calibrated = rng.random((2, 50, 2))
    rows = by_name(evaluate(scores, soft, ["a", "b"], "any", HALF, single_label=False, calibrated=calibrated))
    alone = by_name(evaluate(calibrated, soft, ["a", "b"], "any", HALF, single_label=False))
    for metric in ("Brier", "ECE", "soft_Brier", "soft_BCE"):
        assert rows[f"{metric}_calibrated", ""].value == alone[metric, ""].value != rows[metric, ""].value
    assert rows["AP", "a"].value != alone["AP", "a"].value
    assert not any(metric.endswith("_calibrated") for metric, _ in alone)


def test_cross_entropy_of_scores_that_leave_no_doubt_is_bounded_and_told():
    soft = np.array([[1.0, 0], [0, 1], [0.6, 0]])
    rows = by_name(
        evaluate(np.array([[1.0, 0], [1, 1], [0, 0]]), soft, ["a", "b"], "any", {}, single_label=False),
    )
    row = rows["soft_BCE", ""]
    assert row.value == pytest.approx((100 + 60) / 6)
    assert row.note.startswith("2 scores are 0 or 1 against their label")
    assert by_name(evaluate(soft * 0.5 + 0.2, soft, ["a", "b"], "any", {}, False))["soft_BCE", ""].note == ""


# --- what is undefined -------------------------------------------------------------------------------------


def test_a_class_without_positives_is_not_evaluable_and_not_averaged():
    rows = of_one_class([0.9, 0.1, 0.8, 0.2], [0, 0, 0, 0])
    for metric in ("AP", "AUC", "dprime", "precision", "recall", "F1"):
        assert rows[metric, "a"].value is None
        assert rows[metric, "a"].note == "not evaluable (0 positives)"
        assert rows[metric, "a"].n_classes == 0
    for metric in ("mAP_macro", "AUC_macro", "precision_macro", "recall_macro", "F1_macro"):
        assert rows[metric, ""].value == 1
        assert rows[metric, ""].n_classes == 1
        assert rows[metric, ""].note == "without a"


def test_a_class_with_positives_only_has_no_auc():
    rows = of_one_class([0.9, 0.1, 0.8, 0.2], [1, 1, 1, 1])
    assert rows["AP", "a"].value == 1
    for metric in ("AUC", "dprime"):
        assert rows[metric, "a"].value is None
        assert rows[metric, "a"].note == "not evaluable (0 negatives)"
    assert rows["prevalence", "a"].value == 1
    assert rows["mAP_macro", ""].n_classes == 2
    assert rows["AUC_macro", ""].n_classes == 1


def test_infinite_dprime_is_told_not_stored():
    rows = of_one_class([0.9, 0.1, 0.8, 0.2], [1, 0, 1, 0])
    assert rows["AUC", "a"].value == 1
    assert rows["dprime", "a"].value is None
    assert rows["dprime", "a"].note == "infinite (AUC is 1)"
    assert rows["dprime_of_mean_AUC", ""].value is None
    assert rows["dprime_of_mean_AUC", ""].note == "infinite (AUC is 1)"


def test_nothing_evaluable_at_all():
    rows = evaluate(np.full((3, 2), 0.5), np.zeros((3, 2)), ["a", "b"], "any", HALF, single_label=True)
    undefined = {row.metric for row in rows if row.value is None and not row.class_name}
    assert undefined == {
        *("mAP_macro", "prevalence_macro", "mAP_micro", "AUC_macro", "dprime_of_mean_AUC", "lwlrap"),
        *("accuracy", "balanced_accuracy"),
        *("precision_macro", "recall_macro", "F1_macro", "F1_micro"),
    }
    assert set(headline(rows).values()) == {None}
    assert all(row.n_classes == 0 for row in rows if row.value is None)


def test_a_class_of_which_no_clip_counts():
    rows = by_name(
        evaluate(
            np.full((2, 2), 0.5),
            np.array([[0.6, 1], [0.6, 0]]),
            ["a", "b"],
            "main-ignore-sub",
            HALF,
            single_label=False,
        )
    )
    for metric in ("AP", "F1", "prevalence", "Brier"):
        assert rows[metric, "a"].value is None
        assert rows[metric, "a"].note == "no clips"
    assert rows["Brier", ""].value == 0.25


def test_no_detection_means_no_precision_and_no_recall():
    rows = of_one_class([0.4, 0.1, 0.3, 0.2], [1, 0, 1, 0])
    assert rows["precision", "a"].value is None
    assert rows["precision", "a"].note == "no score reaches 0.5"
    assert rows["recall", "a"].value == 0
    assert rows["F1", "a"].value == 0
    assert rows["precision_macro", ""].n_classes == 1


def test_scores_of_a_diverged_model_are_refused():
    scores = np.array([[0.5, np.nan], [0.1, 0.2]])
    with pytest.raises(InputError, match="1 of 2 clips have scores that are not finite"):
        evaluate(scores, np.eye(2), ["a", "b"], "any", HALF, single_label=False)


# --- draws -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("single_label", [False, True])
@pytest.mark.parametrize("cells", [1 << 20, 100])
def test_each_draw_is_what_evaluating_its_clips_gives(monkeypatch, rule, single_label, cells):
    """A clip drawn twice counts as two clips of the table would."""
    monkeypatch.setattr(weighted, "CELLS", cells)
    rng = np.random.default_rng(0)
    n, n_groups, classes = 40, 12, ["Owl", "Frog", "蟬"]
    soft = rng.choice([0, 0.4, 1], size=(n, 3), p=[0.8, 0.05, 0.15])
    soft[:, 2] = 0
    soft[:2, 2] = 1  # in many a draw there is no positive
    if single_label:
        soft = np.eye(3)[np.where(np.arange(n) < 2, 2, np.arange(n) % 2)]
    scores, calibrated = rng.integers(0, 12, (n, 3)) / 12, rng.random((n, 3))
    group, counts = rng.integers(n_groups, size=n), draw_groups(n_groups, 40, 0)

    def evaluated(clips, draws=None):
        return by_threshold(
            evaluate(
                scores[clips],
                soft[clips],
                classes,
                rule,
                {FIXED: 0.5, CHOSEN: np.array([0.2, 0.4, 0.6])},
                single_label,
                calibrated=calibrated[clips],
                draws=draws,
            )
        )

    rows = evaluated(slice(None), Draws(group, counts))
    n_lacking = 0
    for i, count in enumerate(counts):
        expected = evaluated(np.repeat(np.arange(n), count[group]))
        for key, row in rows.items():
            if i == 0 or not key[0].startswith("ECE"):
                value = np.nan if expected[key].value is None else expected[key].value
                if key[0].startswith("dprime"):  # infinite, where the figure of the clips is none
                    auc = expected["AUC" if key[1] else "AUC_macro", key[1], ""].value
                    value = dprime(np.array(auc, dtype=float))
                if key[0] == "prevalence_macro":  # of the classes that the value is of
                    value = np.mean([expected["prevalence", name, ""].value for name in classes])
                assert row.drawn[i] == pytest.approx(value, nan_ok=True, **EXACT), key
        n_lacking += expected["AP", "蟬", ""].value is None
    assert rows["AP", "蟬", ""].draws == 40 - n_lacking < 38
    assert rows["mAP_macro", "", ""].draws == 40
    assert rows["mAP_macro", "", ""].note == f"{n_lacking} of 40 draws are of fewer classes"


def by_threshold(rows):
    return {(row.metric, row.class_name, row.thresholds): row for row in rows}


def test_an_interval_is_of_the_draws_in_which_the_figure_is_defined():
    counts = draw_groups(5, 200, 0)
    scores, labels = np.array([[0.9], [0.1], [0.2], [0.3], [0.4]]), np.array([[1.0], [0], [1], [0], [0]])
    row = by_name(evaluate(scores, labels, ["a"], "any", {}, False, draws=Draws(np.arange(5), counts)))["AUC", "a"]
    defined = counts[1:, [0, 2]].any(axis=1) & counts[1:, [1, 3, 4]].any(axis=1)
    assert row.draws == defined.sum() < 200
    assert np.array_equal(np.isfinite(row.drawn[1:]), defined)
    ordered = np.sort(row.drawn[1:][defined])
    outside = int(0.025 * (len(ordered) - 1))
    assert (row.low, row.high) == (ordered[outside], ordered[-1 - outside])
    assert row.n_groups == 5


def test_the_interval_of_dprime_is_that_of_the_auc():
    """Many draws have an AUC of 1, and none of them is lost."""
    rng = np.random.default_rng(0)
    labels = np.repeat([[1.0, 1], [0, 0]], 12, axis=0)
    scores = expit(labels * [2.2, 1] + rng.normal(0, 1, labels.shape))
    draws = Draws(np.arange(24), draw_groups(24, 999, 0))
    rows = by_name(evaluate(scores, labels, ["a", "b"], "any", {}, False, draws=draws))
    pairs = [("AUC", "dprime", "a"), ("AUC", "dprime", "b"), ("AUC_macro", "dprime_of_mean_AUC", "")]
    ends = []
    for auc, index, name in pairs:
        area, row = rows[auc, name], rows[index, name]
        expected = [float(end) if np.isfinite(end) else None for end in dprime(np.array([area.low, area.high]))]
        assert [row.low, row.high] == [end if end is None else pytest.approx(end) for end in expected]
        assert row.value is not None
        assert row.draws == area.draws
        assert row.note == ("high infinite" if row.high is None else "")
        ends.append(row.high is None)
    assert ends == [True, False, False]


def test_the_chance_level_is_of_the_same_classes_in_all_draws():
    """A class of one clip is in two thirds of the draws, and its prevalence in the others is 0."""
    labels = np.zeros((100, 2))
    labels[:50, 0] = labels[0, 1] = 1
    draws = Draws(np.arange(100), draw_groups(100, 300, 0))
    rows = evaluate(np.full((100, 2), 0.5), labels, ["a", "rare"], "any", {}, False, draws=draws)
    row = by_name(rows)["prevalence_macro", ""]
    assert row.low < row.value < row.high
    assert row.drawn == pytest.approx((draws.counts[:, :50].sum(1) + draws.counts[:, 0]) / 200)


def test_without_draws_there_are_no_intervals():
    for row in evaluate(np.eye(2), np.eye(2), ["a", "b"], "any", HALF, single_label=True):
        assert (row.low, row.high, row.draws, row.n_groups) == (None, None, 0, None)


def test_the_calibration_error_has_no_interval_and_says_so():
    rng = np.random.default_rng(0)
    scores, draws = rng.random((30, 2)), Draws(np.arange(30), draw_groups(30, 10, 0))
    rows = evaluate(scores, np.round(scores), ["a", "b"], "any", {}, False, calibrated=scores, draws=draws)
    for row in rows:
        if row.metric.startswith("ECE"):
            assert row.value is not None
            assert (row.low, row.high, row.draws) == (None, None, 0)
            assert row.note.startswith("no interval")


# --- rows --------------------------------------------------------------------------------------------------


def test_headline_of_single_labels():
    scores = np.array([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9], [0.2, 0.8]])
    labels = np.eye(2)[[0, 1, 1, 1]]
    values = headline(evaluate(scores, labels, ["a", "b"], "any", HALF, single_label=True))
    assert list(values) == ["mAP", "AUC", "dprime", "precision", "recall", "accuracy"]
    assert values["accuracy"] == 0.75
    assert values["recall"] == pytest.approx((1 + 2 / 3) / 2)
    assert headline(evaluate(scores, labels, ["a", "b"], "any", HALF, single_label=False))["accuracy"] is None


def test_rows_of_classes_come_first_and_are_json():
    rows = evaluate(np.eye(2), np.eye(2), ["b", "a"], "any", HALF, single_label=True)
    assert list(dict.fromkeys(row.class_name for row in rows)) == ["b", "a", ""]
    row = next(row for row in rows if (row.metric, row.class_name) == ("F1", "a"))
    assert row.to_json() == {
        "metric": "F1",
        "class": "a",
        "thresholds": "fixed",
        "unit": "clip",
        "slice": "",
        "level": "",
        "value": 1.0,
        "low": None,
        "high": None,
        "draws": 0,
        "n_pos": 1,
        "n_clips": 2,
        "n_groups": None,
        "n_classes": 1,
        "note": "",
    }
