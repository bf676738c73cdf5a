"""Predictions of test clips, as every later stage reads them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tymbal.ingest.manifest import class_names, labels

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
    table = pd.read_csv(path, dtype={"clip_id": str, "recording": str, "site": str}, keep_default_na=False)
    classes = class_names(table)
    scores = table[[SCORE + name for name in classes]].to_numpy(dtype=np.float32)
    return Predictions(table["clip_id"].tolist(), classes, scores, labels(table))
