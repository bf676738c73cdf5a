"""AudioSet: lists of segments of videos with their labels. The audio is the user's, and never all of it is there."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tymbal.errors import InputError
from tymbal.ingest.layouts.entry import Entry, Told
from tymbal.ingest.text import read_text

# Table -> part. The evaluation set tests; AudioSet has no part that chooses the epoch.
AS20K = {"balanced_train_segments.csv": "train", "eval_segments.csv": "test"}
AS2M = {"unbalanced_train_segments.csv": "train"} | AS20K

# How the programs that fetch segments name their files: by the video, PANNs' with a Y before it, AST's with the start.
STEMS = ("{video}", "Y{video}", "{video}_{start}")
FORM = 'video, start, end, "label,label"'  # of a row


class Segment(NamedTuple):
    """One row of a table; its start as written, seconds."""

    where: str
    video: str
    start: str
    labels: tuple[str, ...]


def read(folder: Path, files: Sequence[str], tables: Mapping[str, str]) -> Told:
    """Read the tables of segments and find the clips that are there.

    Videos vanish, so that every copy lacks another share of the clips. Segments without a file are left out, and how
    many of how many are there is told of each table.

    Args:
        folder: with the tables in `labels`, and audio at any depth.
        files: the audio files in it; their stems are one of `STEMS`.
        tables: name -> part.

    Returns:
        One entry a segment that has a file, its recording the video; labels are AudioSet's machine ids.

    Raises:
        InputError: tables are not as expected, tell of a video twice, a segment may be several files, or no clip of a
            table is there.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_stem[PurePosixPath(file).stem].append(file)
    entries: list[Entry] = []
    n_told: Counter[str] = Counter()
    n_there: Counter[str] = Counter()
    first: dict[str, str] = {}  # video -> where it was told of first
    repeated, several = [], []
    for table, part in tables.items():
        for segment in _segments(folder / "labels" / table):
            n_told[table] += 1
            if (before := first.setdefault(segment.video, segment.where)) is not segment.where:
                repeated.append(f"{segment.where}: {segment.video}, as {before}")
                continue
            stems = (stem.format(video=segment.video, start=segment.start) for stem in STEMS)
            found = [file for stem in stems for file in by_stem.get(stem, ())]
            if len(found) > 1:
                several.append(f"{segment.where}: {segment.video} may be {' or '.join(found)}")
            elif found:
                n_there[table] += 1
                entries.append(Entry(found[0], segment.where, segment.labels, fold=part, recording=segment.video))
    if repeated:
        raise InputError.listing(f"{folder}: videos told of twice", repeated, "take the tables as they were published")
    if several:
        raise InputError.listing(f"{folder}: segments with several files", several, "keep one file of each")
    if absent := [f"{table}: 0 of {n_told[table]}" for table in tables if not n_there[table]]:
        remedy = (
            "put the clips anywhere below this folder, named after the video and, if you like, the segment's start as "
            f"the table has it: {', '.join(STEMS)} and an extension"
        )
        raise InputError.listing(f"{folder}: tables of which no clip is there", absent, remedy)
    shares = {table: f"{n_there[table]} of {n_told[table]}" for table in tables}
    facts: dict[str, int | str] = {f"clips of {table} that are there": share for table, share in shares.items()}
    warnings = [
        f"{table}: {shares[table]} clips are there ({100 * n_there[table] / n_told[table]:.1f} %), the others are left "
        f"out; figures of the part {part} are of these, not of the clips that others had"
        for table, part in tables.items()
        if n_there[table] < n_told[table]
    ]
    return Told(entries, facts, warnings)


def _segments(path: Path) -> list[Segment]:
    segments, _ = read_text(path, lambda text: _parse(path, text))
    return segments


def _parse(path: Path, text: str) -> list[Segment]:
    """The rows of a table, below lines that begin with `#`."""
    segments = []
    problems = []
    known: dict[str, tuple[str, ...]] = {}  # many segments have the same labels
    reader = csv.reader(io.StringIO(text, newline=None), skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if not any(cells) or cells[0].startswith("#"):
                continue
            labels = known.setdefault(cells[-1], tuple(filter(None, cells[-1].split(","))))
            if len(cells) == 4 and cells[0] and labels:
                segments.append(Segment(f"{path.name} line {reader.line_num}", cells[0], cells[1], labels))
            else:
                problems.append(f"line {reader.line_num}: {', '.join(cells)[:80]!r}")
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: {error}. Fetch it again.") from error
    if problems:
        raise InputError.listing(f"{path}: lines that tell of no segment", problems, f"expected {FORM}; fetch it again")
    if not segments:
        raise InputError(f"{path} tells of no segment; expected lines of {FORM}. Fetch it again.")
    return segments
