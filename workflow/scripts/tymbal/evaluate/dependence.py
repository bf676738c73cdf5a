"""Which classes are heard together, and which of them a model gets wrong together."""

from itertools import combinations

import numpy as np
import pandas as pd

from tymbal.config import TargetRule
from tymbal.evaluate.predictions import Predictions
from tymbal.evaluate.targets import binarise, ranked
from tymbal.evaluate.weighted import ratio

COLUMNS = ["class_a", "class_b", "n_both", "expected_both", "error_correlation"]
CONSTANT = 1e-6  # a standard deviation below it is rounding: probabilities are of float32


def dependence(clips: Predictions, target_rule: TargetRule) -> pd.DataFrame:
    """Co-occurrence and error correlation of every two classes.

    Args:
        clips: test clips, each once, with calibrated probabilities that are means over seeds.
        target_rule: which labels are positive; a cell that it leaves out is left out of the pairs of its class.

    Returns:
        `class_a, class_b, n_both, expected_both, error_correlation`, a row a pair, in class order: clips that have
        both classes; how many would have both if the classes were independent, n_a n_b / N; and the Pearson
        correlation over clips of the errors, probability - target. The last is NaN if a class has no positives or no
        negatives, so that it cannot be wrong both ways, or if its error is the same in all clips.
    """
    targets, keep = binarise(clips.labels, target_rule)
    positive, kept = (targets & keep).astype(np.float64), keep.astype(np.float64)
    n = kept.T @ kept  # [C, C]: clips in which both cells count
    n_both = positive.T @ positive
    n_a = positive.T @ kept  # [a, b]: positives of a among them

    error = np.where(keep, clips.scores - targets, 0.0)
    error -= kept * ratio(error.sum(axis=0), kept.sum(axis=0))  # small numbers lose no digits in the differences below
    mean = ratio(error.T @ kept, n)  # [a, b]: of a's errors, where b counts
    spread = np.sqrt(np.maximum(ratio((error**2).T @ kept, n) - mean**2, 0))
    spread[(spread < CONSTANT) | ~ranked(clips.labels, target_rule)[:, None]] = np.nan
    correlation = (ratio(error.T @ error, n) - mean * mean.T) / (spread * spread.T)

    a, b = np.array(list(combinations(range(len(clips.classes)), 2)), dtype=np.int64).reshape(-1, 2).T
    names = np.array(clips.classes, dtype=object)
    values = (n_both[a, b].astype(np.int64), ratio(n_a * n_a.T, n)[a, b], np.clip(correlation, -1, 1)[a, b])
    return pd.DataFrame(dict(zip(COLUMNS, (names[a], names[b], *values), strict=True)))
