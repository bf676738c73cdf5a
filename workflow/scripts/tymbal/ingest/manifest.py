"""The manifest: one row a clip, the only source of paths, groups and labels for every later stage.

Columns: `clip_id, root, path, start_s, duration_s, recording, site, recorded_at, segment, fold, sample_rate, channels,
sha256`, then what tables and names tell beyond these, then one `label:<Class>` a class, in class order, with weights
in [0, 1]. Rows are sorted by clip_id. `path` is relative to the named root, `sha256` of the whole file, of which a
clip may be a stretch. The label cells of an unlabelled clip are empty: not known, which is not 0.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tymbal.tables import read_csv, write_csv

LABEL = "label:"
NUMBERS = ("start_s", "duration_s", "sample_rate", "channels")


def write_manifest(manifest: pd.DataFrame, path: Path) -> None:
    """Write a manifest as CSV; equal manifests give equal bytes."""
    write_csv(manifest, path)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest. Text stays text (a site may be called 1 or NA); empty label cells are NaN."""
    columns = pd.read_csv(path, nrows=0).columns
    return read_csv(path, [name for name in columns if name not in NUMBERS and not name.startswith(LABEL)])


def class_names(manifest: pd.DataFrame) -> list[str]:
    """The classes, in the order that is part of every model."""
    return [column.removeprefix(LABEL) for column in manifest.columns if column.startswith(LABEL)]


def clip_rows(manifest: pd.DataFrame, clip_ids: Sequence[str]) -> pd.DataFrame:
    """Rows of the clips named, in their order."""
    return manifest.set_index("clip_id").loc[list(clip_ids)].reset_index()


def labels(manifest: pd.DataFrame) -> np.ndarray:
    """Soft labels.

    Returns:
        [N, C] float32 weights in [0, 1]; rows of NaN for unlabelled clips.
    """
    return manifest[[LABEL + name for name in class_names(manifest)]].to_numpy(dtype=np.float32)
