"""Files without labels: a text file with one path a line, or all files of the folder."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from tymbal.config.data import SIDE_FILE, ListSource
from tymbal.errors import InputError
from tymbal.ingest.lookup import FEATURE_SUFFIXES, SUFFIXES
from tymbal.ingest.records import Reading, Record
from tymbal.ingest.text import read_text
from tymbal.ingest.vocabulary import Vocabulary
from tymbal.roots import locate

LISTED = SUFFIXES | FEATURE_SUFFIXES


def read(source: ListSource, vocabulary: Vocabulary, roots: Mapping[str, Path], files: Sequence[str]) -> Reading:
    """Read a list of files; no clip has labels.

    Paths may be of any system. Blank lines and lines that name neither audio nor features by their extension, such as
    the heading of a directory listing, are counted and left out.

    Args:
        source: the list's settings.
        vocabulary: holds no class.
        roots: root -> folder.
        files: all files of the folder, which are the records if there is no list; else they tell its encoding.

    Returns:
        One record a path, in the order of the list.

    Raises:
        InputError: the list cannot be read or decoded, or names no file.
    """
    if source.table is None:
        return Reading([Record(file, "the audio folder", None) for file in files])
    path = locate(source.table, roots)
    (records, n_blank, others), encoding = read_text(
        path, lambda text: _records(path, text), vocabulary.expected({}, files)
    )
    facts: dict[str, int | str] = {
        f"encoding of {path.name}": encoding,
        f"blank lines of {path.name}": n_blank,
        f"lines of {path.name} that name no audio or feature file": len(others),
    }
    if not others:
        return Reading(records, facts)
    shown = ", ".join(repr(line) for line in others[:3])
    return Reading(
        records, facts, [f"{path.name}: lines left out, as they name no audio or feature file: {len(others)}: {shown}"]
    )


def _records(path: Path, text: str) -> tuple[list[Record], int, list[str]]:
    """One record a path, the number of blank lines, and all other lines."""
    records, others, n_blank = [], [], 0
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        name = line.strip()
        if len(name) > 1 and name[0] == name[-1] == '"':  # as a file manager copies paths
            name = name[1:-1]
        if not name:
            n_blank += 1
        elif name.endswith(SIDE_FILE) or PurePosixPath(name).suffix.lower() not in LISTED:
            others.append(name)
        else:
            records.append(Record(name, f"{path.name} line {number}", None))
    if not records:
        raise InputError(
            f"{path} names no audio or feature file; expected one path a line, with its extension. "
            "Correct `source.table`, or set it to null to use all files of the folder."
        )
    return records, n_blank, others
