"""Predictions of test clips, as every later stage reads them."""

from collections.abc import Sequence
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
        recordings: N names; those of several sites may be the same.
        sites: N names, empty where not known.
        classes: C, in the model's order.
        scores: [N, C] probabilities, float32.
        labels: [N, C] soft labels, float32.
    """

    clip_ids: list[str]
    recordings: list[str]
    sites: list[str]
    classes: list[str]
    scores: np.ndarray
    labels: np.ndarray


def read_predictions(path: Path) -> Predictions:
    """Read `predictions.csv`: clip_id, recording, site, a score and a label for every class."""
    table = read_csv(path, text=("clip_id", "recording", "site"))
    classes = class_names(table)
    return Predictions(
        clip_ids=table["clip_id"].tolist(),
        recordings=table["recording"].tolist(),
        sites=table["site"].tolist(),
        classes=classes,
        scores=table[[SCORE + name for name in classes]].to_numpy(dtype=np.float32),
        labels=labels(table),
    )


def pool(parts: Sequence[Predictions]) -> Predictions:
    """The test clips of several runs of one data set, one after another."""
    return Predictions(
        clip_ids=[clip_id for part in parts for clip_id in part.clip_ids],
        recordings=[recording for part in parts for recording in part.recordings],
        sites=[site for part in parts for site in part.sites],
        classes=parts[0].classes,
        scores=np.concatenate([part.scores for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )
