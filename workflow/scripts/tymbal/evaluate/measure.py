"""Every figure of a set of clips: on clips, pooled to recordings, and of slices, all with the same draws."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tymbal.config import TargetRule
from tymbal.errors import InputError
from tymbal.evaluate.bootstrap import Draws, draws_of
from tymbal.evaluate.metrics import evaluate
from tymbal.evaluate.predictions import Predictions
from tymbal.evaluate.rows import MetricRow
from tymbal.evaluate.slices import sorted_levels
from tymbal.groups import recording_names

# Metrics, with their thresholds, that slices are told by.
SLICED = {("mAP_macro", ""), ("prevalence_macro", ""), ("AUC_macro", ""), ("F1_macro", "chosen"), ("accuracy", "")}


def measure(
    clips: Predictions,
    calibrated: np.ndarray,
    thresholds: Mapping[str, ArrayLike],
    target_rule: TargetRule,
    single_label: bool,
    draws: Draws,
    slices: Mapping[str, np.ndarray],
) -> list[MetricRow]:
    """All metrics of a set of clips.

    Recordings are pooled by the largest (`recording-max`) or the mean (`recording-mean`) of their clips' scores, and
    by the largest of their labels; data in which every recording is one clip have no such rows. A group of the draws
    is of whole recordings.

    Args:
        clips: N.
        calibrated: probabilities [N, C].
        thresholds: `fixed` and `chosen`, see `metrics.evaluate`.
        target_rule: which labels are positive.
        single_label: each clip has exactly one class.
        draws: of the clips' groups.
        slices: slice -> level of each clip [N], "" where not known.

    Returns:
        Rows of clips, of recordings, of slices.

    Raises:
        InputError: the recordings whose clips are in more than one group, so that they cannot be drawn whole.
    """
    rows = evaluate(
        clips.scores,
        clips.labels,
        clips.classes,
        target_rule,
        thresholds,
        single_label,
        calibrated=calibrated,
        draws=draws,
    )
    names = recording_names(pd.DataFrame({"recording": clips.recordings, "site": clips.sites}))
    _, first, recording = np.unique(names.to_numpy(dtype=str), return_index=True, return_inverse=True)
    _check_whole(clips.clip_ids, names, first[recording], draws.group)
    if len(first) < len(names):
        labels = _pooled(clips.labels, recording, "max")
        for how in ("max", "mean"):
            pooled = evaluate(
                _pooled(clips.scores, recording, how),
                labels,
                clips.classes,
                target_rule,
                thresholds,
                single_label and bool((labels.sum(axis=1) == 1).all()),
                calibrated=_pooled(calibrated, recording, how),
                draws=draws_of(draws, first),
            )
            rows += [replace(row, unit=f"recording-{how}") for row in pooled]
    for name, levels in slices.items():
        for level in sorted_levels(name, levels):
            mine = np.flatnonzero(levels == level)
            sliced = evaluate(
                clips.scores[mine],
                clips.labels[mine],
                clips.classes,
                target_rule,
                {"chosen": thresholds["chosen"]},
                single_label,
                draws=draws_of(draws, mine),
            )
            told = (row for row in sliced if (row.metric, row.thresholds) in SLICED)
            rows += [replace(row, slice=name, level=level) for row in told]
    return rows


def _check_whole(clip_ids: Sequence[str], names: pd.Series, first: np.ndarray, group: np.ndarray) -> None:
    """Verify that clips of one recording are in one group, that of its first clip [N]."""
    problems: dict[str, str] = {}
    for i in np.flatnonzero(group != group[first]).tolist():
        problems.setdefault(names.iloc[i], f"recording {names.iloc[i]}: clips {clip_ids[first[i]]} and {clip_ids[i]}")
    if problems:
        raise InputError.listing(
            "recordings in more than one of the groups that samples are drawn of",
            list(problems.values()),
            "set `evaluation.bootstrap.group: recording`, or give all clips of a recording the same date",
        )


def _pooled(values: np.ndarray, recording: np.ndarray, how: str) -> np.ndarray:
    """One row a recording [R, C] of values of clips [N, C]."""
    return pd.DataFrame(values, dtype=float).groupby(recording).agg(how).to_numpy()
