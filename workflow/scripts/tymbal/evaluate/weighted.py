"""Statistics of clips that weigh: one computation for the value (all weigh 1) and for its bootstrap draws.

A clip weighs as often as its group was drawn, and every statistic is what it would be with the clip repeated so often.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import rankdata

from tymbal.evaluate.bootstrap import Draws

CELLS = 1 << 20  # numbers of an array that is made for some draws at a time
N_BINS = 10


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Element-wise a / b; NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.broadcast_shapes(a.shape, b.shape), np.nan), where=b > 0)


def totals(values: np.ndarray, draws: Draws) -> np.ndarray:
    """Weighted sums over clips.

    Args:
        values: [N, K].
        draws: of the N clips.

    Returns:
        [1 + D, K].
    """
    n_clips, n_groups = len(values), draws.counts.shape[1]
    ones = np.ones(n_clips)
    by_group = csr_array((ones, (draws.group, np.arange(n_clips))), shape=(n_groups, n_clips)) @ values.astype(float)
    return np.concatenate([draws.counts[part] @ by_group for part in parts(len(draws.counts), n_groups)])


def ranking(scores: np.ndarray, targets: np.ndarray, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and area under the ROC curve, both over distinct scores.

    Average precision is the sum of (R_k - R_{k-1}) P_k; in the ROC curve a tie of a positive and a negative counts
    half (Fawcett, An introduction to ROC analysis, 2006).

    Args:
        scores: [M].
        targets: [M] bool.
        draws: of the M scores.

    Returns:
        [1 + D] each. NaN: no positives in a draw; for the area, no negatives either.
    """
    order = np.argsort(-scores, kind="stable")
    falling, group = -scores[order], draws.group[order]
    positive = np.flatnonzero(targets[order])
    steps = np.unique(falling[positive])  # K
    begin, end = (np.searchsorted(falling, steps, side) for side in ("left", "right"))
    begin_positive, end_positive = (np.searchsorted(positive, edge) for edge in (begin, end))
    average_precision, area = np.empty((2, len(draws.counts)))
    for part in parts(len(draws.counts), len(scores)):
        weight = np.take(draws.counts[part], group, axis=1, mode="clip")  # faster than checking
        n_found = cumulated(weight)
        n_hits = cumulated(weight[:, positive])
        n_positive = n_hits[:, -1].astype(float)
        n_negative = n_found[:, -1] - n_positive
        hits_before, hits = n_hits[:, begin_positive], n_hits[:, end_positive]
        found_before, found = n_found[:, begin], n_found[:, end]
        new = hits - hits_before
        precision = np.divide(hits, found, out=np.zeros(hits.shape), where=hits > 0)
        average_precision[part] = ratio((new * precision).sum(axis=1), n_positive)
        wrong_before = (found - hits + found_before - hits_before) / 2
        correct = (new * (n_negative[:, None] - wrong_before)).sum(axis=1)
        area[part] = ratio(correct, n_positive * n_negative)
    return average_precision, area


def label_ranking(scores: np.ndarray, targets: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Label-ranking precision of each clip, summed over its classes.

    The precision of a class a clip has is the share of the clip's classes among all that score as high or higher
    (Fonseca et al., Audio tagging with noisy labels and minimal supervision, DCASE 2019, section 4).

    Args:
        scores: [N, C].
        targets: [N, C] bool.
        keep: [N, C] bool; cells that count, all targets among them.

    Returns:
        [N]; lwlrap is the sum of these over clips, divided by the number of targets.
    """
    summed = np.zeros(len(scores))
    for c in range(scores.shape[1]):
        has = np.flatnonzero(targets[:, c])
        as_high = (scores[has] >= scores[has, c, None]) & keep[has]
        summed[has] += (as_high & targets[has]).sum(axis=1) / as_high.sum(axis=1)
    return summed


def equal_mass_bins(scores: np.ndarray) -> np.ndarray:
    """Bins that hold the same number of scores, as far as tied scores allow, which share the bin of their middle.

    Args:
        scores: [M].

    Returns:
        [M] int from 0 to N_BINS - 1.
    """
    middle = rankdata(scores, "average") - 0.5
    return (middle * N_BINS / len(scores)).astype(np.int64)


def calibration_error(scores: np.ndarray, targets: np.ndarray) -> float:
    """Expected calibration error: how far mean score and share of positives of a bin are apart, averaged over scores.

    Bins are those of `equal_mass_bins` (Nguyen and O'Connor, Posterior calibration and exploratory analysis for natural
    language processing models, 2015). No draws: chance alone parts the two, the more so the fewer scores there are
    and again in draws of them, so that percentiles of draws lie above the truth (those of a well calibrated model
    covered it in 7 of 10 simulations, not in 19 of 20).

    Args:
        scores: [M] probabilities.
        targets: [M] bool.

    Returns:
        The error; NaN without scores.
    """
    gaps = np.bincount(equal_mass_bins(scores), targets - scores.astype(float), minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(scores)) if len(scores) else np.nan


def parts(n_draws: int, width: int) -> list[slice]:
    """Draws that are looked at together where each takes `width` numbers, so that memory does not grow with them."""
    step = max(1, CELLS // max(1, width))
    return [slice(begin, begin + step) for begin in range(0, n_draws, step)]


def cumulated(weight: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... M weights of each row, [d, M + 1]."""
    sums = np.zeros((len(weight), weight.shape[1] + 1), dtype=np.int32)
    np.cumsum(weight, axis=1, out=sums[:, 1:], dtype=np.int32)
    return sums
