"""Folders as BirdNET-Analyzer trains on them: named after what is heard, with some names of special meaning."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tymbal.errors import InputError
from tymbal.ingest.folders import class_folders
from tymbal.ingest.layouts.entry import Entry

NON_EVENTS = frozenset({"noise", "other", "background", "silence"})  # in any letter case, as in its configuration


def read(folder: Path, files: Sequence[str]) -> list[Entry]:
    """Take labels from the top folders: commas separate several, and the names of `NON_EVENTS` are none.

    A clip in such a folder alone is a negative of every class. Unlike BirdNET-Analyzer, which looks at files directly
    in the folders, this takes files at any depth below them.

    Args:
        folder: with a folder for each class, or for several.
        files: the audio files in it.

    Returns:
        One entry a file.

    Raises:
        InputError: a file in no folder, or folders whose names begin with `-`. There these say that one class is not
            heard and leave the others open, which a label here cannot.
    """
    names = class_folders(str(folder), files)
    inside = Counter(file.split("/")[0] for file in files)
    negatives = [
        f"{place!r}: {inside[place]} files" for place, own in names.items() if any(name.startswith("-") for name in own)
    ]
    if negatives:
        remedy = (
            "clips that hold none of the classes belong into a folder `noise`, those that hold some into the folder of "
            "these, others out of the collection"
        )
        raise InputError.listing(
            f"{folder}: folders of what is not heard, of which Tymbal cannot tell what is", negatives, remedy
        )
    heard = {place: tuple(name for name in own if name.casefold() not in NON_EVENTS) for place, own in names.items()}
    return [Entry(file, f"folder {place!r}", heard[place]) for file in files for place in [file.split("/")[0]]]
