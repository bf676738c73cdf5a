"""Predictions of validation or test clips, as every later stage reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tymbal.errors import InputError
from tymbal.ingest.manifest import LABEL, class_names, labels
from tymbal.tables import read_csv, write_csv

SCORE = "score:"


@dataclass(frozen=True)
class Predictions:
    """Scores and truth of N clips.

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


def write_predictions(clips: Predictions, path: Path) -> None:
    """Write `predictions.csv`; scores and labels are read back as they were."""
    table = pd.DataFrame({"clip_id": clips.clip_ids, "recording": clips.recordings, "site": clips.sites})
    scores = pd.DataFrame(clips.scores, columns=[SCORE + name for name in clips.classes])
    truth = pd.DataFrame(clips.labels, columns=[LABEL + name for name in clips.classes])
    write_csv(pd.concat([table, scores, truth], axis=1), path)  # float32 is told in as few digits as it takes


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


def average(parts: Sequence[Predictions]) -> tuple[Predictions, np.ndarray]:
    """The test clips of several runs of one data set, each once, sorted.

    Args:
        parts: of all folds and seeds of one model.

    Returns:
        The mean scores of the runs in which a clip is a test clip, and how many these are, [N].
    """
    pooled = pool(parts)
    clip, ids = pd.factorize(np.array(pooled.clip_ids, dtype=object), sort=True)
    n_runs = np.bincount(clip)
    scores = np.zeros((len(ids), len(pooled.classes)))
    ends = np.cumsum([len(part.clip_ids) for part in parts])
    for part, rows in zip(parts, np.split(clip, ends[:-1]), strict=True):  # a clip is at most once in a part
        scores[rows] += part.scores
    first = np.unique(clip, return_index=True)[1]
    clips = Predictions(
        clip_ids=list(ids),
        recordings=[pooled.recordings[i] for i in first],
        sites=[pooled.sites[i] for i in first],
        classes=pooled.classes,
        scores=scores / n_runs[:, None],
        labels=pooled.labels[first],
    )
    return clips, n_runs


def check_finite(scores: np.ndarray) -> None:
    """Refuse scores [N, C] of a model whose weights have diverged.

    Raises:
        InputError: scores are not finite.
    """
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).any(axis=1).sum())
        raise InputError(
            f"{bad} of {len(scores)} clips have scores that are not finite: the model's weights have diverged. "
            "Lower train.optimizer.lr or set train.precision to fp32, and train again."
        )
