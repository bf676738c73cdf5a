"""ESC's table: `filename, fold, category` and the source recording of each clip (Piczak, ACM MM 2015)."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from tymbal.config import EscSource
from tymbal.errors import InputError
from tymbal.ingest.records import Record, classes_of_names, clean, read_table


def read(source: EscSource, classes: Sequence[str], root: Path, audio: Collection[str]) -> list[Record]:
    """Read a table in the layout of ESC-50 and ESC-10: one class a clip, of weight 1.0, and given folds.

    Args:
        source: the table's settings.
        classes: the data set's classes.
        root: folder that `source.table` is relative to.
        audio: not needed here.

    Returns:
        One record a row, in the table's order.

    Raises:
        InputError: the table or its cells are not as expected, or a category is not in `classes`.
    """
    layout = "part of the ESC layout"
    columns = {"filename": layout, "fold": layout, "category": layout}
    table = read_table(root / source.table, columns | {source.recording_column: "setting source.recording_column"})
    recording_column = clean(source.recording_column)

    problems = []
    for row in table.rows:
        for column in ("filename", "category", recording_column):
            if not row.cells[column]:
                problems.append(f"{row.where}, column {column}: blank")
        fold = row.cells["fold"]
        if not (fold.isascii() and fold.isdigit() and int(fold) > 0):
            problems.append(f"{row.where}, column fold: {fold!r}, expected a whole number from 1")
    if problems:
        raise InputError.listing(f"{table.name}: cells", problems, "fill in or correct these cells")

    counts = Counter(row.cells["category"] for row in table.rows)
    meaning = classes_of_names(counts, {}, classes, table.name, "category")
    unknown = [f"{name!r}: {n} clips" for name, n in sorted(counts.items()) if meaning[name] is None]
    if unknown:
        raise InputError.listing(
            f"{table.name}: categories that are not in `classes`",
            unknown,
            "add them to `classes`; to use only some categories, give a table with only their rows "
            "(clips are never left out unasked)",
        )
    return [
        Record(
            file=row.cells["filename"],
            where=row.where,
            labels={label: 1.0} if (label := meaning[row.cells["category"]]) else None,
            fold=str(int(row.cells["fold"])),
            recording=row.cells[recording_column],
        )
        for row in table.rows
    ]
