"""One folder a class."""

from typing import Any

import pytest

from tymbal.config.data import FolderSource
from tymbal.errors import InputError
from tymbal.ingest import folders
from tymbal.ingest.records import Reading, Record
from tymbal.ingest.vocabulary import Vocabulary


def read(files: list[str], classes: list[str], **settings: Any) -> Reading:
    source = FolderSource(format="folders", audio="clips", **settings)
    return folders.read(source, Vocabulary(tuple(classes)), {}, files)


def test_the_top_folder_is_the_label_and_commas_separate_several() -> None:
    found = read(["蟬/a.wav", "蟬/2024/b.wav", "Bird, 蟬/c.wav"], ["Bird", "Cicada"], class_names={"蟬": "Cicada"})
    assert found.records == [
        Record("蟬/a.wav", "folder '蟬'", {"Cicada": 1.0}),
        Record("蟬/2024/b.wav", "folder '蟬'", {"Cicada": 1.0}),
        Record("Bird, 蟬/c.wav", "folder 'Bird, 蟬'", {"Bird": 1.0, "Cicada": 1.0}),
    ]
    assert (found.facts, found.warnings) == ({}, [])


def test_unknown_folders_are_refused_with_counts() -> None:
    with pytest.raises(InputError) as error:
        read(["A/a.wav", "B/b.wav", "A,C/c.wav", "A,C/d.wav", "A,/e.wav"], ["A"])
    message = str(error.value)
    assert "clips: folders that stand for no class: 3 problems" in message
    assert "  - '': once\n  - 'B': once\n  - 'C': 2 times" in message


def test_unknown_folders_can_be_dropped_and_are_counted() -> None:
    found = read(["A/a.wav", "B/b.wav", "B/c.wav", "A,C/d.wav"], ["A"], unknown_labels="drop")
    assert [record.labels for record in found.records] == [{"A": 1.0}, None, None, {"A": 1.0}]
    assert found.facts == {"folders of no class, dropped": 3, "files in dropped folders only, unlabelled": 2}
    assert found.warnings == ["clips: folders that stand for no class, dropped: 'B' (2), 'C' (1)"]


def test_files_outside_every_folder_is_refused() -> None:
    with pytest.raises(InputError, match=r"files in no class folder: 1 problem\n  - a.wav"):
        read(["A/b.wav", "a.wav"], ["A"])


def test_a_class_without_a_folder_is_warned_of() -> None:
    assert read(["A/a.wav"], ["A", "B"]).warnings == ["clips: classes without folders: 'B'"]
