"""ESC's table: `filename, fold, category` and the source recording of each clip (Piczak, ACM MM 2015)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tymbal.config.data import EscSource
from tymbal.errors import InputError
from tymbal.ingest.records import Reading, Record, clean, fold_of, read_table
from tymbal.ingest.vocabulary import Vocabulary, translate_labels
from tymbal.roots import locate


def read(source: EscSource, vocabulary: Vocabulary, roots: Mapping[str, Path], files: Sequence[str]) -> Reading:
    """Read a table in the layout of ESC-50 and ESC-10: one class a clip, of weight 1.0, and given folds.

    Args:
        source: the table's settings.
        vocabulary: the classes.
        roots: name of a root -> folder.
        files: the audio files; their names tell the encoding.

    Returns:
        One record a row, in the table's order.

    Raises:
        InputError: the table or its cells are not as expected, or a category stands for no class.
    """
    layout = "part of the ESC layout"
    required = {"filename": layout, "fold": layout, "category": layout}
    required[source.recording_column] = "setting source.recording_column"
    table = read_table(locate(source.table, roots), required, vocabulary.expected(source.class_names, files))
    recording_column = clean(source.recording_column)

    problems = []
    counts: Counter[str] = Counter()
    for row in table.rows:
        counts[row.cells["category"]] += 1
        for column in ("filename", "category", recording_column):
            if not row.cells[column]:
                problems.append(f"{row.where}, column {column}: blank")
        if not (fold_of(row.cells["fold"]) or "").isdigit():
            problems.append(f"{row.where}, column fold: {row.cells['fold']!r}, expected a whole number from 1")
    if problems:
        raise InputError.listing(f"{table.name}: cells", problems, "fill in or correct these cells")

    translation = translate_labels(counts, source.class_names, vocabulary, table.name, "categories")
    records = [
        Record(
            file=row.cells["filename"],
            where=row.where,
            labels=translation.labels([(row.cells["category"], 1.0)]),
            fold=fold_of(row.cells["fold"]) or "",
            recording=row.cells[recording_column],
        )
        for row in table.rows
    ]
    return Reading(records, table.facts, translation.warnings)
