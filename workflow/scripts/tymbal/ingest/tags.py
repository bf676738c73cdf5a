"""Wide tag table: one row a clip, a column for each main and each background ("sub") tag."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tymbal.config.data import TagSource
from tymbal.errors import InputError
from tymbal.ingest.columns import Columns
from tymbal.ingest.records import Reading, Record, Table, clean, read_table
from tymbal.ingest.vocabulary import Translation, Vocabulary, translate_columns
from tymbal.roots import locate

ON = {"1", "1.0", "true", "x"}
OFF = {"0", "0.0", "false", "", "nan"}


@dataclass(frozen=True)
class Tag:
    """One tag column."""

    column: str
    name: str  # the column without its prefix
    main: bool


@dataclass(frozen=True)
class Combination:
    """The tag cells of a row: what they mean and what is wrong with them. A million rows hold few different ones."""

    on: list[Tag]
    labels: dict[str, float] | None
    wrong: list[str]


def read(source: TagSource, vocabulary: Vocabulary, roots: Mapping[str, Path], files: Sequence[str]) -> Reading:
    """Read a tag table.

    A main tag weighs `source.main_weight`, a sub tag `source.sub_weight`; of both on one name the main tag counts,
    of two names for one class the larger weight. A row without a tag is unlabelled, not negative for every class.

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
    tags = _tags(source, table)
    translation = translate_columns({t.name for t in tags}, source.class_names, vocabulary, table.name, "tag column")

    combinations: dict[tuple[str, ...], Combination] = {}
    counts: Counter[tuple[str, ...]] = Counter()
    records = []
    problems: list[str] = []
    for row in table.rows:
        told = columns.read(row, problems)
        cells = tuple([row.cells[tag.column] for tag in tags])
        if cells not in combinations:
            combinations[cells] = _combination(source, tags, cells, translation)
        counts[cells] += 1
        labels, wrong = combinations[cells].labels, combinations[cells].wrong
        problems += [f"{row.where}, {cell}" for cell in wrong]
        records.append(Record(told.file, row.where, labels, site=told.site, fold=told.fold, columns=told.columns))
    if problems:
        remedy = "every row needs a file name; tags: 1, 1.0, TRUE or x for on, 0, 0.0, FALSE, blank or NaN for off"
        raise InputError.listing(f"{table.name}: cells", problems, remedy)

    unlabelled = sum(n for cells, n in counts.items() if combinations[cells].labels is None)
    facts = table.facts | {"unlabelled rows": unlabelled}
    unused = {tag.column: 0 for tag in tags if translation.meaning[tag.name] is None}
    if not unused:
        return Reading(records, facts)
    only = 0
    for cells, n in counts.items():
        found = combinations[cells]
        only += n if found.on and found.labels is None else 0
        for tag in found.on:
            if tag.column in unused:
                unused[tag.column] += n
    facts["rows with tags of no class only, unlabelled"] = only
    told_of = ", ".join(f"{column} ({n} on)" for column, n in unused.items())
    return Reading(records, facts, [f"{table.name}: tag columns that stand for no class, not used: {told_of}"])


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


def _combination(source: TagSource, tags: Sequence[Tag], cells: Sequence[str], translation: Translation) -> Combination:
    pairs = list(zip(tags, cells, strict=True))
    on = [tag for tag, cell in pairs if cell.casefold() in ON]
    sub = {tag.name: source.sub_weight for tag in on if not tag.main}
    weights = sub | {tag.name: source.main_weight for tag in on if tag.main}
    wrong = [f"column {tag.column}: {cell!r}" for tag, cell in pairs if cell.casefold() not in ON | OFF]
    return Combination(on, translation.labels(weights.items()), wrong)
