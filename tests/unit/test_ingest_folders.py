"""One folder a class."""

from pathlib import Path

import pytest

from tymbal.config import FolderSource
from tymbal.errors import InputError
from tymbal.ingest import folders
from tymbal.ingest.records import Record


def read(audio: list[str], classes: list[str], class_names: dict[str, str] | None = None) -> list[Record]:
    source = FolderSource(format="folders", audio="clips", class_names=class_names or {})
    return folders.read(source, classes, Path(), audio)


def test_the_top_folder_is_the_label_and_commas_separate_several() -> None:
    found = read(["蟬/a.wav", "蟬/2024/b.wav", "Bird, 蟬/c.wav"], ["Bird", "Cicada"], {"蟬": "Cicada"})
    assert found == [
        Record("蟬/a.wav", "folder '蟬'", {"Cicada": 1.0}),
        Record("蟬/2024/b.wav", "folder '蟬'", {"Cicada": 1.0}),
        Record("Bird, 蟬/c.wav", "folder 'Bird, 蟬'", {"Bird": 1.0, "Cicada": 1.0}),
    ]


def test_unknown_folders_are_refused_with_counts() -> None:
    with pytest.raises(InputError) as error:
        read(["A/a.wav", "B/b.wav", "A,C/c.wav", "A,C/d.wav", "A,/e.wav"], ["A"])
    message = str(error.value)
    assert "clips: folders that stand for no class: 3 problems" in message
    assert "  - '': 1 file\n  - 'B': 1 file\n  - 'C': 2 files" in message


def test_audio_outside_every_folder_is_refused() -> None:
    with pytest.raises(InputError, match=r"audio in no class folder: 1 problem\n  - a.wav"):
        read(["A/b.wav", "a.wav"], ["A"])


def test_a_class_without_a_folder_is_refused() -> None:
    with pytest.raises(InputError, match="class 'B' of `classes`: no folder with audio stands for it"):
        read(["A/a.wav"], ["A", "B"])
