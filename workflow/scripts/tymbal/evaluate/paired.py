"""Is one model better than another? Differences on the same test clips, with intervals over recordings."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tymbal.config import TargetRule
from tymbal.errors import InputError
from tymbal.evaluate.bootstrap import accuracy, draw_recordings, mean_average_precision
from tymbal.evaluate.predictions import read_predictions
from tymbal.groups import recording_names
from tymbal.runs import Run
from tymbal.seeds import derive

N_DRAWS = 1000
TAILS = (0.025, 0.975)  # of the draws: an interval of 95 %
COLUMNS = ["dataset", "model_a", "model_b", "metric", "n_runs", "n_recordings", "mean_a", "mean_b", "difference"]
COLUMNS += ["low", "high", "draws"]


class Part(NamedTuple):
    """A run among those of one model on one data set."""

    seed: int
    fold: int


class Scored(NamedTuple):
    """A run's test clips, and each metric of them [1 + draws]: of all of them as they are, then of the draws."""

    clip_ids: list[str]
    n_recordings: int
    metrics: dict[str, np.ndarray]


def compare(
    runs: Sequence[tuple[Run, Path]], single_label: Mapping[str, bool], target_rule: TargetRule
) -> pd.DataFrame:
    """Compare every two models of a data set in the runs (fold and seed) that both have.

    A metric is the mean over these runs of what `metrics.evaluate` makes of each, as models are told of one by one.
    In a draw, recordings are drawn within the test part of each fold, the same ones for both models and all seeds,
    which takes out how hard they are; what another training would give is in the interval only as far as seeds and
    folds were averaged.

    Args:
        runs: each run and its folder, with predictions.csv.
        single_label: data set -> whether accuracy is defined.
        target_rule: which labels are positive.

    Returns:
        `dataset, model_a, model_b, metric, n_runs, n_recordings, mean_a, mean_b, difference, low, high, draws`, a row
        a metric (`accuracy`, `mAP`); `difference` is what model_b has more than model_a, the model named first in
        `runs`; `low` and `high` are the bootstrap percentiles of it, and `draws` how many draws they are of, which
        are those in which the metric is defined in a run.

    Raises:
        InputError: two models were scored on different clips in what should be the same run.
    """
    rows = []
    for dataset in dict.fromkeys(run.dataset for run, _ in runs):
        models: dict[str, dict[Part, Scored]] = {}
        for run, folder in runs:
            if run.dataset == dataset:
                scored = _score(run, folder, single_label[dataset], target_rule)
                models.setdefault(run.model, {})[Part(run.seed, run.fold)] = scored
        rows += [(dataset, *row) for row in _rows(dataset, models)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _score(run: Run, folder: Path, single_label: bool, target_rule: TargetRule) -> Scored:
    clips = read_predictions(folder / "predictions.csv")
    names = recording_names(pd.DataFrame({"recording": clips.recordings, "site": clips.sites}))
    recording, known = pd.factorize(names, sort=True)  # the same numbers for every model
    counts = draw_recordings(len(known), N_DRAWS, derive(0, "paired", run.dataset, run.fold))
    metrics = {"accuracy": accuracy(clips.scores, clips.labels, recording, counts)} if single_label else {}
    metrics["mAP"] = mean_average_precision(clips.scores, clips.labels, target_rule, recording, counts)
    return Scored(clips.clip_ids, len(known), metrics)


def _rows(dataset: str, models: Mapping[str, Mapping[Part, Scored]]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for a, b in combinations(models, 2):
        shared = sorted(models[a].keys() & models[b].keys())
        if not shared:
            continue
        of_a, of_b = ([models[model][part] for part in shared] for model in (a, b))
        for part, one, other in zip(shared, of_a, of_b, strict=True):
            if one.clip_ids != other.clip_ids:
                raise InputError(
                    f"predictions of {a} and {b} on {dataset}, fold {part.fold}, seed {part.seed}, are of different "
                    "clips: one of the two is of an older split. Delete both files predictions.csv and run again."
                )
        n_recordings = sum({part.fold: run.n_recordings for part, run in zip(shared, of_a, strict=True)}.values())
        for metric in of_a[0].metrics:
            means = [_mean(np.stack([run.metrics[metric] for run in of_model])) for of_model in (of_a, of_b)]
            differences = means[1] - means[0]
            draws = differences[1:][np.isfinite(differences[1:])]
            low, high = np.quantile(draws, TAILS) if len(draws) else (np.nan, np.nan)
            sample = (means[0][0], means[1][0], differences[0], low, high)
            rows.append((a, b, metric, len(shared), n_recordings, *sample, len(draws)))
    return rows


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over runs [runs, 1 + draws] of those in which it is defined, which are the same for all models."""
    return pd.DataFrame(values).mean().to_numpy()
