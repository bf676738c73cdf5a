"""File lists."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.config.data import ListSource
from tymbal.errors import InputError
from tymbal.ingest import file_list
from tymbal.ingest.records import Reading, Record
from tymbal.ingest.vocabulary import Vocabulary


def read(folder: Path, content: bytes) -> Reading:
    (folder / "list.txt").write_bytes(content)
    source = ListSource(format="list", audio="audio", table="list.txt")
    return file_list.read(source, Vocabulary(()), {"data": folder}, ["other.wav"])


def test_one_path_a_line_of_any_system(tmp_path: Path) -> None:
    content = "D:\\rec\\a.WAV\r\n\r\n  /mnt/x/b.pt \n\\\\nas\\x\\c.flac\nspecs/d\n".encode("utf-8-sig")
    reading = read(tmp_path, content)
    assert reading.records == [
        Record("D:\\rec\\a.WAV", "list.txt line 1", None),
        Record("/mnt/x/b.pt", "list.txt line 3", None),
        Record("\\\\nas\\x\\c.flac", "list.txt line 4", None),
    ]
    assert reading.facts == {
        "encoding of list.txt": "utf-8-sig",
        "blank lines of list.txt": 1,
        "lines of list.txt that name no audio or feature file": 1,
    }
    [warning] = reading.warnings
    assert "name no audio or feature file: 1: 'specs/d'" in warning


def test_quotes_of_a_file_manager(tmp_path: Path) -> None:
    reading = read(tmp_path, b'"D:\\r\\a b.wav"\nc.wav\n')
    assert [record.file for record in reading.records] == ["D:\\r\\a b.wav", "c.wav"]


def test_lines_that_name_no_clip_are_counted(tmp_path: Path) -> None:
    reading = read(tmp_path, b"Mode  Name\n----  ----\na.pt\nx/dataset_config.pt\nnotes.txt\n")
    assert [record.file for record in reading.records] == ["a.pt"]
    assert reading.facts["lines of list.txt that name no audio or feature file"] == 4


def test_no_warning_if_every_line_names_a_clip(tmp_path: Path) -> None:
    assert read(tmp_path, b"a.pt\n\n").warnings == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp950", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    reading = read(tmp_path, "錄音/蟬_1.wav\n".encode(encoding))
    assert [record.file for record in reading.records] == ["錄音/蟬_1.wav"]
    assert reading.facts["encoding of list.txt"] == encoding


@pytest.mark.parametrize("content", [b"", b"\n\n", b"notes.txt\n", b"\xff\xff\xff\xff"])
def test_a_list_that_names_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"list\.txt"):
        read(tmp_path, content)


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.txt"):
        file_list.read(ListSource(format="list", audio="a", table="absent.txt"), Vocabulary(()), {"data": tmp_path}, [])


def test_all_files_of_the_folder_without_a_list(tmp_path: Path) -> None:
    source = ListSource(format="list", audio="audio")
    reading = file_list.read(source, Vocabulary(()), {"data": tmp_path}, ["x/a.wav", "b.wav"])
    assert [(record.file, record.labels) for record in reading.records] == [("x/a.wav", None), ("b.wav", None)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.from_regex(r"[a-zé蛙][ \w./\\-]{0,20}\w\.(wav|FLAC|pt)", fullmatch=True), min_size=1, max_size=9))
def test_round_trip(paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reading = read(Path(folder), "\r\n".join(paths).encode())
    assert [record.file for record in reading.records] == paths


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: f"{text}\na.wav".encode("utf-8", "replace")))
def test_any_content_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(InputError):
        assert read(Path(folder), content).records
