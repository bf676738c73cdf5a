"""How a feature store lies on disk, for those who write it and those who read it.

A folder with `state.json` (what the numbers mean), `index.csv` (clip_id, shard, start, n_frames: where the rows of a
clip are) and the shards that the index names, such as `1-of-4/shard-00000.npy`: float16 [frames, mels], neither
padded nor normalised. float16 holds log-mel values, -16 to 16, in steps below 0.01.
"""

from pathlib import Path

import pandas as pd

from tymbal.tables import read_csv

SHARD_FRAMES = 2**20  # in a shard, unless a single clip is longer: 256 MB of 128 mels
INDEX = "index.csv"
STATE = "state.json"
COLUMNS = ("clip_id", "shard", "start", "n_frames")


def read_index(path: Path) -> pd.DataFrame:
    """The index of a store, of one part of it or of one shard; shards are named relative to its folder."""
    return read_csv(path, text=("clip_id", "shard"))
