"""SPASS: synthetic soundscapes of five urban scenes, each scene with a table of its events."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tymbal.errors import InputError
from tymbal.ingest.layouts.entry import Entry
from tymbal.ingest.records import clean, read_table

FILE, LABEL = "audio_filename", "class"  # columns
TRAIN_SHARE = 0.75


def read(folder: Path, files: Sequence[str], table: str) -> list[Entry]:
    """Read one scene's table, one row an event, as SSLAM's `create_all_manifests_SPASS.py` reads it.

    What is heard in a soundscape is the classes of its rows; the other columns are not read. There is no official
    split: as there, the first three quarters of the soundscapes, sorted by name, train and the rest is tested.

    Args:
        folder: with the table, and audio at any depth.
        files: the audio files in it, of this and of other scenes.
        table: such as `1_MatrixLabelsMarket.csv`.

    Returns:
        One entry a soundscape, sorted by name.

    Raises:
        InputError: the table is not as expected, or a soundscape is in several folders.
    """
    required = {FILE: "as SSLAM's script has it", LABEL: "as SSLAM's script has it"}
    heard: dict[str, dict[str, str]] = defaultdict(dict)  # name -> class -> row that tells it first
    blank = []
    for row in read_table(folder / table, required).rows:
        name, label = row.cells[FILE], row.cells[LABEL]
        if name and label:
            heard[name].setdefault(label, row.where)
        else:
            blank.append(row.where)
    if blank:
        raise InputError.listing(
            f"{folder / table}: rows without file or class", blank, "correct them, or take them out"
        )

    paths: dict[str, list[str]] = defaultdict(list)
    for file in files:
        paths[clean(PurePosixPath(file).name)].append(file)
    if several := [f"{name}: {' and '.join(paths[name])}" for name in heard if len(paths.get(name, ())) > 1]:
        raise InputError.listing(f"{folder}: soundscapes in several folders", several, "keep one file of each")

    n_train = int(TRAIN_SHARE * len(heard))
    return [
        Entry(
            file=paths[name][0] if name in paths else name,
            where=next(iter(heard[name].values())),
            labels=tuple(heard[name]),
            fold="train" if i < n_train else "test",
            recording=PurePosixPath(name).stem,
        )
        for i, name in enumerate(sorted(heard))
    ]
