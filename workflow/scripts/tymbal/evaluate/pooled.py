"""Summary tables of the test clips of all runs of one model on one data set together."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve

from tymbal.config import TargetRule
from tymbal.evaluate.calibration import read_calibrated, reliability
from tymbal.evaluate.dependence import dependence
from tymbal.evaluate.draws import Sample, draw_together
from tymbal.evaluate.predictions import Predictions, average, pool, read_predictions
from tymbal.evaluate.targets import binarise
from tymbal.runs import Run

CURVE_STEPS = 400  # a pooled precision-recall curve keeps one point per 1/400 of recall

PR_CURVES = ["class", "recall", "precision", "n_pos", "n_clips", "prevalence"]
CONFUSION = ["kind", "true_class", "predicted_class", "n", "share"]


def pooled_tables(
    runs: Sequence[tuple[Run, Path, Sample]], target_rule: TargetRule, threshold: float, single_label: bool
) -> dict[str, pd.DataFrame]:
    """Tables of one model on one data set.

    Args:
        runs: all of them, each with its folder and what its draws are from.
        target_rule: which labels are positive.
        threshold: at which multi-label predictions are told.
        single_label: each clip has exactly one class.

    Returns:
        `pr_curves, confusion, reliability, dependence`, without columns for data set and model.
    """
    clips = pool([read_predictions(folder / "predictions.csv") for _, folder, _ in runs])
    calibrated = [read_calibrated(folder) for _, folder, _ in runs]
    targets, keep = binarise(clips.labels, target_rule)
    draws = draw_together([(run, sample) for run, _, sample in runs])
    stages = {"before": clips.scores, "after": pool(calibrated).scores}
    reliabilities = [reliability(scores, targets, keep, draws).assign(stage=stage) for stage, scores in stages.items()]
    return {
        "pr_curves": pd.DataFrame(_pr_curves(clips, targets, keep), columns=PR_CURVES),
        "confusion": pd.DataFrame(_confusion(clips, targets, keep, threshold, single_label), columns=CONFUSION),
        "reliability": pd.concat(reliabilities, ignore_index=True),
        "dependence": dependence(average(calibrated)[0], target_rule),
    }


def _pr_curves(clips: Predictions, targets: np.ndarray, keep: np.ndarray) -> Iterable[tuple[Any, ...]]:
    """The points that average precision sums over, by falling recall, of each class that has positives."""
    for c, name in enumerate(clips.classes):
        truth, score = targets[keep[:, c], c], clips.scores[keep[:, c], c]
        if not truth.any():
            continue
        precision, recall, _ = precision_recall_curve(truth, score)
        counted = np.diff(recall) < 0  # the highest threshold of each recall; not the end (0, 1), which none gives
        precision, recall = precision[:-1][counted], recall[:-1][counted]
        _, first = np.unique(np.floor(-recall * CURVE_STEPS), return_index=True)
        n_pos, n_clips = int(truth.sum()), len(truth)
        for i in first:
            yield name, recall[i], precision[i], n_pos, n_clips, n_pos / n_clips


def _confusion(
    clips: Predictions, targets: np.ndarray, keep: np.ndarray, threshold: float, single_label: bool
) -> Iterable[tuple[Any, ...]]:
    """Clips of each true class by predicted class, and their share of the true class's clips that count for both.

    With single labels the predicted class is the one with the highest score (`confusion`), and a clip whose class is
    left out does not count, as in accuracy. Otherwise it is every class that counts and whose score reaches the
    threshold (`cooccurrence`), so that a row can sum to more than one.
    """
    truth = targets.astype(np.int64)
    if single_label:
        kind, counted = "confusion", np.ones_like(truth)
        predicted = np.eye(len(clips.classes), dtype=np.int64)[clips.scores.argmax(axis=1)]
    else:
        kind, counted = "cooccurrence", keep.astype(np.int64)
        predicted = (clips.scores >= np.float64(threshold)) * counted
    counts, support = truth.T @ predicted, truth.T @ counted  # [C, C]
    for i, true_class in enumerate(clips.classes):
        for j, predicted_class in enumerate(clips.classes):
            share = counts[i, j] / support[i, j] if support[i, j] else None
            yield kind, true_class, predicted_class, int(counts[i, j]), share
