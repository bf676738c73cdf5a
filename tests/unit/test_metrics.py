"""Metrics by hand, and what happens where they are undefined."""

import math

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from tymbal.errors import InputError
from tymbal.evaluate.metrics import average_precision, dprime, evaluate, headline, roc_auc


def by_name(rows):
    return {(row.metric, row.class_name): row for row in rows}


def of_one_class(scores, targets, rule="any"):
    """Metrics of a class, beside one that is easy."""
    n = len(scores)
    easy = (np.arange(n) % 2).astype(float)
    rows = evaluate(
        np.column_stack([scores, easy]), np.column_stack([targets, easy]), ["a", "easy"], rule, 0.5, single_label=False
    )
    return by_name(rows)


def test_average_precision_by_hand():
    # Ranked: hit, miss, hit, miss. Precision at the hits: 1 and 2/3.
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.1]), np.array([1, 0, 1, 0], bool)) == pytest.approx(5 / 6)


def test_ties_are_one_step_whatever_the_order():
    tied = np.full(4, 0.5)
    for targets in ([1, 0, 0, 0], [0, 0, 0, 1]):
        assert average_precision(tied, np.array(targets, bool)) == 0.25
        assert roc_auc(tied, np.array(targets, bool)) == 0.5


def test_dprime():
    assert dprime(0.5) == 0
    assert dprime(0.9) == pytest.approx(1.8124, abs=1e-4)
    assert dprime(1.0) is None
    assert dprime(0.0) is None


def test_a_class_without_positives_is_not_evaluable_and_not_averaged():
    rows = of_one_class([0.9, 0.1, 0.8, 0.2], [0, 0, 0, 0])
    for metric in ("AP", "AUC", "dprime", "precision", "recall"):
        assert rows[metric, "a"].value is None
        assert rows[metric, "a"].note == "not evaluable (0 positives)"
        assert rows[metric, "a"].n_classes == 0
    for metric in ("mAP_macro", "AUC_macro", "precision_macro", "recall_macro"):
        assert rows[metric, ""].value == 1
        assert rows[metric, ""].n_classes == 1
        assert rows[metric, ""].note == "without a"


def test_a_class_with_positives_only_has_no_auc():
    rows = of_one_class([0.9, 0.1, 0.8, 0.2], [1, 1, 1, 1])
    assert rows["AP", "a"].value == 1
    assert rows["AUC", "a"].value is None
    assert rows["AUC", "a"].note == "not evaluable (0 negatives)"
    assert rows["prevalence", "a"].value == 1
    assert rows["mAP_macro", ""].n_classes == 2
    assert rows["AUC_macro", ""].n_classes == 1


def test_infinite_dprime_is_told_not_stored():
    rows = of_one_class([0.9, 0.1, 0.8, 0.2], [1, 0, 1, 0])
    assert rows["AUC", "a"].value == 1
    assert rows["dprime", "a"].value is None
    assert "infinite" in rows["dprime", "a"].note
    assert rows["dprime_of_mean_AUC", ""].value is None
    assert "infinite" in rows["dprime_of_mean_AUC", ""].note


def test_dprime_over_classes_is_that_of_the_mean_auc():
    rows = of_one_class([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0])  # AUC 0.75, and 1 for the other
    assert rows["dprime_of_mean_AUC", ""].value == pytest.approx(math.sqrt(2) * 1.150349, abs=1e-5)


def test_nothing_evaluable_at_all():
    rows = evaluate(np.full((3, 2), 0.5), np.zeros((3, 2)), ["a", "b"], "any", 0.5, single_label=False)
    assert [row.value for row in rows if not row.class_name] == [None] * 6
    assert headline(rows)["mAP"] is None


def test_precision_and_recall_at_the_threshold_equal_scikit_learns():
    rng = np.random.default_rng(0)
    scores, targets = rng.random((50, 4)).round(1), rng.random((50, 4)) < 0.4
    rows = by_name(evaluate(scores, targets.astype(float), list("abcd"), "any", 0.3, single_label=False))
    detected = scores >= 0.3
    assert rows["precision_macro", ""].value == pytest.approx(precision_score(targets, detected, average="macro"))
    assert rows["recall_macro", ""].value == pytest.approx(recall_score(targets, detected, average="macro"))


def test_no_detection_means_no_precision_and_no_recall():
    rows = of_one_class([0.4, 0.1, 0.3, 0.2], [1, 0, 1, 0])
    assert rows["precision", "a"].value is None
    assert rows["precision", "a"].note == "no score reaches 0.5"
    assert rows["recall", "a"].value == 0
    assert rows["precision_macro", ""].n_classes == 1


def test_cells_left_out_by_the_rule_do_not_count():
    soft = [1, 0.6, 0, 0]
    rows = of_one_class([0.8, 0.9, 0.2, 0.1], soft, "main-ignore-sub")
    assert rows["AP", "a"].value == 1
    assert rows["prevalence", "a"].value == pytest.approx(1 / 3)
    assert rows["mAP_micro", ""].value == 1
    assert of_one_class([0.8, 0.9, 0.2, 0.1], soft, "main")["AP", "a"].value == 0.5
    assert of_one_class([0.8, 0.9, 0.2, 0.1], soft, "any")["AP", "a"].n_pos == 2


def test_micro_ranks_all_cells_together():
    scores, targets = np.array([[0.9, 0.2], [0.8, 0.7]]), np.array([[1.0, 0], [0, 1]])
    rows = by_name(evaluate(scores, targets, ["a", "b"], "any", 0.5, single_label=False))
    assert rows["mAP_micro", ""].value == pytest.approx((1 + 2 / 3) / 2)
    assert rows["mAP_macro", ""].value == 1


def test_accuracy_and_headline_of_single_labels():
    scores = np.array([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9], [0.2, 0.8]])
    rows = evaluate(scores, np.eye(2)[[0, 1, 1, 1]], ["a", "b"], "any", 0.5, single_label=True)
    values = headline(rows)
    assert list(values) == ["mAP", "AUC", "dprime", "precision", "recall", "accuracy"]
    assert values["accuracy"] == 0.75
    assert values["recall"] == pytest.approx((1 + 2 / 3) / 2)
    assert headline(rows[:-1])["accuracy"] is None


def test_rows_are_json():
    rows = by_name(evaluate(np.eye(2), np.eye(2), ["a", "b"], "any", 0.5, single_label=False))
    assert rows["AP", "b"].to_json() == {
        "metric": "AP",
        "class": "b",
        "value": 1.0,
        "n_pos": 1,
        "n_classes": 1,
        "note": "",
    }


def test_scores_of_a_diverged_model_are_refused():
    scores = np.array([[0.5, np.nan], [0.1, 0.2]])
    with pytest.raises(InputError, match="1 of 2 clips have scores that are not finite"):
        evaluate(scores, np.eye(2), ["a", "b"], "any", 0.5, single_label=False)
