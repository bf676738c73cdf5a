"""Long table: one row a label, with its weight and the stretch of the file it holds for if they are known."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tymbal.config.data import LongSource
from tymbal.errors import InputError
from tymbal.ingest.columns import Columns, Described
from tymbal.ingest.lookup import key
from tymbal.ingest.records import Event, Reading, Record, Table, clean, read_table
from tymbal.ingest.vocabulary import Vocabulary, translate_labels
from tymbal.roots import locate


class Label(NamedTuple):
    """What one row says; the stretch, in seconds, is of no meaning in a table without start and end."""

    name: str
    weight: float
    start_s: float
    end_s: float


@dataclass(slots=True)
class File:
    """The rows of one file: what the first tells, and the labels of all. None is the label of an unlabelled file."""

    told: Described
    where: str
    labels: list[Label | None] = field(default_factory=list)


def read(source: LongSource, vocabulary: Vocabulary, roots: Mapping[str, Path], files: Sequence[str]) -> Reading:
    """Read a long table. All rows of a file make one record; a file with a blank label is unlabelled.

    Of a label given twice, and of two names for one class, the larger weight counts.

    Args:
        source: the table's settings.
        vocabulary: the classes.
        roots: name of a root -> folder.
        files: the audio files; their names tell the encoding.

    Returns:
        One record a file, in the order of their first rows.

    Raises:
        InputError: the table, its columns or its cells are not as expected, or a label stands for no class.
    """
    columns = Columns(source)
    settings = ("label_column", "weight_column", "start_column", "end_column")
    own = {name: f"setting source.{s}" for s in settings if (name := getattr(source, s)) is not None}
    expected = vocabulary.expected(source.class_names, files)
    table = read_table(locate(source.table, roots), columns.required | own, expected, source.rows)
    gathered = _gather(source, table, columns)

    counts = Counter(label.name for file in gathered for label in file.labels if label is not None)
    translation = translate_labels(counts, source.class_names, vocabulary, table.name, unknown=source.unknown_labels)
    meaning = cache(lambda *named: translation.labels(named))  # equal labels are held in memory once
    records = []
    emptied = 0
    for file in gathered:
        said = [label for label in file.labels if label is not None]
        labels, events = None, None
        if said and source.start_column is None:
            labels = meaning(*[(label.name, label.weight) for label in said])
            emptied += labels is None
        elif said:
            stretches = [(label, meaning((label.name, label.weight))) for label in said]
            # The file was listened to, even if none of its classes was heard.
            events = tuple(Event(label.start_s, label.end_s, names) for label, names in stretches if names)
        told = file.told
        records.append(Record(told.file, file.where, labels, events, told.fold, "", told.site, told.columns))
    facts = table.facts | translation.facts
    facts["unlabelled files"] = sum(record.labels is None and record.events is None for record in records)
    if emptied:
        facts["files with dropped labels only, unlabelled"] = emptied
    return Reading(records, facts, translation.warnings)


def _gather(source: LongSource, table: Table, columns: Columns) -> list[File]:
    """The rows of each file together."""
    cells_of = {
        name: clean(column)
        for name in ("label", "weight", "start", "end")
        if (column := getattr(source, f"{name}_column")) is not None
    }
    known: dict[tuple[str, ...], tuple[Label | None, list[str]]] = {}  # many rows say the same
    gathered: dict[tuple[str, ...], File] = {}
    problems: list[str] = []
    for row in table.rows:
        told = columns.read(row, problems)
        file = gathered.setdefault(key(told.file), File(told, row.where))
        if (told.site, told.fold, told.columns) != (file.told.site, file.told.fold, file.told.columns):
            problems.append(f"{row.where}: site, fold or further columns are not as in {file.where}, of the same file")
        cells = tuple([row.cells[column] for column in cells_of.values()])
        if cells not in known:
            known[cells] = _label(table, dict(zip(cells_of, cells, strict=True)))
        label, wrong = known[cells]
        file.labels.append(label)
        problems += [f"{row.where}: {cell}" for cell in wrong]
    for file in gathered.values():
        if None in file.labels and any(file.labels):
            problems.append(f"{file.where}: {file.told.file!r} has rows with a label and a row without")
    if problems:
        remedy = (
            "every row needs a file name; weights are above 0 and at most 1; stretches start at 0 s or later and end "
            "after they start; an unlabelled file is one row with a blank label"
        )
        raise InputError.listing(f"{table.name}: rows", problems, remedy)
    return list(gathered.values())


def _label(table: Table, cells: Mapping[str, str]) -> tuple[Label | None, list[str]]:
    """What the cells of a row say, None if the label is blank; and what is wrong with them."""
    if not cells["label"]:
        return None, []
    wrong = []
    weight, start_s, end_s = 1.0, 0.0, math.inf
    if "weight" in cells:
        weight = table.number(cells["weight"])
        if not 0 < weight <= 1:
            wrong.append(f"weight {cells['weight']!r}")
    if "start" in cells:
        start_s, end_s = table.number(cells["start"]), table.number(cells["end"])
        if not 0 <= start_s < end_s < math.inf:
            wrong.append(f"start {cells['start']!r}, end {cells['end']!r}")
    return Label(cells["label"], weight, start_s, end_s), wrong
