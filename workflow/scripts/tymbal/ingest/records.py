"""What every reader of labels gives: one record a clip, and how tables and names are read on the way there."""

import csv
import io
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tymbal.errors import InputError


@dataclass(frozen=True)
class Record:
    """One clip as its source describes it, before its file is looked for.

    Attributes:
        file: the name given, with or without folder and extension.
        where: place in the source, such as `tags.csv row 12`, for messages.
        labels: class -> weight in (0, 1]; None if the clip is unlabelled.
        fold: the data set's own fold, a whole number; empty if there is none.
        recording: the recording it was cut from; empty if the file's name has to tell.
        site: where it was recorded; empty if the file's name has to tell.
    """

    file: str
    where: str
    labels: Mapping[str, float] | None
    fold: str = ""
    recording: str = ""
    site: str = ""


@dataclass(frozen=True)
class Row:
    """One row of a table: where it is, for messages, and its cells by column."""

    where: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A table as text: names and cells are stripped and in Unicode NFC."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def clean(text: str) -> str:
    """The form in which names are compared: without surrounding blanks, Unicode NFC."""
    return unicodedata.normalize("NFC", text.strip())


def read_table(path: Path, required: Mapping[str, str]) -> Table:
    """Read a comma-separated table in UTF-8, with or without a byte-order mark. Blank rows are left out.

    Args:
        path: the table.
        required: column -> the setting that names it, for the message if there is no such column.

    Raises:
        InputError: the file cannot be read or decoded, a required column is missing, a column is named twice,
            or rows differ from the header in length.
    """
    numbered = _parse(path, _decode(path))
    if not numbered:
        raise InputError(f"{path} is empty; expected a header and one row a clip.")
    _, columns = numbered.pop(0)
    problems = [f"no column {name!r} ({setting})" for name, setting in required.items() if clean(name) not in columns]
    problems += [f"column {name!r} occurs twice" for name in sorted({c for c in columns if c and columns.count(c) > 1})]
    if problems:
        remedy = (
            f"correct the table (comma-separated, header in its first row) or the setting; columns found: {columns}"
        )
        raise InputError.listing(str(path), problems, remedy)
    problems = [f"row {i}: {len(cells)} cells" for i, cells in numbered if len(cells) != len(columns)]
    if problems:
        remedy = f"every row needs {len(columns)} cells, as the header has; a comma inside a cell needs quotes"
        raise InputError.listing(str(path), problems, remedy)
    if not numbered:
        raise InputError(f"{path} has a header but no row; expected one row a clip.")
    rows = tuple(Row(f"{path.name} row {i}", dict(zip(columns, cells, strict=True))) for i, cells in numbered)
    return Table(path.name, tuple(columns), rows)


def _decode(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Correct `source.table` or `data_root`.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path} is not UTF-8 (line {line}: {error.reason}). Tables are read as UTF-8, with or without a "
            "byte-order mark; save it again as UTF-8 (in Excel: 'CSV UTF-8')."
        ) from error


def _parse(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Rows with any content, numbered as a spreadsheet shows them: the header is row 1."""
    # Strict, because an unclosed quote would otherwise swallow the rest of the file as one cell.
    reader = csv.reader(io.StringIO(text, newline=None), skipinitialspace=True, strict=True)
    try:
        rows = [(i, [clean(cell) for cell in row]) for i, row in enumerate(reader, 1)]
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: {error}. Check the quotes there.") from error
    return [(i, cells) for i, cells in rows if any(cells)]


def classes_of_names(
    found: Collection[str], class_names: Mapping[str, str], classes: Sequence[str], place: str, kind: str
) -> dict[str, str | None]:
    """The class that each name in the source stands for; None for a class that `classes` does not hold.

    Args:
        found: cleaned names that occur in the source.
        class_names: the setting: name in the source -> class. A name it does not hold is the class's own.
        classes: the data set's classes, as configured.
        place: the table or folder, for messages.
        kind: what carries a name there, such as `tag column`.

    Raises:
        InputError: a class that nothing in the source stands for, or a key of `class_names` without a match.
    """
    known = {clean(name): name for name in classes}
    setting = {clean(name): clean(to) for name, to in class_names.items()}
    meaning = {name: known.get(setting.get(name, name)) for name in found}
    absent = [name for name in classes if name not in meaning.values()]
    problems = [f"class {name!r} of `classes`: no {kind} stands for it" for name in absent]
    problems += [f"{name!r} of `source.class_names`: no {kind} of this name" for name in setting if name not in found]
    if problems:
        raise InputError.listing(place, problems, f"correct these settings; names found: {sorted(found)}")
    return meaning
