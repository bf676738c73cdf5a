"""Bootstrap over recordings: metrics of many samples of the recordings at once.

Clips of one recording sound alike, so it is recordings that are drawn, with all their clips (cluster bootstrap: Davison
and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). A draw is told by how often it has each
recording, and a clip weighs in a metric as often as its recording was drawn.
"""

import numpy as np

from tymbal.config import TargetRule
from tymbal.evaluate.targets import binarise

CELLS = 1 << 22  # draws x clips that are looked at together, so that memory does not grow with the data


def draw_recordings(n_recordings: int, n_draws: int, seed: int) -> np.ndarray:
    """How often each recording is drawn.

    Args:
        n_recordings: R.
        n_draws: D.
        seed: of the draws.

    Returns:
        Counts [D + 1, R] int32: first the sample as it is, each recording once; then D draws of R recordings with
        replacement.
    """
    rng = np.random.default_rng(seed)
    counts = np.ones((n_draws + 1, n_recordings), dtype=np.int32)
    for draw in counts[1:]:
        draw[:] = np.bincount(rng.integers(n_recordings, size=n_recordings), minlength=n_recordings)
    return counts


def accuracy(scores: np.ndarray, labels: np.ndarray, recording: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Share of clips whose highest score is that of their class.

    Args:
        scores: [N, C].
        labels: [N, C], one class a clip.
        recording: number of each clip's recording, [N].
        counts: how often each recording is drawn, [D, R].

    Returns:
        [D]; NaN for a draw without clips.
    """
    right = scores.argmax(axis=1) == labels.argmax(axis=1)
    n_right, n_clips = (counts @ np.bincount(recording, weights, counts.shape[1]) for weights in (right, None))
    return _ratio(n_right, n_clips)


def mean_average_precision(
    scores: np.ndarray, labels: np.ndarray, target_rule: TargetRule, recording: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Macro mAP as `metrics.evaluate` defines it: a class without positives in a draw is left out of that draw's mean.

    Args:
        scores: [N, C].
        labels: soft, [N, C].
        target_rule: which labels are positive.
        recording: number of each clip's recording, [N].
        counts: how often each recording is drawn, [D, R].

    Returns:
        [D]; NaN for a draw in which no class has positives.
    """
    targets, keep = binarise(labels, target_rule)
    by_class = np.stack(
        [
            _average_precision(scores[kept, c], targets[kept, c], recording[kept], counts)
            for c, kept in enumerate(keep.T)
        ]
    )  # [C, D]
    defined = np.isfinite(by_class)
    return _ratio(np.where(defined, by_class, 0).sum(axis=0), defined.sum(axis=0))


def _average_precision(
    scores: np.ndarray, targets: np.ndarray, recording: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Weighted average precision of one class, [D]: the mean over positives of the precision at their score."""
    order = np.argsort(-scores, kind="stable")
    falling = -scores[order]
    positive = np.flatnonzero(targets[order])  # ranks of the P positives
    last = np.searchsorted(falling, falling[positive], side="right") - 1  # of the clips with the same score
    last_positive = np.searchsorted(positive, last, side="right") - 1
    values = np.empty(len(counts))
    step = max(1, CELLS // max(1, len(order)))
    for begin in range(0, len(counts), step):
        weight = np.take(counts[begin : begin + step], recording[order], axis=1)  # [d, N]
        n_positive = np.cumsum(weight[:, positive], axis=1)  # [d, P]
        n_found = np.cumsum(weight, axis=1, dtype=np.int32)[:, last]
        precision = _ratio(n_positive[:, last_positive], n_found, empty=0.0)
        values[begin : begin + step] = _ratio(
            (weight[:, positive] * precision).sum(axis=1), weight[:, positive].sum(axis=1)
        )
    return values


def _ratio(a: np.ndarray, b: np.ndarray, empty: float = np.nan) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.shape(a), empty), where=b > 0)
