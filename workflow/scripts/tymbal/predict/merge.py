"""Detections of one recording: stretches in which the score of a class reaches its threshold."""

from typing import NamedTuple

import numpy as np


class Detections(NamedTuple):
    """The detections of one recording, D, by their start, then by class. Those of one class never touch."""

    label: np.ndarray  # [D] position of the class
    start_s: np.ndarray  # [D] float64, from the start of the recording
    end_s: np.ndarray  # [D] float64
    score: np.ndarray  # [D] float32, the highest of its windows
    probability: np.ndarray  # [D] float32, the highest of its windows
    n_windows: np.ndarray  # [D] that reach the threshold


def merge_windows(
    start_s: np.ndarray, end_s: np.ndarray, scores: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray
) -> Detections:
    """Merge windows at or above the threshold that touch or overlap.

    Args:
        start_s: [n] of the windows of one recording, rising.
        end_s: [n], rising.
        scores: [n, C] float32.
        probabilities: [n, C] scores made probabilities.
        thresholds: [C] float64; compared with scores in float64, as `Threshold` asks.
    """
    label, window = np.nonzero((scores.astype(np.float64) >= thresholds).T)  # by class, then by time
    apart = (label[1:] != label[:-1]) | (start_s[window[1:]] > end_s[window[:-1]])
    begins, ends = np.ones((2, len(label)), dtype=bool)
    begins[1:] = ends[:-1] = apart
    first, last = np.flatnonzero(begins), np.flatnonzero(ends)
    found = Detections(
        label=label[first],
        start_s=start_s[window[first]],
        end_s=end_s[window[last]],
        score=np.maximum.reduceat(scores[window, label], first),
        probability=np.maximum.reduceat(probabilities[window, label], first),
        n_windows=last - first + 1,
    )
    order = np.lexsort((found.label, found.start_s))
    return Detections(*(column[order] for column in found))
