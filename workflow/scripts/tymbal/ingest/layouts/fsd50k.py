"""FSD50K (Fonseca et al., TASLP 2022, arXiv 2010.00475): two tables of clips with their labels in one cell."""

from collections.abc import Sequence
from pathlib import Path

from tymbal.errors import InputError
from tymbal.ingest.layouts.entry import Entry
from tymbal.ingest.records import clean, read_table

DEV, EVAL = "FSD50K.ground_truth/dev.csv", "FSD50K.ground_truth/eval.csv"
AUDIO = {DEV: "FSD50K.dev_audio", EVAL: "FSD50K.eval_audio"}


def read(folder: Path, files: Sequence[str]) -> list[Entry]:
    """Read the ground truth: the development set trains and validates as its column `split` says, evaluation tests.

    Args:
        folder: with the folders `FSD50K.ground_truth`, `FSD50K.dev_audio` and `FSD50K.eval_audio`.
        files: not needed here.

    Returns:
        One entry a row, with all its labels; a clip is a recording of its own, named by its Freesound id.

    Raises:
        InputError: the tables or their cells are not as expected.
    """
    entries = []
    problems = []
    for name, audio in AUDIO.items():
        columns = ("fname", "labels", "split") if name == DEV else ("fname", "labels")
        table = read_table(folder / name, dict.fromkeys(columns, "part of FSD50K's layout"))
        for row in table.rows:
            clip, part = row.cells["fname"], row.cells.get("split", "test")
            labels = tuple(clean(label) for label in row.cells["labels"].split(","))
            if not clip:
                problems.append(f"{row.where}, column fname: blank")
            if not all(labels):
                problems.append(f"{row.where}, column labels: {row.cells['labels']!r}, expected names with commas")
            if name == DEV and part not in ("train", "val"):
                problems.append(f"{row.where}, column split: {part!r}, expected train or val")
            entries.append(Entry(f"{audio}/{clip}.wav", row.where, labels, fold=part, recording=clip))
    if problems:
        raise InputError.listing(f"{folder}: cells of FSD50K's ground truth", problems, "unpack its archive again")
    return entries
