"""Wide tag table: one row a clip, a column for each main and each background ("sub") tag."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tymbal.config import TagSource
from tymbal.errors import InputError
from tymbal.ingest.records import Record, Row, Table, classes_of_names, clean, read_table

log = logging.getLogger(__name__)

ON = {"1", "1.0", "true", "x"}
OFF = {"0", "0.0", "false", "", "nan"}


@dataclass(frozen=True)
class Tag:
    """One tag column."""

    column: str
    name: str  # the column without its prefix
    main: bool


def read(source: TagSource, classes: Sequence[str], root: Path, audio: Collection[str]) -> list[Record]:
    """Read a tag table.

    A main tag weighs `source.main_weight`, a sub tag `source.sub_weight`; of both on one name the main tag counts,
    of two names for one class the larger weight. A row without a tag is unlabelled, not negative for every class.

    Args:
        source: the table's settings.
        classes: the data set's classes.
        root: folder that `source.table` is relative to.
        audio: not needed here.

    Returns:
        One record a row, in the table's order.

    Raises:
        InputError: the table, its columns or its cells are not as expected.
    """
    required = {source.file_column: "setting source.file_column"}
    if source.site_column is not None:
        required[source.site_column] = "setting source.site_column; null if the table has no sites"
    table = read_table(root / source.table, required)
    tags = _tags(source, table)
    meaning = classes_of_names({tag.name for tag in tags}, source.class_names, classes, table.name, "tag column")
    _check_cells(source, table, tags)
    weights = [_weights(source, tags, row) for row in table.rows]
    _warn_of_unused(table, tags, meaning, weights)
    site_column = clean(source.site_column) if source.site_column is not None else None
    return [
        Record(
            file=row.cells[clean(source.file_column)],
            where=row.where,
            labels=_labels(meaning, names),
            site=row.cells[site_column] if site_column is not None else "",
        )
        for row, names in zip(table.rows, weights, strict=True)
    ]


def _tags(source: TagSource, table: Table) -> list[Tag]:
    prefixes = {clean(source.main_prefix): True, clean(source.sub_prefix): False}
    tags = []
    for column in table.columns:
        # The longer prefix first: "Tag_Sub_" also starts with "Tag_".
        for prefix in sorted(prefixes, key=len, reverse=True):
            if column.startswith(prefix):
                tags.append(Tag(column, clean(column.removeprefix(prefix)), prefixes[prefix]))
                break
    return tags


def _check_cells(source: TagSource, table: Table, tags: Sequence[Tag]) -> None:
    file_column = clean(source.file_column)
    problems = []
    for row in table.rows:
        if not row.cells[file_column]:
            problems.append(f"{row.where}, column {file_column}: no file name")
        for tag in tags:
            if row.cells[tag.column].casefold() not in ON | OFF:
                problems.append(f"{row.where}, column {tag.column}: {row.cells[tag.column]!r}")
    if problems:
        remedy = "every row needs a file name; tags: 1, 1.0, TRUE or x for on, 0, 0.0, FALSE, blank or NaN for off"
        raise InputError.listing(f"{table.name}: cells", problems, remedy)


def _is_on(row: Row, tag: Tag) -> bool:
    return row.cells[tag.column].casefold() in ON


def _weights(source: TagSource, tags: Sequence[Tag], row: Row) -> dict[str, float]:
    """Weight of each name that is on."""
    on = [tag for tag in tags if _is_on(row, tag)]
    sub = {tag.name: source.sub_weight for tag in on if not tag.main}
    return sub | {tag.name: source.main_weight for tag in on if tag.main}


def _labels(meaning: Mapping[str, str | None], names: Mapping[str, float]) -> dict[str, float] | None:
    """Weight of each class, None if no name that is on stands for one."""
    labels: dict[str, float] = {}
    for name, weight in names.items():
        if (label := meaning[name]) is not None:
            labels[label] = max(weight, labels.get(label, 0.0))
    return labels or None


def _warn_of_unused(
    table: Table, tags: Sequence[Tag], meaning: Mapping[str, str | None], weights: Sequence[Mapping[str, float]]
) -> None:
    unused = [tag for tag in tags if meaning[tag.name] is None]
    if not unused:
        return
    counts = Counter(tag.column for row in table.rows for tag in unused if _is_on(row, tag))
    columns = ", ".join(f"{tag.column} ({counts[tag.column]} on)" for tag in unused)
    only = sum(bool(names) and _labels(meaning, names) is None for names in weights)
    log.warning(
        "%s: tag columns for no class in `classes`: %s; rows with only such tags, which count as unlabelled: %d",
        table.name,
        columns,
        only,
    )
