"""The summary tables: which of their columns hold text, and the rows about one thing."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tymbal.tables import read_csv, write_csv

# Columns of any table that hold text.
TEXT = ["dataset", "model", "part", "target_rule", "metric", "class", "note", "kind", "true_class", "predicted_class"]
TEXT += ["device", "init", "measure", "clip_id", "train_clip_id", "what", "told", "file", "where", "reason"]
TEXT += ["family", "start", "test_clips", "ssl", "corpus", "held_out", "objective", "size", "kept_by"]
TEXT += ["model_a", "model_b", "layer", "thresholds", "unit", "slice", "level", "stage", "class_a", "class_b", "source"]
TEXT += ["root", "path", "recording", "site"]
TEXT += ["started", "ended", "tymbal", "code", "commit", "torch", "python", "machine", "container", "slurm_job"]
TEXT += ["settings"]


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table; undefined values are empty cells."""
    write_csv(table, path, float_format="%.9g")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table; empty cells of columns with numbers are NaN."""
    return read_csv(path, TEXT)


def rows_of(table: pd.DataFrame, subject: Mapping[str, str]) -> pd.DataFrame:
    """The rows about one thing: a data set, a model on it, a pre-training.

    Args:
        table: with the columns that `subject` names.
        subject: column -> the value it must have.
    """
    for column, value in subject.items():
        table = table[table[column] == value]
    return table
