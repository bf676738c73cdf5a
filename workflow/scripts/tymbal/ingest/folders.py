"""One folder a class: the folder's name is the label, commas in it separate several labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tymbal.config.data import FolderSource
from tymbal.errors import InputError
from tymbal.ingest.records import Reading, Record, clean
from tymbal.ingest.vocabulary import Vocabulary, translate_labels


def read(source: FolderSource, vocabulary: Vocabulary, roots: Mapping[str, Path], files: Sequence[str]) -> Reading:
    """Take each clip's labels, of weight 1.0, from the top folder it lies in, at any depth.

    Args:
        source: the folder's settings.
        vocabulary: the classes.
        roots: not needed here.
        files: the audio files, relative to `source.audio`.

    Returns:
        One record a file.

    Raises:
        InputError: a file outside every class folder, or in a folder that stands for no class.
    """
    names = class_folders(source.audio, files)
    folders = Counter(file.split("/")[0] for file in files)
    counts: Counter[str] = Counter()
    for folder, n in folders.items():
        counts.update(dict.fromkeys(names[folder], n))
    translation = translate_labels(
        counts, source.class_names, vocabulary, source.audio, "folders", unknown=source.unknown_labels
    )
    labels = {folder: translation.labels((name, 1.0) for name in names[folder]) for folder in folders}
    records = [Record(file, f"folder {folder!r}", labels[folder]) for file in files for folder in [file.split("/")[0]]]
    facts = translation.facts
    if emptied := sum(n for folder, n in folders.items() if labels[folder] is None):
        facts["files in dropped folders only, unlabelled"] = emptied
    return Reading(records, facts, translation.warnings)


def class_folders(place: str, files: Sequence[str]) -> dict[str, list[str]]:
    """The top folders that files lie in, and the names that each of them holds.

    Args:
        place: the folder of these, for messages.
        files: relative to it.

    Raises:
        InputError: files outside every folder.
    """
    loose = [file for file in files if "/" not in file]
    if loose:
        raise InputError.listing(
            f"{place}: files in no class folder", loose, "move each file into the folder of its class"
        )
    folders = dict.fromkeys(file.split("/")[0] for file in files)
    return {folder: [clean(name) for name in folder.split(",")] for folder in folders}
