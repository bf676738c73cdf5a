"""Figures of one model over several runs, folds and seeds, with intervals.

What an interval holds: which groups of clips happened to be in the test parts. Groups are drawn within the test part of
each fold, the same ones for all seeds and models; a draw's figure is the mean over the runs. What it does not hold:
what another split, other training clips or another seed would have given. Folds share training clips and seeds share
test clips, so neither are independent samples of models.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tymbal.evaluate.bootstrap import interval
from tymbal.evaluate.draws import Key, read_drawn
from tymbal.evaluate.slices import sorted_levels
from tymbal.evaluate.weighted import ratio

KEY = ["metric", "class", "thresholds", "unit", "slice", "level"]  # columns for the fields of Key


def combine(figures: pd.DataFrame, draws: Sequence[Path]) -> pd.DataFrame:
    """Means over the runs of one model on one data set.

    A run in which a figure is undefined is left out of its mean, and likewise of a draw's.

    Args:
        figures: of each run, a row a figure: `fold, seed, value, n_pos, n_clips, n_groups, n_classes` and KEY.
        draws: `draws.npz` of each run.

    Returns:
        A row a figure: KEY; `value, low, high` and `draws`, those in which it is defined; `n_runs, n_folds, n_seeds`
        in which it is defined; `n_pos, n_clips, n_groups`, summed over folds; `n_classes`, the fewest in a run.
    """
    groups = figures.groupby(KEY, sort=False)
    table = groups.agg(value=("value", "mean"), n_classes=("n_classes", "min"))
    defined = figures[figures["value"].notna()].groupby(KEY, sort=False)
    for column, what in (("n_runs", "size"), ("n_folds", "fold"), ("n_seeds", "seed")):
        n = defined.size() if what == "size" else defined[what].nunique()
        table[column] = n.reindex(table.index, fill_value=0)
    once = figures.drop_duplicates([*KEY, "fold"]).groupby(KEY, sort=False)
    table = table.join(once[["n_pos", "n_clips", "n_groups"]].sum())
    drawn = mean_of_draws(draws, [Key(*key) for key in table.index])
    table["low"], table["high"], table["draws"] = zip(*map(interval, drawn, table["n_groups"]), strict=True)
    return _in_order(table.astype({"low": float, "high": float}).reset_index())


def mean_of_draws(paths: Iterable[Path], keys: Sequence[Key]) -> np.ndarray:
    """Means of drawn values over runs.

    Args:
        paths: `draws.npz` of each run.
        keys: M, of which a run may lack some.

    Returns:
        [M, 1 + D], NaN where no run has a value.
    """
    row = {key: i for i, key in enumerate(keys)}
    total, n = np.zeros((2, 0, 0))
    for path in paths:
        run = read_drawn(path)
        if not n.size:
            total, n = np.zeros((2, len(keys), run.figures.shape[1]))
        mine = [i for i, key in enumerate(run.keys) if key in row]
        to = [row[run.keys[i]] for i in mine]
        defined = ~np.isnan(run.figures[mine]) & ~np.isinf(run.figures[mine, :1])  # d' of draws may be
        total[to] += np.where(defined, run.figures[mine], 0)
        n[to] += defined
    return ratio(total, n)


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Slices after all others, each with its levels in their order; not every run has every level.

    A slice of which all runs have the same single level divides nothing and is left out.
    """
    parts = [table[table["slice"] == ""]]
    for name in table["slice"].unique():
        mine = table[table["slice"] == name]
        levels = sorted_levels(name, mine["level"])
        if len(levels) > 1:
            parts += [mine[mine["level"] == level] for level in levels]
    return pd.concat(parts, ignore_index=True)
