"""Which audio file a name means."""

import logging
import os
import sys
import unicodedata
from pathlib import Path

import pytest

from tymbal.errors import InputError
from tymbal.ingest.lookup import AudioFiles, key, list_audio


def touch(folder: Path, *files: str) -> None:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_audio_at_any_depth_is_listed_and_the_rest_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "b.WAV", "a/c/d.flac", "a/e.m4a", "f.txt", "g.txt", "README", ".h.wav", ".hidden/i.wav")
    with caplog.at_level(logging.INFO):
        assert list_audio(tmp_path) == ["a/c/d.flac", "b.WAV"]
    assert ".m4a: 1, .txt: 2, no extension: 1" in caplog.text


def test_an_absent_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere cannot be listed \(No such file or directory\)\. Correct"):
        list_audio(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xb3\xbe.wav", "wb"):  # noqa: PTH123 - a Path cannot be bytes
        pass
    with pytest.raises(InputError, match=r"not UTF-8: 1 problem\n  - '\\udcb3\\udcbe\.wav'"):
        list_audio(tmp_path)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("A_1", ("A_1",)),
        (" A_1.WaV ", ("A_1",)),
        ("v1.2_A", ("v1.2_A",)),
        (r"D:\rec\A.WAV", ("D:", "rec", "A")),
        (r"\\host\share/x/./A.ogg", ("host", "share", "x", "A")),
        ("A.pt", ("A.pt",)),
    ],
)
def test_key(name: str, parts: tuple[str, ...]) -> None:
    assert key(name) == parts


def test_a_stem_is_enough_and_neither_extension_nor_a_foreign_folder_matters() -> None:
    audio = AudioFiles(["x/A.flac", "B.WAV"])
    assert [audio.find(name) for name in ("A", "A.wav", r"E:\field\B.mp3", "C", "a", "")] == [
        ["x/A.flac"],
        ["x/A.flac"],
        ["B.WAV"],
        [],
        [],
        [],
    ]


def test_a_shared_stem_needs_its_folder() -> None:
    audio = AudioFiles(["A.wav", "s1/A.wav", "s2/A.wav", "deep/s2/A.wav"])
    assert audio.find("A") == ["A.wav", "s1/A.wav", "s2/A.wav", "deep/s2/A.wav"]
    assert audio.find("A.wav") == audio.find("A")
    assert audio.find("/remote/s1/A.wav") == ["s1/A.wav"]
    assert audio.find("s2/A.wav") == ["s2/A.wav"]  # exactly this path, though deep/s2/A.wav ends the same
    assert audio.find("/remote/s2/A.wav") == ["s2/A.wav", "deep/s2/A.wav"]
    assert audio.find("s3/A.wav") == audio.find("A")


def test_two_extensions_are_ambiguous() -> None:
    assert AudioFiles(["A.flac", "A.wav"]).find("A.wav") == ["A.flac", "A.wav"]


def test_unicode_forms_are_equal_but_the_file_keeps_its_own() -> None:
    on_disk = unicodedata.normalize("NFD", "été.wav")
    assert AudioFiles([on_disk]).find("été") == [on_disk]
