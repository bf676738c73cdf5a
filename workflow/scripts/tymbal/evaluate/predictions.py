"""Predictions of test clips, as every later stage reads them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tymbal.ingest.manifest import class_names, labels
from tymbal.tables import read_csv

SCORE = "score:"


@dataclass(frozen=True)
class Predictions:
    """Scores and truth of N test clips.

    Args:
        clip_ids: N.
        classes: C, in the model's order.
        scores: [N, C] probabilities, float32.
        labels: [N, C] soft labels, float32.
    """

    clip_ids: list[str]
    classes: list[str]
    scores: np.ndarray
    labels: np.ndarray


def read_predictions(path: Path) -> Predictions:
    """Read `predictions.csv`: clip_id, recording, site, a score and a label for every class."""
    table = read_csv(path, text=("clip_id", "recording", "site"))
    classes = class_names(table)
    scores = table[[SCORE + name for name in classes]].to_numpy(dtype=np.float32)
    return Predictions(table["clip_id"].tolist(), classes, scores, labels(table))
