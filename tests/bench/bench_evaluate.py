"""What intervals cost."""

import time
from functools import partial

import numpy as np
from harness import Goal, Measurement, benchmark, median
from sklearn.metrics import average_precision_score, roc_auc_score

from tymbal.evaluate.bootstrap import Draws, draw_groups
from tymbal.evaluate.metrics import evaluate

N_CLASSES, N_DRAWS, N_EACH = 16, 1000, 10  # N_EACH: clips a recording
REPEATS = 3


@benchmark("bootstrap")
def bootstrap() -> list[Measurement]:
    """All metrics of 16 classes with 1,000 draws of recordings, at two thresholds, calibrated and not.

    Against scikit-learn's average precision and ROC AUC of each class alone, with the draws as weights.
    """
    measurements = []
    for n_clips in (2_000, 20_000):
        scores, labels, draws = _clips(n_clips)
        thresholds = {"fixed": 0.5, "chosen": np.full(N_CLASSES, 0.3)}
        names = [f"class {c}" for c in range(N_CLASSES)]
        ways = {"single_label": False, "calibrated": scores**1.1, "draws": draws}
        ours = median(partial(evaluate, scores, labels, names, "any", thresholds, **ways), REPEATS)
        theirs = _scikit_learn(scores, labels, draws, n_draws=5) if n_clips == 2_000 else None
        goal = None if theirs else Goal(30, less=True)
        measurements.append(Measurement(f"bootstrap_{n_clips}", ours, "s, 1,000 draws", theirs, goal, REPEATS))
    return measurements


def _clips(n_clips: int) -> tuple[np.ndarray, np.ndarray, Draws]:
    rng = np.random.default_rng(0)
    labels = (rng.random((n_clips, N_CLASSES)) < 0.1).astype(np.float32)
    logits = rng.normal(size=labels.shape) - 2 + 2 * labels
    n_groups = n_clips // N_EACH
    draws = Draws(rng.integers(n_groups, size=n_clips), draw_groups(n_groups, N_DRAWS, 0))
    return (1 / (1 + np.exp(-logits))).astype(np.float32), labels, draws


def _scikit_learn(scores: np.ndarray, labels: np.ndarray, draws: Draws, n_draws: int) -> float:
    """Seconds that all draws would take, by some of them."""
    start = time.perf_counter()
    for count in draws.counts[1 : 1 + n_draws]:
        for score, label in zip(scores.T, labels.T, strict=True):
            for metric in (average_precision_score, roc_auc_score):
                metric(label, score, sample_weight=count[draws.group])
    return (time.perf_counter() - start) * N_DRAWS / n_draws
