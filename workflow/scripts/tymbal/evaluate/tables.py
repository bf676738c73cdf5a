"""Summary tables on disk: CSV in which text stays text, so that a class may be called NA or 1."""

from pathlib import Path

import pandas as pd

from tymbal.files import write_text

# Columns of any table that hold text.
TEXT = ["dataset", "model", "part", "target_rule", "metric", "class", "note", "kind", "true_class", "predicted_class"]
TEXT += ["device", "init"]


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table; undefined values are empty cells."""
    write_text(path, table.to_csv(index=False, lineterminator="\n", float_format="%.9g"))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table; empty cells of columns with numbers are NaN."""
    columns = pd.read_csv(path, nrows=0).columns
    blank = {column: [""] for column in columns if column not in TEXT}
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=blank)


def rows_of(table: pd.DataFrame, dataset: str, model: str | None) -> pd.DataFrame:
    """The rows of a data set, or of one model on it."""
    mine = table["dataset"] == dataset
    if model is not None:
        mine &= table["model"] == model
    return table[mine]
