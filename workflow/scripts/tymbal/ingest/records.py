"""What every reader of labels gives: one record a file; and how tables are read on the way there."""

import csv
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tymbal.errors import InputError
from tymbal.ingest.text import read_text

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}  # Excel saves "CSV" with semicolons in much of Europe
SHOWN = 1000  # characters of a header in a message
PARTS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Event:
    """A stretch of a file and what is heard in it.

    Attributes:
        start_s: from the start of the file, seconds.
        end_s: later than `start_s`.
        labels: class -> weight in (0, 1].
    """

    start_s: float
    end_s: float
    labels: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Record:
    """One file as its source describes it, before it is looked for.

    Attributes:
        file: the name given, with or without folder and extension.
        where: place in the source, such as `tags.csv row 12`, for messages.
        labels: of the whole file, class -> weight in (0, 1]; None if it is unlabelled.
        events: stretches with labels, if the source tells these instead; an empty tuple is a file in which
            nothing was heard. None if the source tells of whole files.
        fold: the data set's own fold (a whole number from 1) or part (train, val, test); empty if there is none.
        recording: the recording it was cut from; empty if the file's name has to tell.
        site: where it was recorded; empty if the file's name has to tell.
        columns: the further columns that `source.columns` asks for.
    """

    file: str
    where: str
    labels: Mapping[str, float] | None
    events: tuple[Event, ...] | None = None
    fold: str = ""
    recording: str = ""
    site: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """What a reader found.

    Attributes:
        records: one a file, in the order of the source.
        facts: what was done, for the log, ingest.json and the report: fact -> number or text, such as
            `{"encoding of tags.csv": "cp950", "unlabelled rows": 3}`.
        warnings: what is allowed but may be a mistake, one line each.
    """

    records: list[Record]
    facts: dict[str, int | str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One row of a table: where it is, for messages, and its cells by column."""

    where: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A table as text. Names and cells are stripped and in Unicode NFC.

    Attributes:
        name: the file's.
        encoding: in which it was read.
        delimiter: between cells.
        columns: names in the header.
        wanted: column -> cell that a row must have to be read.
    """

    name: str
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    wanted: Mapping[str, str]
    _text: str = field(repr=False)

    @property
    def rows(self) -> Iterator[Row]:
        """The rows that are wanted, parsed anew each time: as objects, all rows of a large table fill the memory."""
        for row in self._all_rows:
            if all(row.cells[column] == cell for column, cell in self.wanted.items()):
                yield row

    @property
    def _all_rows(self) -> Iterator[Row]:
        """The rows with any content."""
        lines = _parse(self.name, self._text, self.delimiter)
        next(lines)  # the header
        for i, raw in lines:
            cells = [cell if cell.isascii() else clean(cell) for cell in map(str.strip, raw)]
            yield Row(f"{self.name} row {i}", dict(zip(self.columns, cells, strict=True)))

    @property
    def facts(self) -> dict[str, int | str]:
        """How it was read, as facts of a `Reading`."""
        facts: dict[str, int | str] = {f"encoding of {self.name}": self.encoding}
        if self.delimiter != ",":
            facts[f"delimiter of {self.name}"] = DELIMITERS[self.delimiter]
        if self.wanted:
            left_out = sum(1 for _ in self._all_rows) - sum(1 for _ in self.rows)
            facts[f"rows of {self.name} left out by `source.rows`"] = left_out
        return facts

    def number(self, cell: str) -> float:
        """The number in a cell, NaN if it holds none. Beside semicolons, the comma is the decimal sign."""
        try:
            return float(cell.replace(",", ".") if self.delimiter == ";" else cell)
        except ValueError:
            return float("nan")


def clean(text: str) -> str:
    """The form in which names are compared: without surrounding blanks, Unicode NFC."""
    return unicodedata.normalize("NFC", text.strip())


def fold_of(cell: str) -> str | None:
    """A fold as a record has it: a whole number from 1, or train, val or test; None if the cell is neither."""
    if number := re.fullmatch(r"0*([1-9][0-9]{0,8})(\.0)?", cell):
        return number[1]
    return cell.lower() if cell.lower() in PARTS else None


def read_table(
    path: Path, required: Mapping[str, str], names: Collection[str] = (), rows: Mapping[str, str] | None = None
) -> Table:
    """Read a table whose cells are separated by commas, semicolons or tabs. Blank rows are left out.

    Args:
        path: the table.
        required: column -> the setting that names it, for the message if there is no such column.
        names: names that should occur in it, by which its encoding is told (see `read_text`).
        rows: column, one of `required` -> cell: only rows that have all of these are read. None: all are.

    Raises:
        InputError: the file cannot be read or decoded, a required column is missing, a column is named twice,
            there is no row or none that is wanted, or rows differ from the header in length.
    """
    (text, delimiter, columns), encoding = read_text(path, lambda text: _open(path, text, required), names)
    problems = []
    empty = True
    lines = _parse(path.name, text, delimiter)
    next(lines)
    for i, cells in lines:
        empty = False
        if len(cells) != len(columns):
            problems.append(f"row {i}: {len(cells)} cells")
    if problems:
        remedy = (
            f"every row needs {len(columns)} cells, as the header has; "
            f"a {DELIMITERS[delimiter]} inside a cell needs quotes"
        )
        raise InputError.listing(str(path), problems, remedy)
    if empty:
        raise InputError(f"{path} has a header but no row; expected one row a clip.")
    wanted = {clean(column): clean(cell) for column, cell in (rows or {}).items()}
    table = Table(path.name, encoding, delimiter, columns, wanted, text)
    if next(table.rows, None) is None:
        asked = " and ".join(f"{cell!r} in column {column}" for column, cell in wanted.items())
        raise InputError(
            f"{path} has no row with {asked}, which `source.rows` asks for. Correct the setting: cells are compared "
            "letter by letter."
        )
    return table


def _open(path: Path, text: str, required: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
    """The text with one kind of line ends, the delimiter that gives the required columns, and all columns."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    headers: dict[str, tuple[str, ...]] = {}
    refused = []
    for delimiter in DELIMITERS:
        try:
            _, cells = next(_parse(path.name, text, delimiter), (0, []))
        except InputError as error:
            refused.append(error)
        else:
            headers[delimiter] = tuple(clean(cell) for cell in cells)
    if not headers:
        raise refused[0]
    wanted = {clean(name) for name in required}
    delimiter = max(headers, key=lambda d: (len(wanted.intersection(headers[d])), len(headers[d])))
    columns = headers[delimiter]
    if not columns:
        raise InputError(f"{path} is empty; expected a header and one row a clip.")
    problems = [f"no column {name!r} ({setting})" for name, setting in required.items() if clean(name) not in columns]
    problems += [f"column {name!r} occurs twice" for name in sorted({c for c in columns if c and columns.count(c) > 1})]
    if problems:
        found = ", ".join(map(repr, columns))
        found = found if len(found) <= SHOWN else f"{found[:SHOWN]} ..."
        remedy = f"correct the table (header in its first row) or the setting; columns found: {found}"
        raise InputError.listing(str(path), problems, remedy)
    return text, delimiter, columns


def _parse(name: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with any content, numbered as a spreadsheet shows them: the header is row 1."""
    # Strict, because an unclosed quote would otherwise swallow the rest of the file as one cell.
    reader = csv.reader(_lines(text), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for i, cells in enumerate(reader, 1):
            if any(map(str.strip, cells)):
                yield i, cells
    except csv.Error as error:
        raise InputError(f"{name} line {reader.line_num}: {error}. Check the quotes there.") from error


def _lines(text: str) -> Iterator[str]:
    """One line at a time: a list of all would take as much memory again as the text."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end
