"""What Raven's and Audacity's text files share: labelled stretches of recordings, and which recording a file is of."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tymbal.config.data import AudacitySource, RavenSource
from tymbal.errors import InputError
from tymbal.ingest.lookup import key, list_files
from tymbal.ingest.records import Event, Reading, Record, clean
from tymbal.ingest.text import read_text
from tymbal.ingest.vocabulary import Translation, Vocabulary, translate_labels
from tymbal.progress import track
from tymbal.roots import locate

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


class Stretch(NamedTuple):
    """One annotation."""

    file: str  # as the text file names it; empty if it does not
    start_s: float  # from the start of the file
    end_s: float
    label: str


@dataclass
class Sheet:
    """What one text file holds.

    Attributes:
        stretches: its annotations.
        problems: what is wrong with it, one line each, such as `row 3: no label`.
        doubts: what is allowed but may be a mistake, one line each.
    """

    stretches: list[Stretch] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def add(self, where: str, begin: str, end: str, label: str, file: str = "", offset: str | None = None) -> None:
        """Check one annotation and add it.

        Args:
            where: place in the text file.
            begin: seconds, as written, as all times here.
            end: seconds, from where `begin` is counted.
            label: cleaned.
            file: the recording, if the text file names it.
            offset: where the annotation begins in its recording, if `begin` is counted from elsewhere.
        """
        begin_s, end_s = _seconds(begin), _seconds(end)
        start_s = begin_s if offset is None else _seconds(offset)
        if not 0 <= begin_s < end_s:
            self.problems.append(f"{where}: from {begin!r} to {end!r} s")
        elif not start_s >= 0:
            self.problems.append(f"{where}: offset in the file {offset!r} s")
        elif not label:
            self.problems.append(f"{where}: no label")
        else:
            self.stretches.append(Stretch(file, start_s, end_s + (start_s - begin_s), label))


@dataclass
class Annotated:
    """A recording, the text files that tell of it, and what they tell."""

    file: str
    sheets: list[str] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)


def read_annotations(
    source: RavenSource | AudacitySource,
    vocabulary: Vocabulary,
    roots: Mapping[str, Path],
    files: Sequence[str],
    parse: Callable[[str], Sheet],
) -> Reading:
    """Read all text files in a folder.

    Unless it names its recordings itself, a text file is of the recording with whose stem and a dot it begins, the
    longest if there are several. Text files of one recording are taken together. A recording with a text file was
    listened to, and what is not annotated there is not heard; one without is not part of the data set.

    Args:
        source: the folder's settings.
        vocabulary: the classes.
        roots: name of a root -> folder.
        files: the audio files.
        parse: gives what the text of one file holds; raises InputError if it is not of the format at all.

    Returns:
        One record a recording, with events of weight 1.

    Raises:
        InputError: there are no text files, they are not as expected, or labels stand for no class.
    """
    folder = locate(source.annotations, roots)
    names = list_files(folder, {".txt"})
    if not names:
        raise InputError(f"{folder} holds no annotations (.txt). Correct `source.annotations`, `data_root` or `roots`.")
    sheets, encodings = read_sheets(folder, names, parse, vocabulary.expected(source.class_names, files))
    counts = Counter(stretch.label for sheet in sheets.values() for stretch in sheet.stretches)
    place = f"annotations in {source.annotations}"
    translation = translate_labels(counts, source.class_names, vocabulary, place, unknown=source.unknown_labels)
    recordings = _recordings(sheets, files)
    records = [
        Record(recording.file, ", ".join(recording.sheets), None, _events(recording.stretches, translation))
        for recording in recordings
    ]
    told = {key(record.file)[-1:] for record in records}
    facts: dict[str, int | str] = {
        "annotation files": len(sheets),
        "encodings of annotation files": ", ".join(f"{encoding}: {n}" for encoding, n in sorted(encodings.items())),
        "annotations": sum(counts.values()),
        "recordings listened to in which nothing was annotated": sum(not r.stretches for r in recordings),
        "audio files without annotations, left out": sum(key(file)[-1:] not in told for file in files),
    }
    warnings = [f"{name}: {doubt}" for name, sheet in sheets.items() for doubt in sheet.doubts]
    warnings += [
        f"{recording.file}: told of by several annotation files, taken together: {', '.join(recording.sheets)}"
        for recording in recordings
        if len(recording.sheets) > 1
    ]
    return Reading(records, facts | translation.facts, warnings + translation.warnings)


def read_sheets(
    folder: Path, names: Sequence[str], parse: Callable[[str], Sheet], expected: Collection[str]
) -> tuple[dict[str, Sheet], Counter[str]]:
    """Content of each text file, and how many were in which encoding.

    Args:
        folder: of the files.
        names: of the files, relative to it.
        parse: gives what the text of one file holds; raises InputError if it is not of the format at all.
        expected: names by which the encoding is told (see `read_text`).

    Raises:
        InputError: files that are not of the format, or hold annotations that are not as expected.
    """
    sheets = {}
    encodings: Counter[str] = Counter()
    unreadable = []
    for name in track(names, "annotations", "files"):
        try:
            sheets[name], encoding = read_text(folder / name, parse, expected)
            encodings[encoding] += 1
        except InputError as error:
            unreadable.append(f"{name}: {str(error).splitlines()[0]}")
    if unreadable:
        remedy = "export them again, or move text files of another kind out of this folder"
        raise InputError.listing(f"{folder}: annotation files", unreadable, remedy)
    if problems := [f"{name} {problem}" for name, sheet in sheets.items() for problem in sheet.problems]:
        remedy = (
            "every annotation needs a start, a later end (seconds with a dot, from 0) and a label; "
            "give a mark without length a length, or take it out"
        )
        raise InputError.listing(f"{folder}: annotations", problems, remedy)
    return sheets, encodings


def _recordings(sheets: Mapping[str, Sheet], files: Sequence[str]) -> list[Annotated]:
    stems = {key(file)[-1] for file in files}
    found: dict[str, Annotated] = {}
    for name, sheet in sheets.items():
        own = _recording(name, stems)
        told: dict[str, list[Stretch]] = defaultdict(list)
        for stretch in sheet.stretches:
            # A bare name says no more than the text file's own, which may have the folder as well.
            told[own if key(stretch.file) in ((), key(own)[-1:]) else stretch.file].append(stretch)
        for file, stretches in (told or {own: []}).items():
            recording = found.setdefault("/".join(key(file)), Annotated(file))
            recording.sheets.append(name)
            recording.stretches += stretches
    return list(found.values())


def _recording(name: str, stems: Collection[str]) -> str:
    """The recording a text file is named after, with its folder; else its own name, which will not be found."""
    path = PurePosixPath(clean(name))
    stem, dot, _ = path.name.rpartition(".")
    while dot and stem not in stems:
        stem, dot, _ = stem.rpartition(".")
    return (path.parent / (stem if dot else path.stem)).as_posix()


def _events(stretches: Sequence[Stretch], translation: Translation) -> tuple[Event, ...]:
    named = ((stretch, translation.labels([(stretch.label, 1.0)])) for stretch in stretches)
    return tuple(Event(stretch.start_s, stretch.end_s, labels) for stretch, labels in named if labels)


def _seconds(cell: str) -> float:
    """The finite number in a cell, with a dot as decimal sign; NaN if it holds none."""
    value = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    return value if math.isfinite(value) else math.nan
