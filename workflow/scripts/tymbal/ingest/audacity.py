"""Audacity label tracks: `start<TAB>end<TAB>label` a line, one text file a recording."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from tymbal.config.data import AudacitySource
from tymbal.ingest.annotations import Sheet, read_annotations
from tymbal.ingest.records import Reading, clean
from tymbal.ingest.vocabulary import Vocabulary


def read(source: AudacitySource, vocabulary: Vocabulary, roots: Mapping[str, Path], files: Sequence[str]) -> Reading:
    """Read the label tracks in a folder; see `read_annotations` for what belongs together.

    Lines that begin with a backslash hold the frequency range of the label above and are not needed.
    """
    return read_annotations(source, vocabulary, roots, files, parse)


def parse(text: str) -> Sheet:
    """What a label track holds: lines of start, end and label with tabs between."""
    sheet = Sheet()
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip() or line.startswith("\\"):
            continue
        cells = [clean(cell) for cell in line.split("\t")]
        if len(cells) != 3:
            sheet.problems.append(f"line {number}: no start, end and label with tabs between: {line[:80]!r}")
        else:
            sheet.add(f"line {number}", *cells)
    return sheet
