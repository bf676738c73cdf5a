"""Is one model better than another? Differences on the same test clips, with intervals over recordings."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tymbal.config import TargetRule
from tymbal.errors import InputError
from tymbal.evaluate.bootstrap import accuracy, draw_recordings, mean_average_precision
from tymbal.evaluate.predictions import Predictions, pool, read_predictions
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


def compare(
    runs: Sequence[tuple[Run, Path]], single_label: Mapping[str, bool], target_rule: TargetRule
) -> pd.DataFrame:
    """Compare every two models of a data set in the runs (fold and seed) that both have.

    The test clips of the folds are pooled, and the metric is the mean over seeds of the metric on all of them; so
    mAP is not quite the mean over folds. The same recordings are drawn for both models, which takes out how hard
    they are; what another training would give is in the interval only as far as seeds were averaged.

    Args:
        runs: each run and its folder, with predictions.csv.
        single_label: data set -> whether accuracy is defined.
        target_rule: which labels are positive.

    Returns:
        `dataset, model_a, model_b, metric, n_runs, n_recordings, mean_a, mean_b, difference, low, high, draws`, a row
        a metric (`accuracy`, `mAP`); `difference` is what model_b has more than model_a, the model named first in
        `runs`; `low` and `high` are the bootstrap percentiles of it, and `draws` how many draws they are of, which
        are those in which the metric is defined.

    Raises:
        InputError: two models were scored on different clips in what should be the same run.
    """
    rows = []
    for dataset in dict.fromkeys(run.dataset for run, _ in runs):
        models: dict[str, dict[Part, Predictions]] = {}
        for run, folder in runs:
            if run.dataset == dataset:
                part = Part(run.seed, run.fold)
                models.setdefault(run.model, {})[part] = read_predictions(folder / "predictions.csv")
        rows += [(dataset, *row) for row in _rows(dataset, models, single_label[dataset], target_rule)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(
    dataset: str, models: Mapping[str, Mapping[Part, Predictions]], single_label: bool, target_rule: TargetRule
) -> list[tuple[object, ...]]:
    @cache
    def measure(model: str, parts: tuple[Part, ...]) -> tuple[int, dict[str, np.ndarray]]:
        return _measure([models[model][part] for part in parts], parts, single_label, target_rule, dataset)

    rows: list[tuple[object, ...]] = []
    for a, b in combinations(models, 2):
        shared = tuple(sorted(models[a].keys() & models[b].keys()))
        if not shared:
            continue
        for part in shared:
            if models[a][part].clip_ids != models[b][part].clip_ids:
                raise InputError(
                    f"predictions of {a} and {b} on {dataset}, fold {part.fold}, seed {part.seed}, are of different "
                    "clips: one of the two is of an older split. Delete both files predictions.csv and run again."
                )
        (n_recordings, of_a), (_, of_b) = measure(a, shared), measure(b, shared)
        for metric in of_a:
            differences = of_b[metric] - of_a[metric]
            draws = differences[1:][np.isfinite(differences[1:])]
            low, high = np.quantile(draws, TAILS) if len(draws) else (np.nan, np.nan)
            sample = (of_a[metric][0], of_b[metric][0], differences[0], low, high)
            rows.append((a, b, metric, len(shared), n_recordings, *sample, len(draws)))
    return rows


def _measure(
    predictions: Sequence[Predictions],
    parts: Sequence[Part],
    single_label: bool,
    target_rule: TargetRule,
    dataset: str,
) -> tuple[int, dict[str, np.ndarray]]:
    """Number of recordings, and each metric [1 + draws]: of the sample as it is, then of the draws."""
    together = pool(predictions)
    names = recording_names(pd.DataFrame({"recording": together.recordings, "site": together.sites}))
    recording, known = pd.factorize(names, sort=True)  # the same numbers for every model
    seed = np.repeat([part.seed for part in parts], [len(part.clip_ids) for part in predictions])
    counts = draw_recordings(len(known), N_DRAWS, derive(0, "paired", dataset))
    values: dict[str, list[np.ndarray]] = {}
    for mine in (seed == number for number in np.unique(seed)):
        scores, labels = together.scores[mine], together.labels[mine]
        if single_label:
            values.setdefault("accuracy", []).append(accuracy(scores, labels, recording[mine], counts))
        values.setdefault("mAP", []).append(
            mean_average_precision(scores, labels, target_rule, recording[mine], counts)
        )
    return len(known), {metric: np.mean(of_seeds, axis=0) for metric, of_seeds in values.items()}
