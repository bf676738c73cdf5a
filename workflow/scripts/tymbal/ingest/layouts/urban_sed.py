"""URBAN-SED 2.0.0: ten thousand synthetic soundscapes, and a text file with the events of each."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tymbal.errors import InputError
from tymbal.ingest import audacity
from tymbal.ingest.annotations import Stretch, read_sheets
from tymbal.ingest.layouts.entry import Entry
from tymbal.ingest.lookup import list_files

PARTS = {"train": "train", "validate": "val", "test": "test"}  # folder -> part


def read(folder: Path, files: Sequence[str]) -> list[Entry]:
    """Read `annotations/PART/NAME.txt` (start, end and class with tabs between), of `audio/PART/NAME.wav`.

    The text files tell the events in the foreground, which are all there are of the ten classes (Salamon et al. 2017).
    The JAMS files beside them tell the same and more, and are not read.

    Args:
        folder: of the data set, with `annotations` and `audio`.
        files: the audio files in it.

    Returns:
        One entry a soundscape, with events and part.

    Raises:
        InputError: a part without annotations, lines that are no annotation, or soundscapes without a text file.
    """
    entries = [entry for name, part in PARTS.items() for entry in _part(folder, name, part)]
    told = {PurePosixPath(entry.file).with_suffix("") for entry in entries}
    if untold := [file for file in files if PurePosixPath(file).with_suffix("") not in told]:
        remedy = "every audio/PART/NAME.wav needs annotations/PART/NAME.txt: unpack the archive again"
        raise InputError.listing(f"{folder}: audio files without annotations", untold, remedy)
    return entries


def _part(folder: Path, name: str, part: str) -> list[Entry]:
    place = folder / "annotations" / name
    names = list_files(place, {".txt"})
    if not names:
        raise InputError(
            f"{place} holds no annotations (.txt). Unpack the archive again, or correct `source.audio`: it is the "
            "folder with `annotations` and `audio` in it."
        )
    sheets, _ = read_sheets(place, names, audacity.parse, ())
    return [
        Entry(
            file=f"audio/{name}/{PurePosixPath(text).with_suffix('.wav')}",
            where=f"annotations/{name}/{text}",
            labels=None,
            events=tuple(map(_event, sheet.stretches)),
            fold=part,
        )
        for text, sheet in sheets.items()
    ]


def _event(stretch: Stretch) -> tuple[float, float, str]:
    return stretch.start_s, stretch.end_s, stretch.label
