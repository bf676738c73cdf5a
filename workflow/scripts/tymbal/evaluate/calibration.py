"""Scores made probabilities: fitted on validation clips, checked by how often what was predicted is true.

Temperature scaling divides the logits of a model by one number (Guo et al., On calibration of modern neural networks,
2017). Platt scaling also moves them (Platt, Probabilistic outputs for support vector machines, 1999), here with one
slope and one intercept for all classes.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit, softmax

from tymbal.config.models import Loss
from tymbal.errors import InputError
from tymbal.evaluate.bootstrap import Draws, interval
from tymbal.evaluate.predictions import Predictions, read_predictions
from tymbal.evaluate.weighted import N_BINS, calibration_error, equal_mass_bins, ratio, totals
from tymbal.files import read_json, write_json
from tymbal.runs import CALIBRATION

Method = Literal["temperature", "platt"]

# What float32 tells from 0 and from 1: logits of scores end there, of a sigmoid at -87.3 and 17.3.
LEAST, MOST = float(np.finfo(np.float32).tiny), 1 - 2.0**-25
SLOPES, INTERCEPTS = (0.05, 20.0), (-20.0, 20.0)  # looked at
EXACT = {"ftol": 1e-15, "gtol": 1e-10}  # go on as long as float64 allows


@dataclass(frozen=True)
class Calibration:
    """How scores of a model become probabilities.

    Args:
        method: `temperature`, or `platt` for models trained with `bce`.
        loss: of the model: scores are the logits' sigmoid (`bce`) or softmax (`ce`).
        temperature: logits are divided by it; None for `platt`.
        slope: logits are multiplied by it; None for `temperature`.
        intercept: then added; None for `temperature`.
        n_clips: validation clips it was fitted on.
        brier_before: mean squared distance of scores and targets of these clips.
        brier_after: the same of probabilities.
        ece_before: expected calibration error of scores of these clips.
        ece_after: the same of probabilities.
    """

    method: Method
    loss: Loss
    temperature: float | None
    slope: float | None
    intercept: float | None
    n_clips: int
    brier_before: float
    brier_after: float
    ece_before: float
    ece_after: float

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities [N, C] of scores [N, C]; float32, in the same order within a class for `bce`."""
        if self.temperature is not None:
            return _probabilities(scores, self.loss, 1 / self.temperature, 0.0)
        assert self.slope is not None and self.intercept is not None
        return _probabilities(scores, self.loss, self.slope, self.intercept)


def fit_calibration(
    method: Method, loss: Loss, scores: np.ndarray, targets: np.ndarray, keep: np.ndarray
) -> Calibration:
    """Fit a calibration by likelihood, held near none at all where clips are few.

    What is made least is the negative log-likelihood of the targets, plus ((slope - 1)^2 + intercept^2) / 2: a normal
    prior, which counts as little against hundreds of clips as it counts much against a few, whose likelihood alone may
    have no maximum. The sum is convex, and the slope is at least 0.05, so that there is one solution, in which a
    higher score never becomes a lower probability.

    Args:
        method: what to fit.
        loss: of the model.
        scores: [N, C] of validation clips.
        targets: [N, C] bool; for `ce` one class a clip.
        keep: [N, C] bool, cells that count.

    Returns:
        The calibration, with errors before and after, of the clips it was fitted on.
    """
    assert method == "temperature" or loss == "bce", "the configuration allows platt with bce alone"
    logits = _logits(scores, loss)

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, intercept = parameters
        moved = slope * logits + intercept
        if loss == "bce":
            error = np.where(keep, expit(moved) - targets, 0)
            likelihood = np.where(keep, np.logaddexp(0, moved) - targets * moved, 0)
        else:
            found = (targets & keep).sum(axis=1, keepdims=True)  # 0 for a clip whose class does not count
            error = found * softmax(moved, axis=1) - (targets & keep)
            likelihood = np.where(targets & keep, -log_softmax(moved, axis=1), 0)
        value = likelihood.sum() + ((slope - 1) ** 2 + intercept**2) / 2
        gradient = np.array([(error * logits).sum() + slope - 1, error.sum() + intercept])
        return value / scores.size, gradient / scores.size

    intercepts = INTERCEPTS if method == "platt" else (0.0, 0.0)
    found = minimize(objective, (1.0, 0.0), jac=True, method="L-BFGS-B", bounds=(SLOPES, intercepts), options=EXACT)
    slope, intercept = map(float, found.x)
    probabilities = _probabilities(scores, loss, slope, intercept)
    return Calibration(
        method=method,
        loss=loss,
        temperature=1 / slope if method == "temperature" else None,
        slope=slope if method == "platt" else None,
        intercept=intercept if method == "platt" else None,
        n_clips=len(scores),
        brier_before=_brier(scores, targets, keep),
        brier_after=_brier(probabilities, targets, keep),
        ece_before=calibration_error(scores[keep], targets[keep]),
        ece_after=calibration_error(probabilities[keep], targets[keep]),
    )


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write `calibration.json`."""
    write_json(path, asdict(calibration))


def read_calibration(path: Path) -> Calibration:
    """Read what `write_calibration` wrote.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return TypeAdapter(Calibration).validate_python(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path} is no calibration of ours: {error}. Delete it and run its rule again.") from None


def read_calibrated(folder: Path) -> Predictions:
    """Predictions of the test clips of a run, their scores made probabilities.

    Args:
        folder: of the run, with predictions.csv and calibration.json.
    """
    clips = read_predictions(folder / "predictions.csv")
    return replace(clips, scores=read_calibration(folder / CALIBRATION).apply(clips.scores))


def reliability(probabilities: np.ndarray, targets: np.ndarray, keep: np.ndarray, draws: Draws) -> pd.DataFrame:
    """How often a class is there, by how probable it was said to be.

    Args:
        probabilities: [N, C].
        targets: [N, C] bool.
        keep: [N, C] bool, cells that count.
        draws: of the N clips.

    Returns:
        `bin, least_score, mean_score, most_score, share_positive, n, low, high`, a row for each bin of
        `equal_mass_bins` of all pairs of clip and class that has any; `low` and `high` are bootstrap percentiles of the
        share, in the same bins.
    """
    clip, _ = np.nonzero(keep)
    score, target = probabilities[keep].astype(np.float64), targets[keep]
    bins = equal_mass_bins(score)
    cell, n_cells = clip * N_BINS + bins, len(keep) * N_BINS
    by_clip = [np.bincount(cell, each, n_cells).reshape(-1, N_BINS) for each in (target, None)]
    n_positive, n = np.split(totals(np.hstack(by_clip), draws), 2, axis=1)
    share = ratio(n_positive, n)  # [1 + D, bins]
    bounds = [interval(column, draws.counts.shape[1])[:2] for column in share.T]
    by_bin = pd.Series(score).groupby(bins).agg(["min", "mean", "max"]).reindex(range(N_BINS))
    table = pd.DataFrame(
        {
            "bin": np.arange(1, N_BINS + 1),
            "least_score": by_bin["min"],
            "mean_score": by_bin["mean"],
            "most_score": by_bin["max"],
            "share_positive": share[0],
            "n": n[0].astype(np.int64),
            "low": [low for low, _ in bounds],
            "high": [high for _, high in bounds],
        }
    )
    return table[table["n"] > 0].reset_index(drop=True)


def _logits(scores: np.ndarray, loss: Loss) -> np.ndarray:
    """Logits that scores were made from; for `ce` up to a number a clip, which their softmax does not tell."""
    scores = scores.astype(np.float64).clip(min=LEAST)
    return logit(scores.clip(max=MOST)) if loss == "bce" else np.log(scores)


def _probabilities(scores: np.ndarray, loss: Loss, slope: float, intercept: float) -> np.ndarray:
    moved = slope * _logits(scores, loss) + intercept
    return (expit(moved) if loss == "bce" else softmax(moved, axis=1)).astype(np.float32)


def _brier(scores: np.ndarray, targets: np.ndarray, keep: np.ndarray) -> float:
    return float(np.mean((scores[keep].astype(np.float64) - targets[keep]) ** 2))
