"""Tables on disk: CSV in which text stays text, so that a class may be called NA and a site 1."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tymbal.files import atomic


def write_csv(table: pd.DataFrame, path: Path, float_format: str | None = None) -> None:
    """Write a table atomically; equal tables give equal bytes, undefined values are empty cells."""
    with atomic(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n", float_format=float_format)


def read_csv(path: Path, text: Sequence[str]) -> pd.DataFrame:
    """Read a table. Columns in `text` stay as written; in all others an empty cell, and nothing else, is NaN."""
    columns = pd.read_csv(path, nrows=0).columns
    blank = {column: [""] for column in columns if column not in text}
    return pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=blank)
