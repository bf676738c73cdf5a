"""Is one model better than another? Differences on the same test clips, with intervals over groups of clips."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tymbal.evaluate.bootstrap import interval
from tymbal.evaluate.draws import Sample, check_samples, read_drawn
from tymbal.evaluate.slices import sorted_levels
from tymbal.evaluate.weighted import ratio
from tymbal.runs import Run

# Metrics compared, with their thresholds: of all test clips, on clips. Of slices those that they have.
COMPARED = [("mAP_macro", ""), ("AUC_macro", ""), ("lwlrap", ""), ("F1_macro", "chosen"), ("accuracy", "")]
COMPARED += [("Brier_calibrated", "")]
COLUMNS = ["dataset", "model_a", "model_b", "metric", "thresholds", "slice", "level"]
COLUMNS += ["n_folds", "n_runs_a", "n_runs_b", "n_groups", "mean_a", "mean_b", "difference", "low", "high", "draws"]

Part = tuple[str, str]  # of the test clips: a slice and its level, both "" for all clips
Told = tuple[str, str, str, str]  # a metric with its thresholds, and a part
WHOLE: Part = ("", "")


class Scored(NamedTuple):
    """A run, as far as it is compared.

    Args:
        figures: the value and draws of each figure, [1 + D].
        clips: positions of the clips of each part that has any.
        sample: what was drawn from.
    """

    figures: dict[Told, np.ndarray]
    clips: dict[Part, np.ndarray]
    sample: Sample


def compare(runs: Sequence[tuple[Run, Path]]) -> pd.DataFrame:
    """Compare every two models of a data set on the test parts (folds) in which both have runs.

    In each of these folds a model has its mean over its own seeds, whichever they are, and its figure is the mean over
    the folds. The draws are those of `intervals.py`, the same ones for both models and all seeds, which takes out how
    hard the drawn clips are; what another training would give is in the interval only as far as seeds and folds were
    averaged. Levels of slices are compared likewise, in the folds in which the same clips have this level for all runs
    of both models: what is loud or what site is known from training may depend on the model.

    Args:
        runs: each run and its folder, with draws.npz.

    Returns:
        `dataset, model_a, model_b, metric, thresholds, slice, level, n_folds, n_runs_a, n_runs_b, n_groups, mean_a,
        mean_b, difference, low, high, draws`, a row a metric of all test clips (`slice` and `level` are "") or of a
        level; `n_folds` that are compared, and the runs of each and the groups in these; `difference` is what model_b
        has more than model_a, the model named first in `runs`; `low` and `high` are the bootstrap percentiles of it,
        and `draws` how many draws they are of, which are those in which the metric is defined in a run. Models without
        a common fold have rows with 0 folds and no figures, and so have levels without a fold in which clips agree.
        A metric that a run of the two models lacks, where it has such clips, has no row.

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
    figures = {
        (key.metric, key.thresholds, key.slice, key.level): drawn.figures[i].astype(float)
        for i, key in enumerate(drawn.keys)
        if (key.metric, key.thresholds) in COMPARED and not key.class_name and key.unit == "clip"
    }
    clips = {WHOLE: np.arange(len(drawn.sample.clip_ids))}
    for name, levels in drawn.levels.items():
        clips |= {(name, level): np.flatnonzero(levels == level) for level in sorted_levels(name, levels.tolist())}
    return Scored(figures, clips, drawn.sample)


def _rows(a: Mapping[int, list[Scored]], b: Mapping[int, list[Scored]]) -> Iterator[tuple[object, ...]]:
    """Of two models, fold -> runs."""
    common = {fold: [*a[fold], *b[fold]] for fold in sorted(a.keys() & b.keys())}
    every = [run for model in (a, b) for of_fold in model.values() for run in of_fold]
    for part in (WHOLE, *_levels([run for runs in common.values() for run in runs])):
        folds = [fold for fold, runs in common.items() if _alike([run.clips.get(part) for run in runs])]
        n_runs = [sum(len(model[fold]) for fold in folds) for model in (a, b)]
        n_groups = sum(len({run.sample.groups[i] for i in run.clips[part]}) for run in (a[fold][0] for fold in folds))
        having = [run for run in every if part in run.clips]
        for metric in COMPARED:
            told = (*metric, *part)
            if all(told in run.figures for run in having):
                size = having[0].figures[told].size
                means = [
                    _mean([_mean([run.figures[told] for run in model[fold]], size) for fold in folds], size)
                    for model in (a, b)
                ]
                difference = means[1] - means[0]
                ends = interval(difference, n_groups)
                yield *told, len(folds), *n_runs, n_groups, means[0][0], means[1][0], difference[0], *ends


def _levels(runs: Sequence[Scored]) -> Iterator[Part]:
    """The levels of every slice that divides the clips, in their order."""
    parts = {part: None for run in runs for part in run.clips if part != WHOLE}  # in order, each once
    for name in dict.fromkeys(name for name, _ in parts):
        levels = sorted_levels(name, (level for slice_name, level in parts if slice_name == name))
        if len(levels) > 1:
            yield from ((name, level) for level in levels)


def _alike(clips: Sequence[np.ndarray | None]) -> bool:
    """Whether a part has the same clips in all runs; None: it has none."""
    first = clips[0]
    return first is not None and all(mine is not None and np.array_equal(mine, first) for mine in clips)


def _mean(drawn: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Mean of values and draws, [size] each, of those in which it is defined, which are the same for all models."""
    values = np.reshape(drawn, (-1, size))
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=0), defined.sum(axis=0))
