"""How a feature store lies on disk, for those who write it and those who read it.

A folder with `state.json` (what the numbers mean), `index.csv` (clip_id, shard, start, n_frames: where the rows of a
clip are) and the shards that the index names, such as `1-of-4/shard-00000.npy`: float16 [frames, mels], neither
padded nor normalised. float16 holds log-mel values, -16 to 16, in steps below 0.01.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tymbal.errors import InputError
from tymbal.files import read_json, write_json
from tymbal.tables import read_csv, write_csv

log = logging.getLogger(__name__)

SHARD_FRAMES = 2**20  # in a shard, unless a single clip is longer: 256 MB of 128 mels
INDEX = "index.csv"
STATE = "state.json"
COLUMNS = ("clip_id", "shard", "start", "n_frames")


def read_index(path: Path) -> pd.DataFrame:
    """The index of a store, of one part of it or of one shard; shards are named relative to its folder."""
    return read_csv(path, text=("clip_id", "shard"))


def write_index(parts: Sequence[Path], folder: Path) -> None:
    """Write the index and the state of a store whose parts are finished.

    Args:
        parts: folders that `compute_part` wrote, below `folder`.
        folder: the store.

    Raises:
        InputError: parts with other features than the first, or clips that are in two parts.
    """
    state = read_json(parts[0] / STATE)
    problems = [
        f"{part}: its state differs from that of {parts[0]}" for part in parts if read_json(part / STATE) != state
    ]
    indices = []
    for part in parts:
        index = read_index(part / INDEX)
        if len(index):
            indices.append(index.assign(shard=f"{part.relative_to(folder).as_posix()}/" + index["shard"]))
    index = pd.concat(indices, ignore_index=True)
    twice = index[index["clip_id"].duplicated(keep=False)]
    problems += [
        f"{clip_id}: in {' and '.join(rows['shard'])}" for clip_id, rows in twice.groupby("clip_id", sort=False)
    ]
    if problems:
        raise InputError.listing(
            f"parts of {folder} do not fit together", problems, "delete the folder; compute_fbank makes it again"
        )
    write_csv(index, folder / INDEX)
    write_json(folder / STATE, state)
    log.info("%d clips, %d frames, %d parts, state %s", len(index), index["n_frames"].sum(), len(parts), state)
