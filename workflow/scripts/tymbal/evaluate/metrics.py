"""Metrics of scores against soft labels.

A class without positives has no average precision and no recall; without negatives no ROC AUC either. Every metric is
computed for many weightings of the clips at once: the first, in which all weigh 1, gives the value, the others are
draws of a bootstrap.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from tymbal.config import TargetRule
from tymbal.evaluate.bootstrap import Draws, undrawn
from tymbal.evaluate.predictions import check_finite
from tymbal.evaluate.rows import NO_CLIPS, NO_POSITIVES, MetricRow, Rows, measured, unbounded
from tymbal.evaluate.targets import binarise
from tymbal.evaluate.weighted import calibration_error, label_ranking, ranking, ratio, totals

# Names in the history of a training, of rows with no class.
HEADLINE = {
    "mAP": "mAP_macro",
    "AUC": "AUC_macro",
    "dprime": "dprime_of_mean_AUC",
    "precision": "precision_macro",
    "recall": "recall_macro",
    "accuracy": "accuracy",
}
FIXED, CHOSEN = "fixed", "chosen"  # thresholds: those of the configuration, and those chosen on validation clips
NO_NEGATIVES = "not evaluable (0 negatives)"
NO_INTERVAL = "no interval: too high in few clips, and more so in draws of them"
LOWEST_LOG = -100.0  # of a probability of 0, as in torch's binary_cross_entropy


def evaluate(
    scores: np.ndarray,
    soft_labels: np.ndarray,
    classes: Sequence[str],
    target_rule: TargetRule,
    thresholds: Mapping[str, ArrayLike],
    single_label: bool,
    *,
    calibrated: np.ndarray | None = None,
    draws: Draws | None = None,
) -> list[MetricRow]:
    """All metrics of a set of clips.

    Args:
        scores: [N, C] probabilities.
        soft_labels: [N, C] weights in [0, 1].
        classes: C names.
        target_rule: which weights are positive; a cell that it leaves out counts in the soft metrics only.
        thresholds: `fixed` or `chosen` -> one threshold, or [C]; a score at the threshold is a detection.
        single_label: each clip has exactly one class; accuracy is then told.
        calibrated: [N, C] calibrated probabilities, for the metrics of probabilities.
        draws: samples of the groups of the N clips, for intervals.

    Returns:
        First of each class: `AP`, `AUC`, `dprime`, `prevalence` (the chance level of AP), `Brier` (mean squared error
        of the scores) and, at each of the thresholds, `precision`, `recall` and `F1`.
        Then over classes: `mAP_macro`, `prevalence_macro` (its chance level: the mean over the same classes, which
        in a draw are those of the value: a class that a draw lacks has a prevalence of 0 there),
        `mAP_micro` (all cells as one class), `AUC_macro`, `dprime_of_mean_AUC` (as in
        AST and SSAST: of the mean, not the mean of the classes'), `lwlrap`; at each of the thresholds
        `precision_macro`, `recall_macro`, `F1_macro` and `F1_micro`; for single labels `accuracy` and
        `balanced_accuracy` (mean over classes of the share of its clips that are found).
        Of the scores, and with the ending `_calibrated`: `Brier` and `ECE` (expected calibration error, ten bins of
        equal mass) over all cells; `soft_Brier` and `soft_BCE` (binary cross-entropy) against the soft labels.

    Raises:
        InputError: scores are not finite.
    """
    check_finite(scores)
    clips = _Clips(np.asarray(scores, dtype=float), soft_labels, tuple(classes), target_rule, draws)
    rows = _ranking_rows(clips)
    for name, threshold in thresholds.items():
        rows += _detection_rows(clips, name, np.broadcast_to(np.asarray(threshold, dtype=float), len(classes)))
    rows += _accuracy_rows(clips) if single_label else []
    prevalence = ratio(clips.n_pos, clips.n_kept)
    rows += clips.rows.by_class("prevalence", prevalence)
    rows.append(clips.rows.mean("prevalence_macro", np.where(clips.n_pos[0] > 0, prevalence, np.nan)))
    rows += clips.rows.by_class("Brier", ratio(totals(clips.squared_errors(clips.scores), clips.draws), clips.n_kept))
    rows += _probability_rows(clips, clips.scores, "")
    if calibrated is not None:
        rows += _probability_rows(clips, np.asarray(calibrated, dtype=float), "_calibrated")
    place = {name: c for c, name in enumerate(classes)}
    return sorted(rows, key=lambda row: place.get(row.class_name, len(place)))


def headline(rows: Iterable[MetricRow]) -> dict[str, float | None]:
    """The figures over classes that a training shows for every epoch; None where undefined."""
    values = {row.metric: row.value for row in rows if not row.class_name and row.thresholds in ("", FIXED)}
    return {name: values.get(metric) for name, metric in HEADLINE.items()}


def dprime(auc: np.ndarray) -> np.ndarray:
    """Sensitivity index sqrt(2) * PhiInverse(AUC); infinite at AUC 0 and 1."""
    return np.sqrt(2) * ndtri(auc)


class _Clips:
    """What the metrics are made of."""

    def __init__(
        self, scores: np.ndarray, soft: np.ndarray, classes: tuple[str, ...], rule: TargetRule, draws: Draws | None
    ) -> None:
        self.scores, self.soft = scores, soft  # [N, C]
        self.targets, self.keep = binarise(soft, rule)
        self.draws = draws or undrawn(len(scores))
        self.n_pos, self.n_kept = totals(self.targets, self.draws), totals(self.keep, self.draws)  # [1 + D, C]
        self.cells = Draws(np.broadcast_to(self.draws.group[:, None], soft.shape)[self.keep], self.draws.counts)
        n_groups = None if draws is None else len(np.unique(draws.group))
        self.rows = Rows(classes, self.n_pos[0], self.n_kept[0], len(scores), n_groups)

    def squared_errors(self, probabilities: np.ndarray) -> np.ndarray:
        """[N, C]; 0 where a cell is left out."""
        return np.where(self.keep, (probabilities - self.targets) ** 2, 0)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Weighted mean over clips of values [N], [1 + D]."""
        both = totals(np.stack([values, np.ones(len(values))], axis=1), self.draws)
        return ratio(both[:, 0], both[:, 1])


def _ranking_rows(clips: _Clips) -> list[MetricRow]:
    ap, auc = np.empty((2, *clips.n_pos.shape))
    for c, kept in enumerate(clips.keep.T):
        draws = clips.draws._replace(group=clips.draws.group[kept])
        ap[:, c], auc[:, c] = ranking(clips.scores[kept, c], clips.targets[kept, c], draws)
    micro, _ = ranking(clips.scores[clips.keep], clips.targets[clips.keep], clips.cells)
    precision = label_ranking(clips.scores, clips.targets, clips.keep)
    lwlrap = ratio(totals(precision[:, None], clips.draws)[:, 0], clips.n_pos.sum(axis=1))

    rows = clips.rows
    mean_auc = rows.mean("AUC_macro", auc)
    of_mean = measured(dprime(mean_auc.drawn), rows.n_groups)
    note = "; ".join(filter(None, [mean_auc.note, unbounded(of_mean)]))
    if mean_auc.value is not None and of_mean["value"] is None:
        note = _infinite(mean_auc.value)
    return [
        *rows.by_class("AP", ap),
        *rows.by_class("AUC", auc, [NO_NEGATIVES] * len(rows.classes)),
        *rows.by_class("dprime", dprime(auc), [_infinite(v) if np.isfinite(v) else NO_NEGATIVES for v in auc[0]]),
        rows.mean("mAP_macro", ap),
        rows.overall("mAP_micro", micro, _unless_defined(micro, NO_POSITIVES)),
        mean_auc,
        replace(mean_auc, metric="dprime_of_mean_AUC", note=note, **of_mean),
        rows.overall("lwlrap", lwlrap, _unless_defined(lwlrap, NO_POSITIVES)),
    ]


def _detection_rows(clips: _Clips, name: str, threshold: np.ndarray) -> list[MetricRow]:
    """Of detections at thresholds [C]."""
    detected = (clips.scores >= threshold) & clips.keep
    n_hits, n_detected = totals(detected & clips.targets, clips.draws), totals(detected, clips.draws)
    positive = clips.n_pos > 0
    precision = np.where(positive, ratio(n_hits, n_detected), np.nan)
    recall = ratio(n_hits, clips.n_pos)
    f1 = np.where(positive, ratio(2 * n_hits, n_detected + clips.n_pos), np.nan)
    n_all = [n.sum(axis=1) for n in (n_hits, n_detected, clips.n_pos)]
    micro = np.where(n_all[2] > 0, ratio(2 * n_all[0], n_all[1] + n_all[2]), np.nan)
    rows = clips.rows
    return [
        *rows.by_class("precision", precision, [f"no score reaches {t:g}" for t in threshold], name),
        *rows.by_class("recall", recall, thresholds=name),
        *rows.by_class("F1", f1, thresholds=name),
        rows.mean("precision_macro", precision, name),
        rows.mean("recall_macro", recall, name),
        rows.mean("F1_macro", f1, name),
        rows.overall("F1_micro", micro, _unless_defined(micro, NO_POSITIVES), name),
    ]


def _accuracy_rows(clips: _Clips) -> list[MetricRow]:
    """Of the class with the highest score, for clips whose class counts."""
    found = clips.targets & (clips.scores.argmax(axis=1)[:, None] == np.arange(len(clips.rows.classes)))
    n_found = totals(found, clips.draws)
    accuracy = ratio(n_found.sum(axis=1), clips.n_pos.sum(axis=1))
    return [
        clips.rows.overall("accuracy", accuracy, _unless_defined(accuracy, NO_POSITIVES)),
        clips.rows.mean("balanced_accuracy", ratio(n_found, clips.n_pos)),
    ]


def _probability_rows(clips: _Clips, probabilities: np.ndarray, ending: str) -> list[MetricRow]:
    errors = totals(clips.squared_errors(probabilities).sum(axis=1, keepdims=True), clips.draws)[:, 0]
    brier = ratio(errors, clips.n_kept.sum(axis=1))
    ece = np.full(len(brier), np.nan)
    ece[0] = calibration_error(probabilities[clips.keep], clips.targets[clips.keep])
    soft_brier = clips.mean(((probabilities - clips.soft) ** 2).mean(axis=1))
    with np.errstate(divide="ignore"):
        logs = np.log(probabilities), np.log1p(-probabilities)
    positive, negative = (np.maximum(log, LOWEST_LOG) for log in logs)
    soft_bce = clips.mean(-(clips.soft * positive + (1 - clips.soft) * negative).mean(axis=1))
    n_bounded = int(((logs[0] < LOWEST_LOG) & (clips.soft > 0) | (logs[1] < LOWEST_LOG) & (clips.soft < 1)).sum())
    bounded = f"{n_bounded} scores are 0 or 1 against their label, which counts as a logarithm of {LOWEST_LOG:g}"
    figures = {
        "Brier": (brier, ""),
        "ECE": (ece, NO_INTERVAL if len(ece) > 1 else ""),
        "soft_Brier": (soft_brier, ""),
        "soft_BCE": (soft_bce, bounded if n_bounded else ""),
    }
    return [
        clips.rows.overall(metric + ending, drawn, _unless_defined(drawn, NO_CLIPS) or note)
        for metric, (drawn, note) in figures.items()
    ]


def _infinite(auc: float) -> str:
    return f"infinite (AUC is {auc:g})"


def _unless_defined(drawn: np.ndarray, why_not: str) -> str:
    return why_not if np.isnan(drawn[0]) else ""
