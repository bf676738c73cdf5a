"""One folder a class: the folder's name is the label, commas in it separate several labels."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from tymbal.config import FolderSource
from tymbal.errors import InputError
from tymbal.ingest.records import Record, classes_of_names, clean


def read(source: FolderSource, classes: Sequence[str], root: Path, audio: Collection[str]) -> list[Record]:
    """Take each clip's labels, of weight 1.0, from the top folder it lies in, at any depth.

    Args:
        source: the folder's settings.
        classes: the data set's classes.
        root: not needed here.
        audio: the audio files, relative to `source.audio`.

    Returns:
        One record a file.

    Raises:
        InputError: audio outside a class folder, or in a folder that stands for no class.
    """
    loose = [file for file in audio if "/" not in file]
    if loose:
        raise InputError.listing(
            f"{source.audio}: audio in no class folder", loose, "move each file into the folder of its class"
        )
    names = {file: [clean(name) for name in file.split("/")[0].split(",")] for file in audio}
    found = {name for several in names.values() for name in several}
    meaning = classes_of_names(found, source.class_names, classes, source.audio, "folder with audio")
    counts = Counter(name for several in names.values() for name in several if meaning[name] is None)
    if counts:
        raise InputError.listing(
            f"{source.audio}: folders that stand for no class",
            [f"{name!r}: {n} file{'s' if n != 1 else ''}" for name, n in sorted(counts.items())],
            "add them to `classes`, map them with `source.class_names`, or move them elsewhere",
        )
    return [
        Record(file, f"folder {file.split('/')[0]!r}", {label: 1.0 for name in several if (label := meaning[name])})
        for file, several in names.items()
    ]
