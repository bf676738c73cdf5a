"""Windows that are worth a person's ear: those a model is least sure of, and no two alike.

A window is uncertain for a class where its score is near the class's threshold, in log-odds. Of the most uncertain
ones, each next is that whose embedding is farthest from all chosen before (Sener and Savarese, Active learning for
convolutional neural networks: a core-set approach, ICLR 2018), so that a night of the same cricket is heard once.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import logit

from tymbal.config.predict import LabelNext
from tymbal.evaluate.calibration import LEAST, MOST
from tymbal.evaluate.predictions import SCORE
from tymbal.predict.kept import Scores

POOL = 10  # windows to choose from, for each one that is chosen of a class


def choose(
    scores: Scores,
    embeddings: np.ndarray,
    thresholds: Sequence[float],
    recording: np.ndarray,
    usable: np.ndarray,
    settings: LabelNext,
) -> pd.DataFrame:
    """Choose windows, class by class in turn, so that all classes get their share if there are enough windows.

    Args:
        scores: of N windows for C classes.
        embeddings: [N, D].
        thresholds: of the C classes.
        recording: [N] of the same number where windows may overlap in time.
        usable: [N] bool, windows that may be chosen.
        settings: how many.

    Returns:
        `row` (of the window in `scores`), `class`, `score`, `threshold`, `distance` (log-odds of the score above those
        of the threshold), the most useful first. No two overlap.
    """
    quota = settings.per_class or math.ceil(settings.clips / len(scores.classes))
    places = scores.columns(["start_s", "end_s"])
    stretch = recording, places["start_s"].to_numpy(), places["end_s"].to_numpy()
    pools: list[np.ndarray] = []
    told: dict[tuple[int, str], tuple[float, float, float]] = {}
    for name, threshold in zip(scores.classes, thresholds, strict=True):
        score = scores.columns([SCORE + name])[SCORE + name].to_numpy()
        distance = _log_odds(score) - _log_odds(threshold)
        order = np.argsort(np.where(usable, np.abs(distance), np.inf), kind="stable")[: usable.sum()]
        pool = _apart(order, stretch, POOL * quota)
        pools.append(pool)
        told |= {(row, name): (score[row], threshold, distance[row]) for row in pool.tolist()}
    candidates = np.unique(np.concatenate(pools))
    unit = embeddings[candidates].astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    positions = [np.searchsorted(candidates, pool) for pool in pools]
    chosen = _in_turn(positions, unit, tuple(each[candidates] for each in stretch), quota, settings.clips)
    rows = [(int(candidates[i]), scores.classes[c]) for i, c in chosen]
    return pd.DataFrame(
        [(row, name, *told[row, name]) for row, name in rows],
        columns=["row", "class", "score", "threshold", "distance"],
    )


def _log_odds(score: np.ndarray | float) -> np.ndarray:
    """Finite also of 0 and 1."""
    odds: np.ndarray = logit(np.clip(np.asarray(score, dtype=np.float64), LEAST, MOST))
    return odds


def _apart(order: np.ndarray, stretch: tuple[np.ndarray, ...], n: int) -> np.ndarray:
    """The first n windows in this order of which no two overlap."""
    taken: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    kept: list[int] = []
    for row in order.tolist():
        recording, start, end = (each[row] for each in stretch)
        if all(end <= begin or start >= stop for begin, stop in taken[recording]):
            taken[recording].append((start, end))
            kept.append(row)
            if len(kept) == n:
                break
    return np.array(kept, dtype=np.int64)


def _in_turn(
    pools: Sequence[np.ndarray], unit: np.ndarray, stretch: tuple[np.ndarray, ...], quota: int, n: int
) -> list[tuple[int, int]]:
    """Windows, and the class that each is chosen for. The very first is the most uncertain one of the first class."""
    recording, start, end = stretch
    nearest = np.full(len(unit), np.inf)  # cosine distance to what is chosen
    free = np.ones(len(unit), dtype=bool)
    chosen: list[tuple[int, int]] = []
    for _ in range(quota):
        for c, pool in enumerate(pools):
            left = pool[free[pool]]
            if not len(left) or len(chosen) == n:
                continue
            i = int(left[np.argmax(nearest[left])])
            chosen.append((i, c))
            nearest = np.minimum(nearest, 1 - unit @ unit[i])
            free &= (recording != recording[i]) | (end <= start[i]) | (start >= end[i])
    return chosen
