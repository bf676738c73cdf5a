"""The test part of a fold, scored once: a prediction for every clip, and the figures made from them.

Thresholds and calibration come as they were fitted on validation clips; nothing is chosen here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tymbal.config import Evaluation
from tymbal.evaluate.calibration import read_calibration
from tymbal.evaluate.draws import Drawn, Key, Sample, draw, write_drawn
from tymbal.evaluate.measure import measure
from tymbal.evaluate.predicting import Inputs, predict_part
from tymbal.evaluate.predictions import Predictions, check_finite, write_predictions
from tymbal.evaluate.rows import MetricRow
from tymbal.evaluate.slices import Clips, slices
from tymbal.evaluate.thresholds import read_thresholds
from tymbal.files import write_json
from tymbal.finished import digests
from tymbal.groups import group_names
from tymbal.runs import Run


@dataclass(frozen=True)
class Outputs:
    """Files an evaluation writes."""

    predictions: Path  # CSV, a row a test clip
    metrics: Path  # JSON
    draws: Path  # NPZ, see `draws.py`


def score_test(
    inputs: Inputs,
    thresholds: Path,
    calibration: Path,
    record: Path,
    outputs: Outputs,
    run: Run,
    evaluation: Evaluation,
    single_label: bool,
    label_percent: int,
    device: torch.device,
) -> None:
    """Predict the test clips of the run's fold and write predictions, metrics and draws.

    Args:
        inputs: model, clips and features.
        thresholds: JSON, chosen on validation clips.
        calibration: JSON, fitted on validation clips.
        record: `run.json` of the training.
        outputs: what to write.
        run: data set, model, fold and seed.
        evaluation: all settings, those that thresholds and calibration were made with among them.
        single_label: whether accuracy is defined.
        label_percent: how much of the training part the model was trained on.
        device: where to compute; always in float32.

    Raises:
        InputError: the model was made with other classes or other features, clips are too long for it, its scores
            are not finite, clips lack what names their group, or a recording is in several groups.
    """
    made_from = digests([thresholds, calibration, record, inputs.manifest, inputs.folds])
    test = predict_part(inputs, run.fold, "test", device, label_percent)
    clips = test.predictions
    check_finite(clips.scores)
    write_predictions(clips, outputs.predictions)

    def mean_log_mel() -> np.ndarray:
        return np.array([test.store.frames(clip_id).mean(dtype=np.float32) for clip_id in clips.clip_ids])

    levels = slices(Clips(test.rows, clips.labels, mean_log_mel, test.known_sites), evaluation.slices)
    groups = group_names(test.rows, evaluation.bootstrap.group, "evaluation.bootstrap.group").tolist()
    chosen = read_thresholds(thresholds, clips.classes)
    rows = measure(
        clips,
        read_calibration(calibration).apply(clips.scores),
        {"fixed": evaluation.threshold, "chosen": np.array([chosen[name].threshold for name in clips.classes])},
        evaluation.target_rule,
        single_label,
        draw(groups, evaluation.bootstrap.draws, run.dataset, run.fold, "test"),
        levels,
    )
    write_results(rows, clips, groups, levels, run, evaluation, made_from, outputs)


def write_results(
    rows: list[MetricRow],
    clips: Predictions,
    groups: list[str],
    levels: Mapping[str, np.ndarray],
    run: Run,
    evaluation: Evaluation,
    made_from: dict[str, str],
    outputs: Outputs,
) -> None:
    """Write metrics and draws.

    Args:
        rows: with their drawn values.
        clips: of the test part, N.
        groups: that of each clip, N names.
        levels: slice -> level of each clip, [N].
        run: data set, model, fold and seed.
        evaluation: how the rows were made.
        made_from: digests of the files that they were made from.
        outputs: what to write.
    """
    made = {"evaluation": evaluation.model_dump(mode="json"), "made_from": made_from}
    counts = {"n_clips": len(clips.clip_ids), "n_groups": len(set(groups))}
    told = [row.to_json() for row in rows]
    write_json(outputs.metrics, {**run._asdict(), "part": "test", **made, **counts, "rows": told})
    values = np.stack([row.drawn for row in rows]).astype(np.float32)
    sample = Sample(clips.clip_ids, groups, evaluation.bootstrap.group, evaluation.bootstrap.draws)
    write_drawn(Drawn([_key(row) for row in rows], values, sample, levels), outputs.draws)


def _key(row: MetricRow) -> Key:
    return Key(row.metric, row.class_name, row.thresholds, row.unit, row.slice, row.level)
