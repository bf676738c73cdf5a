"""The split on disk: which clip is in which part of which fold, and how the classes came out."""

from pathlib import Path

import pandas as pd

from tymbal.errors import InputError
from tymbal.tables import read_csv, write_csv

PARTS = ("train", "val", "test")
UNLABELLED = "unlabelled"
ALL = "(all)"  # in the balance table: clips, whatever their classes


def write_folds(folds: pd.DataFrame, folds_path: Path, balance: pd.DataFrame, balance_path: Path) -> None:
    """Write both tables of `split_folds` as CSV; equal splits give equal bytes."""
    write_csv(folds, folds_path)
    write_csv(balance, balance_path)


def read_folds(path: Path) -> pd.DataFrame:
    """Read `fold, clip_id, part, subset`. Clip ids stay text, whatever they look like.

    Raises:
        InputError: the clips that are in a fold more than once: what is learnt from must not be what is reported.
    """
    folds = read_csv(path, text=("clip_id", "part")).astype({"subset": "Int64"})
    again = folds[folds.duplicated(["fold", "clip_id"], keep=False)]
    if len(again):
        problems = [
            f"fold {fold}: clip {clip} is in {' and '.join(parts)}, expected in one part"
            for (fold, clip), parts in again.groupby(["fold", "clip_id"])["part"]
        ]
        raise InputError.listing(str(path), problems, "delete the file and run the split again")
    return folds


def clip_ids(folds: pd.DataFrame, fold: int, part: str, percent: int = 100) -> list[str]:
    """The clips of one part of one fold, sorted.

    Args:
        folds: `fold, clip_id, part, subset`.
        fold: its number, from 1.
        part: train, val, test or unlabelled.
        percent: of the training part, which of its nested subsets.
    """
    mine = (folds["fold"] == fold) & (folds["part"] == part)
    if percent < 100:
        assert part == "train", "only the training part has subsets"
        mine &= folds["subset"].le(percent).fillna(False).astype(bool)
    return sorted(folds.loc[mine, "clip_id"])
