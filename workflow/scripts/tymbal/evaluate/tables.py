"""The summary tables: which of their columns hold text, and the rows of one model."""

from pathlib import Path

import pandas as pd

from tymbal.tables import read_csv, write_csv

# Columns of any table that hold text.
TEXT = ["dataset", "model", "part", "target_rule", "metric", "class", "note", "kind", "true_class", "predicted_class"]
TEXT += ["device", "init", "measure", "clip_id", "train_clip_id", "what", "told", "file", "where", "reason"]


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table; undefined values are empty cells."""
    write_csv(table, path, float_format="%.9g")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table; empty cells of columns with numbers are NaN."""
    return read_csv(path, TEXT)


def rows_of(table: pd.DataFrame, dataset: str, model: str | None) -> pd.DataFrame:
    """The rows of a data set, or of one model on it."""
    mine = table["dataset"] == dataset
    if model is not None:
        mine &= table["model"] == model
    return table[mine]
