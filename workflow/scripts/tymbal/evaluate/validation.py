"""What is chosen when a model is trained: thresholds and calibration, on the validation part of a fold and no other."""

from dataclasses import dataclass
from pathlib import Path

import torch

from tymbal.config import Evaluation
from tymbal.evaluate.calibration import fit_calibration, write_calibration
from tymbal.evaluate.draws import draw
from tymbal.evaluate.predicting import Inputs, predict_part
from tymbal.evaluate.predictions import check_finite, write_predictions
from tymbal.evaluate.targets import binarise
from tymbal.evaluate.thresholds import choose_thresholds, write_thresholds
from tymbal.groups import group_names
from tymbal.runs import Run


@dataclass(frozen=True)
class Outputs:
    """Files a calibration writes."""

    predictions: Path  # CSV, a row a validation clip
    thresholds: Path  # JSON
    calibration: Path  # JSON


def calibrate(inputs: Inputs, outputs: Outputs, run: Run, evaluation: Evaluation, device: torch.device) -> None:
    """Predict the validation clips of the run's fold, choose thresholds and fit a calibration on them.

    Args:
        inputs: model, clips and features.
        outputs: what to write.
        run: data set, model, fold and seed.
        evaluation: target rule, and how to choose, to calibrate and to draw.
        device: where to compute; always in float32.

    Raises:
        InputError: the model was made with other classes or other features, clips are too long for it, its scores
            are not finite, clips lack what names their group, or no validation clip is positive for any class.
    """
    part = predict_part(inputs, run.fold, "val", device)
    clips = part.predictions
    check_finite(clips.scores)
    targets, keep = binarise(clips.labels, evaluation.target_rule)
    groups = group_names(part.rows, evaluation.bootstrap.group, "evaluation.bootstrap.group").tolist()
    draws = draw(groups, evaluation.bootstrap.draws, run.dataset, run.fold, "val")
    thresholds = choose_thresholds(clips.scores, targets, keep, clips.classes, evaluation.choose, draws)
    calibration = fit_calibration(evaluation.calibration, part.loss, clips.scores, targets, keep)
    write_predictions(clips, outputs.predictions)
    write_thresholds(outputs.thresholds, thresholds)
    write_calibration(outputs.calibration, calibration)
