"""Multi-hot table: one row a clip, a column for each class with its weight."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tymbal.config.data import MultihotSource
from tymbal.errors import InputError
from tymbal.ingest.columns import Columns
from tymbal.ingest.records import Reading, Record, Row, Table, read_table
from tymbal.ingest.vocabulary import Vocabulary, translate_columns
from tymbal.roots import locate

BLANK = {"", "nan"}


def read(source: MultihotSource, vocabulary: Vocabulary, roots: Mapping[str, Path], files: Sequence[str]) -> Reading:
    """Read a multi-hot table.

    A row whose class cells are all blank is unlabelled; one with zeros only is negative for every class. Of two
    columns for one class the larger weight counts.

    Args:
        source: the table's settings.
        vocabulary: the classes.
        roots: name of a root -> folder.
        files: the audio files; their names tell the encoding.

    Returns:
        One record a row, in the table's order.

    Raises:
        InputError: the table, its columns or its cells are not as expected.
    """
    columns = Columns(source)
    expected = vocabulary.expected(source.class_names, files)
    table = read_table(locate(source.table, roots), columns.required, expected, source.rows)
    others = [column for column in table.columns if column not in columns.required]
    translation = translate_columns(others, source.class_names, vocabulary, table.name, "column")
    scored = [column for column in others if translation.meaning[column] is not None]

    records = []
    problems: list[str] = []
    for row in table.rows:
        told = columns.read(row, problems)
        weights = _weights(table, row, scored, problems)
        # A class at zero is told to be absent, which `labels` says by leaving it out.
        heard = [(name, weight) for name, weight in weights.items() if weight > 0]
        labels = (translation.labels(heard) or {}) if weights else None
        records.append(Record(told.file, row.where, labels, site=told.site, fold=told.fold, columns=told.columns))
    if problems:
        remedy = (
            "every row needs a file name, and for every class a weight from 0 to 1, or none at all if it is unlabelled"
        )
        raise InputError.listing(f"{table.name}: cells", problems, remedy)

    facts = table.facts | {"unlabelled rows": sum(record.labels is None for record in records)}
    unused = [column for column in others if translation.meaning[column] is None]
    if not unused:
        return Reading(records, facts)
    return Reading(records, facts, [f"{table.name}: columns that stand for no class, not used: {', '.join(unused)}"])


def _weights(table: Table, row: Row, columns: Sequence[str], problems: list[str]) -> dict[str, float]:
    """Weight in each column; none if all cells are blank."""
    if all(row.cells[column].casefold() in BLANK for column in columns):
        return {}
    weights = {column: table.number(row.cells[column]) for column in columns}
    problems += [
        f"{row.where}, column {column}: {row.cells[column]!r}"
        for column, weight in weights.items()
        if not 0 <= weight <= 1
    ]
    return weights
