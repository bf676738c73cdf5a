"""Metrics of scores against soft labels, with one rule for what cannot be evaluated.

A class without positives has no average precision and no recall; without negatives no ROC AUC either. Such a value is
None with a note, never 0, and is left out of means; the number of classes behind a mean stands beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from tymbal.config import TargetRule
from tymbal.errors import InputError
from tymbal.evaluate.targets import binarise

# Names in the history of a training, of rows with no class.
HEADLINE = {
    "mAP": "mAP_macro",
    "AUC": "AUC_macro",
    "dprime": "dprime_of_mean_AUC",
    "precision": "precision_macro",
    "recall": "recall_macro",
    "accuracy": "accuracy",
}
NO_POSITIVES = "not evaluable (0 positives)"
NO_NEGATIVES = "not evaluable (0 negatives)"


@dataclass(frozen=True)
class MetricRow:
    """One figure.

    Args:
        metric: its name.
        class_name: the class, or "" for a figure over classes.
        value: None where it is undefined; `note` says why.
        n_pos: positive clips behind it, summed over classes.
        n_classes: classes behind it.
        note: "" if there is nothing to say.
    """

    metric: str
    class_name: str
    value: float | None
    n_pos: int
    n_classes: int
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As `metrics.json` has it."""
        return {
            "metric": self.metric,
            "class": self.class_name,
            "value": self.value,
            "n_pos": self.n_pos,
            "n_classes": self.n_classes,
            "note": self.note,
        }


def evaluate(
    scores: np.ndarray,
    soft_labels: np.ndarray,
    classes: Sequence[str],
    target_rule: TargetRule,
    threshold: float,
    single_label: bool,
) -> list[MetricRow]:
    """All metrics of a set of clips.

    Args:
        scores: [N, C] probabilities.
        soft_labels: [N, C] weights in [0, 1].
        classes: C names.
        target_rule: which weights are positive.
        threshold: where precision and recall are told; a score at the threshold is a detection.
        single_label: each clip has exactly one class; accuracy is then told.

    Returns:
        AP, AUC, dprime, precision, recall and prevalence of each class; then figures over classes: `mAP_macro`,
        `mAP_micro` (all cells as one class), `AUC_macro`, `dprime_of_mean_AUC` (as in AST and SSAST: of the mean,
        not the mean of the classes'), `precision_macro`, `recall_macro` and, for single labels, `accuracy`.

    Raises:
        InputError: scores are not finite.
    """
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).any(axis=1).sum())
        raise InputError(
            f"{bad} of {len(scores)} clips have scores that are not finite: the model's weights have diverged. "
            "Lower train.optimizer.lr or set train.precision to fp32, and train again."
        )
    targets, keep = binarise(soft_labels, target_rule)
    rows: list[MetricRow] = []
    for c, name in enumerate(classes):
        rows += _class_rows(scores[keep[:, c], c], targets[keep[:, c], c], name, threshold)

    n_pos = int(targets.sum())
    rows.append(_mean(rows, "AP", "mAP_macro"))
    micro = average_precision(scores[keep], targets[keep])
    rows.append(MetricRow("mAP_micro", "", micro, n_pos, len(classes), "" if n_pos else NO_POSITIVES))
    auc = _mean(rows, "AUC", "AUC_macro")
    rows += [auc, _dprime_row(auc, "dprime_of_mean_AUC")]
    rows += [_mean(rows, "precision", "precision_macro"), _mean(rows, "recall", "recall_macro")]
    if single_label:
        right = scores.argmax(axis=1) == soft_labels.argmax(axis=1)
        rows.append(MetricRow("accuracy", "", float(right.mean()), n_pos, len(classes)))
    return rows


def headline(rows: Sequence[MetricRow]) -> dict[str, float | None]:
    """The figures over classes that a training shows for every epoch; None where undefined."""
    values = {row.metric: row.value for row in rows if not row.class_name}
    return {name: values.get(metric) for name, metric in HEADLINE.items()}


def average_precision(scores: np.ndarray, targets: np.ndarray) -> float | None:
    """Step-wise average precision, sum of (R_k - R_{k-1}) P_k over distinct scores; None without positives.

    Args:
        scores: [N].
        targets: [N] bool.
    """
    return float(average_precision_score(targets, scores)) if targets.any() else None


def roc_auc(scores: np.ndarray, targets: np.ndarray) -> float | None:
    """Area under the ROC curve, ties counted half; None without positives or without negatives."""
    return float(roc_auc_score(targets, scores)) if targets.any() and not targets.all() else None


def dprime(auc: float) -> float | None:
    """Sensitivity index sqrt(2) * PhiInverse(AUC); None where it is infinite, at AUC 0 and 1."""
    return math.sqrt(2) * NormalDist().inv_cdf(auc) if 0 < auc < 1 else None


def _class_rows(scores: np.ndarray, targets: np.ndarray, name: str, threshold: float) -> list[MetricRow]:
    n, n_pos = len(targets), int(targets.sum())
    detected = scores >= threshold
    hits = int((detected & targets).sum())

    def row(metric: str, value: float | None, why_not: str) -> MetricRow:
        note = "" if value is not None else why_not if n_pos else NO_POSITIVES
        return MetricRow(metric, name, value, n_pos, int(value is not None), note)

    auc = row("AUC", roc_auc(scores, targets), NO_NEGATIVES)
    precision = hits / int(detected.sum()) if n_pos and detected.any() else None
    return [
        row("AP", average_precision(scores, targets), NO_POSITIVES),
        auc,
        _dprime_row(auc, "dprime"),
        row("precision", precision, f"no score reaches {threshold:g}"),
        row("recall", hits / n_pos if n_pos else None, NO_POSITIVES),
        MetricRow("prevalence", name, n_pos / n if n else None, n_pos, 1, "" if n else "no clips"),
    ]


def _dprime_row(auc: MetricRow, metric: str) -> MetricRow:
    if auc.value is None:
        return MetricRow(metric, auc.class_name, None, auc.n_pos, 0, auc.note)
    value = dprime(auc.value)
    note = "" if value is not None else f"infinite (AUC is {auc.value:g})"
    return MetricRow(metric, auc.class_name, value, auc.n_pos, auc.n_classes, note)


def _mean(rows: Sequence[MetricRow], metric: str, name: str) -> MetricRow:
    """Mean over the classes in which a metric is defined."""
    per_class = [row for row in rows if row.metric == metric and row.class_name]
    defined = [row for row in per_class if row.value is not None]
    without = [row.class_name for row in per_class if row.value is None]
    note = f"without {', '.join(without)}" if without else ""
    value = float(np.mean([row.value for row in defined])) if defined else None
    return MetricRow(name, "", value, sum(row.n_pos for row in defined), len(defined), note)
