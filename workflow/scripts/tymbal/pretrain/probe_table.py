"""The probes of all runs in one table, and their means in words."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tymbal.errors import InputError
from tymbal.evaluate.tables import read_table
from tymbal.runs import Run

# Of probe.csv in the folder of a run.
COLUMNS = ["layer", "kind", "metric", "value", "n_train", "n_val", "test_clips", "val_heard"]


def collect(runs: Sequence[tuple[Run, Path]]) -> pd.DataFrame:
    """Read the probe of every run.

    Args:
        runs: each run and its folder, with probe.csv.

    Returns:
        `dataset, model, fold, seed`, and the columns of a run's probe.csv.

    Raises:
        InputError: there are none.
    """
    if not runs:
        raise InputError(
            "none of the planned models has an encoder, so there is nothing to probe. Plan an experiment with a model "
            "of net.arch 'ssast' or 'sslam'."
        )
    return pd.concat(
        [read_table(folder / "probe.csv").assign(**run._asdict())[[*run._fields, *COLUMNS]] for run, folder in runs],
        ignore_index=True,
    )


def readable(table: pd.DataFrame) -> str:
    """Means over runs, a block a model and a line a layer.

    Args:
        table: as `collect` gives it.
    """
    blocks = []
    for (dataset, model), mine in table.groupby(["dataset", "model"], sort=False):
        runs = mine.drop_duplicates(["fold", "seed"])
        n_train, n_val = mine[["n_train", "n_val"]].mean().round().astype(int)
        means = mine.pivot_table("value", "layer", ["kind", "metric"], aggfunc="mean", dropna=False, sort=False)
        means.columns = means.columns.map(" ".join)
        head = (
            f"{dataset} x {model}: mean of {len(runs)} runs, {n_train} training clips, scored on {n_val} validation "
            f"clips{_heard(runs)}"
        )
        blocks.append(f"{head}\n{means.reset_index().to_string(index=False, float_format='%.3f', na_rep='-')}")
    return "\n\n".join(blocks)


def _heard(runs: pd.DataFrame) -> str:
    """What the starting weights of some runs had heard of their clips."""
    told = ""
    if n := (runs["test_clips"] == "transductive").sum():
        told += f"; transductive ({n} of {len(runs)} runs): the starting weights had heard test clips"
    if runs["val_heard"].any():
        told += "\nThis data set was in the corpus of the starting weights, so they had heard its validation clips."
    return told
