"""Raven selection tables: tab-separated, one row a selection and view (also as BirdNET-Analyzer writes them)."""

import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tymbal.config.data import RavenSource
from tymbal.errors import InputError
from tymbal.ingest.annotations import Sheet, read_annotations
from tymbal.ingest.records import Reading, clean
from tymbal.ingest.vocabulary import Vocabulary

BEGIN, END, OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
FILES = ("Begin Path", "Begin File")  # the first that is there tells the recording


def read(source: RavenSource, vocabulary: Vocabulary, roots: Mapping[str, Path], files: Sequence[str]) -> Reading:
    """Read the selection tables in a folder; see `read_annotations` for what belongs together.

    Times are from the start of the recording; with `File Offset (s)` that is where a selection starts in its file.
    A selection in several views counts once. A table without selections needs no label column.
    """
    return read_annotations(source, vocabulary, roots, files, partial(_parse, clean(source.label_column)))


def _parse(label_column: str, text: str) -> Sheet:
    lines = [(number, line) for number, line in enumerate(io.StringIO(text, newline=None), 1) if line.strip()]
    columns = _cells(lines[0][1]) if lines else []
    needed = [BEGIN, END] + ([label_column] if len(lines) > 1 else [])
    if any(columns.count(column) != 1 for column in needed):
        raise InputError(
            f"no selection table with the columns {', '.join(map(repr, needed))} (setting source.label_column), each "
            f"once; columns found: {', '.join(map(repr, columns))[:500] or 'none'}"
        )
    sheet = Sheet()
    seen = set()
    for number, line in lines[1:]:
        cells = _cells(line)
        if len(cells) != len(columns):
            sheet.problems.append(f"line {number}: {len(cells)} cells, the header has {len(columns)}")
            continue
        row = dict(zip(columns, cells, strict=True))
        file = next((row[column] for column in FILES if row.get(column)), "")
        told = (row[BEGIN], row[END], row[label_column], file, row.get(OFFSET))
        if "Selection" in row and "View" in row:
            if (row["Selection"], *told) in seen:
                continue
            seen.add((row["Selection"], *told))
        sheet.add(f"line {number}", *told)
    several = len({stretch.file for stretch in sheet.stretches}) > 1
    if several and OFFSET not in columns:
        sheet.doubts.append(f"several recordings and no column {OFFSET!r}: times are taken from the start of each")
    return sheet


def _cells(line: str) -> list[str]:
    return [clean(cell) for cell in line.rstrip("\n").split("\t")]
