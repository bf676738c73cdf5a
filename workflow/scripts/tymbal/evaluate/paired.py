"""Is one model better than another? Differences on the same test clips, with intervals over groups of clips."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tymbal.evaluate.bootstrap import interval
from tymbal.evaluate.draws import Key, Sample, check_samples, read_drawn
from tymbal.runs import Run

# Metrics compared, with their thresholds: of all test clips, on clips.
COMPARED = [("mAP_macro", ""), ("AUC_macro", ""), ("lwlrap", ""), ("F1_macro", "chosen"), ("accuracy", "")]
COMPARED += [("Brier_calibrated", "")]
COLUMNS = ["dataset", "model_a", "model_b", "metric", "thresholds", "n_folds", "n_runs_a", "n_runs_b", "n_groups"]
COLUMNS += ["mean_a", "mean_b", "difference", "low", "high", "draws"]

Told = tuple[str, str]  # a metric and its thresholds


class Scored(NamedTuple):
    """A run, as far as it is compared: figure -> its value and draws, [1 + D]."""

    figures: dict[Told, np.ndarray]
    sample: Sample


def compare(runs: Sequence[tuple[Run, Path]]) -> pd.DataFrame:
    """Compare every two models of a data set on the test parts (folds) in which both have runs.

    In each of these folds a model has its mean over its own seeds, whichever they are, and its figure is the mean over
    the folds. The draws are those of `intervals.py`, the same ones for both models and all seeds, which takes out how
    hard the drawn clips are; what another training would give is in the interval only as far as seeds and folds were
    averaged.

    Args:
        runs: each run and its folder, with draws.npz.

    Returns:
        `dataset, model_a, model_b, metric, thresholds, n_folds, n_runs_a, n_runs_b, n_groups, mean_a, mean_b,
        difference, low, high, draws`, a row a metric; `n_folds` that both have, and the runs of each and the groups in
        these; `difference` is what model_b has more than model_a, the model named first in `runs`; `low` and `high`
        are the bootstrap percentiles of it, and `draws` how many draws they are of, which are those in which the metric
        is defined in a run. Models without a common fold have rows with 0 folds and no figures.

    Raises:
        InputError: runs of a fold were scored on different clips, or drawn otherwise.
    """
    scored = {run: _scored(folder / "draws.npz") for run, folder in runs}
    check_samples({run: each.sample for run, each in scored.items()})
    rows: list[tuple[object, ...]] = []
    for dataset in dict.fromkeys(run.dataset for run, _ in runs):
        models: dict[str, dict[int, list[Scored]]] = {}
        for run, each in scored.items():
            if run.dataset == dataset:
                models.setdefault(run.model, {}).setdefault(run.fold, []).append(each)
        for a, b in combinations(models, 2):
            rows += [(dataset, a, b, *row) for row in _rows(models[a], models[b])]
    return pd.DataFrame(rows, columns=COLUMNS)


def _scored(path: Path) -> Scored:
    """What is compared of a run, as far as it has it, and nothing else: to hold those of many runs."""
    drawn = read_drawn(path)
    row = {key: i for i, key in enumerate(drawn.keys)}
    keys = {(metric, thresholds): Key(metric, "", thresholds, "clip", "", "") for metric, thresholds in COMPARED}
    figures = {told: drawn.figures[row[key]].astype(float) for told, key in keys.items() if key in row}
    return Scored(figures, drawn.sample)


def _rows(a: Mapping[int, list[Scored]], b: Mapping[int, list[Scored]]) -> Iterator[tuple[object, ...]]:
    """Of two models, fold -> runs."""
    folds = sorted(a.keys() & b.keys())
    n_runs = [sum(len(model[fold]) for fold in folds) for model in (a, b)]
    n_groups = sum(len(set(a[fold][0].sample.groups)) for fold in folds)
    every = [run for model in (a, b) for of_fold in model.values() for run in of_fold]
    for told in COMPARED:
        if all(told in run.figures for run in every):
            size = every[0].figures[told].size
            means = [
                _mean([_mean([run.figures[told] for run in model[fold]], size) for fold in folds], size)
                for model in (a, b)
            ]
            difference = means[1] - means[0]
            ends = interval(difference, n_groups)
            yield *told, len(folds), *n_runs, n_groups, means[0][0], means[1][0], difference[0], *ends


def _mean(drawn: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Mean of values and draws, [size] each, of those in which it is defined, which are the same for all models."""
    return pd.DataFrame(np.reshape(drawn, (-1, size))).mean().to_numpy()
