"""Raven selection tables and Audacity label tracks."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.config.data import AudacitySource, RavenSource
from tymbal.errors import InputError
from tymbal.ingest import audacity, raven
from tymbal.ingest.records import Event, Reading, Record
from tymbal.ingest.vocabulary import Vocabulary

CLASSES = Vocabulary(("Bird", "Frog", "蟬"))
COLUMNS = ("Selection", "View", "Begin Time (s)", "End Time (s)", "Class")
AUDIO = ["A.wav", "B.wav"]


def table(*rows: tuple[object, ...], columns: tuple[str, ...] = COLUMNS) -> str:
    return "".join("\t".join(str(cell) for cell in row) + "\n" for row in (columns, *rows))


def write(folder: Path, contents: dict[str, str], encoding: str) -> None:
    for name, text in contents.items():
        path = folder / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))


def read_raven(
    folder: Path, contents: dict[str, str], files: list[str] = AUDIO, encoding: str = "utf-8", **others: Any
) -> Reading:
    write(folder, contents, encoding)
    source = RavenSource(format="raven", audio="audio", annotations="notes", **others)
    return raven.read(source, CLASSES, {"data": folder}, files)


def read_audacity(
    folder: Path, contents: dict[str, str], files: list[str] = AUDIO, encoding: str = "utf-8", **others: Any
) -> Reading:
    write(folder, contents, encoding)
    source = AudacitySource(format="audacity", audio="audio", annotations="notes", **others)
    return audacity.read(source, CLASSES, {"data": folder}, files)


def events(record: Record) -> list[tuple[float, float, dict[str, float]]]:
    return [(event.start_s, event.end_s, dict(event.labels)) for event in record.events or ()]


# --- which recording a text file is of ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "A.txt",
        "A.selections.txt",
        "A.Table.1.selections.txt",
        "A.BirdNET.selection.table.txt",
        "A.TXT",
        "A.wav.selections.txt",
    ],
)
def test_names_of_tables(tmp_path: Path, name: str) -> None:
    [record] = read_raven(tmp_path, {name: table((1, "Waveform 1", 1.5, 2, "Bird"))}).records
    assert record == Record("A", name, None, (Event(1.5, 2.0, {"Bird": 1.0}),))


def test_the_longest_stem_counts(tmp_path: Path) -> None:
    files = ["A.wav", "A.2024.wav", "A.2024.01.flac"]
    contents = {"A.2024.Table.1.selections.txt": table(), "A.2024x.txt": table(), "A.2024.01.txt": table()}
    reading = read_raven(tmp_path, contents, files)
    assert {record.where: record.file for record in reading.records} == {
        "A.2024.Table.1.selections.txt": "A.2024",
        "A.2024x.txt": "A",
        "A.2024.01.txt": "A.2024.01",
    }


def test_a_table_of_no_recording_keeps_its_name(tmp_path: Path) -> None:
    [record] = read_raven(tmp_path, {"AB.selections.txt": table()}).records
    assert record.file == "AB.selections"


def test_the_folder_of_a_table_is_kept(tmp_path: Path) -> None:
    contents = {"S1/A.txt": table(), "S2/A.txt": table((1, "", 0, 1, "Bird"))}
    reading = read_raven(tmp_path, contents, ["S1/A.wav", "S2/A.wav"])
    assert [(record.file, len(record.events or ())) for record in reading.records] == [("S1/A", 0), ("S2/A", 1)]


def test_listened_to_without_a_sound_and_not_listened_to(tmp_path: Path) -> None:
    reading = read_raven(tmp_path, {"A.txt": table()}, ["A.wav", "B.wav", "C.wav"])
    assert reading.records == [Record("A", "A.txt", None, ())]
    assert reading.facts["recordings listened to in which nothing was annotated"] == 1
    assert reading.facts["audio files without annotations, left out"] == 2


def test_several_tables_of_one_recording_are_taken_together_and_told(tmp_path: Path) -> None:
    contents = {
        "A.Table.1.selections.txt": table((1, "", 0, 1, "Bird")),
        "A.Table.2.selections.txt": table((1, "", 4, 5, "Frog")),
    }
    reading = read_raven(tmp_path, contents)
    [record] = reading.records
    assert events(record) == [(0, 1, {"Bird": 1}), (4, 5, {"Frog": 1})]
    assert record.where == ", ".join(contents)
    assert any("A: told of by several annotation files" in warning for warning in reading.warnings)


@pytest.mark.parametrize("read", [read_raven, read_audacity])
def test_a_folder_without_text_files_is_refused(tmp_path: Path, read: Any) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(InputError, match="holds no annotations"):
        read(tmp_path, {})
    (tmp_path / "notes").rmdir()
    with pytest.raises(InputError, match="notes"):
        read(tmp_path, {})


# --- Raven --------------------------------------------------------------------------------------------------


def test_a_selection_in_two_views_counts_once(tmp_path: Path) -> None:
    rows = [
        (1, "Waveform 1", 0.5, 1.5, "Bird"),
        (1, "Spectrogram 1", 0.5, 1.5, "Bird"),
        (2, "Waveform 1", 3, 4, "Frog"),
        (2, "Spectrogram 1", 3, 4, "Frog"),
        (3, "Spectrogram 1", 3, 4, "Frog"),
    ]
    reading = read_raven(tmp_path, {"A.txt": table(*rows)})
    assert events(reading.records[0]) == [(0.5, 1.5, {"Bird": 1}), (3, 4, {"Frog": 1}), (3, 4, {"Frog": 1})]
    assert reading.facts["annotations"] == 3


def test_several_recordings_in_one_table_with_offsets(tmp_path: Path) -> None:
    columns = (*COLUMNS, "Begin File", "File Offset (s)")
    rows = [(1, "", 10, 12, "Bird", "A.wav", 10), (2, "", 65, 66.5, "Frog", "B.wav", 5)]
    reading = read_raven(tmp_path, {"all.txt": table(*rows, columns=columns)})
    assert [(record.file, events(record)) for record in reading.records] == [
        ("A.wav", [(10, 12, {"Bird": 1})]),
        ("B.wav", [(5, 6.5, {"Frog": 1})]),
    ]
    assert not any("File Offset" in warning for warning in reading.warnings)


def test_several_recordings_in_one_table_without_offsets_are_told(tmp_path: Path) -> None:
    rows = [(1, "", 10, 12, "Bird", "A.wav"), (2, "", 5, 6, "Frog", "B.wav")]
    reading = read_raven(tmp_path, {"all.txt": table(*rows, columns=(*COLUMNS, "Begin File"))})
    assert [events(record)[0][0] for record in reading.records] == [10, 5]
    assert any("all.txt: several recordings and no column 'File Offset (s)'" in line for line in reading.warnings)


def test_the_path_comes_before_the_name_and_the_folder_of_the_table(tmp_path: Path) -> None:
    with_path = table((1, "", 0, 1, "Bird", "D:\\S2\\A.wav", "A.wav"), columns=(*COLUMNS, "Begin Path", "Begin File"))
    with_name = table((1, "", 0, 1, "Bird", "A.wav"), columns=(*COLUMNS, "Begin File"))
    reading = read_raven(tmp_path, {"S1/A.txt": with_name, "p.txt": with_path}, ["S1/A.wav", "S2/A.wav"])
    assert [record.file for record in reading.records] == ["S1/A", "D:\\S2\\A.wav"]


def test_the_label_column_is_a_setting_and_needed_only_with_rows(tmp_path: Path) -> None:
    columns = (*COLUMNS[:-1], "Species")
    text = table((1, "", 0, 1, "Bird"), columns=columns)
    [record] = read_raven(tmp_path / "a", {"A.txt": text}, label_column="Species").records
    assert events(record) == [(0, 1, {"Bird": 1})]
    [record] = read_raven(tmp_path / "b", {"A.txt": table(columns=COLUMNS[:-1])}).records
    assert record.events == ()
    with pytest.raises(InputError, match=r"'Class' \(setting source.label_column\).*columns found: .*'Species'"):
        read_raven(tmp_path / "c", {"A.txt": text})


def test_files_that_are_no_tables_are_told_together(tmp_path: Path) -> None:
    contents = {"A.txt": table(), "README.txt": "Recorded in May.\n", "B.txt": "", "C.txt": table(columns=COLUMNS * 2)}
    with pytest.raises(InputError) as error:
        read_raven(tmp_path, contents)
    assert "annotation files: 3 problems" in str(error.value)
    assert all(f"{name}.txt: no selection table" in str(error.value) for name in ("README", "B", "C"))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ((1, "", 2, 2, "Bird"), "from '2' to '2' s"),
        ((1, "", 2, 1, "Bird"), "from '2' to '1' s"),
        ((1, "", -1, 1, "Bird"), "from '-1' to '1' s"),
        ((1, "", "0,5", "1,5", "Bird"), "from '0,5' to '1,5' s"),
        ((1, "", "nan", 1, "Bird"), "from 'nan' to '1' s"),
        ((1, "", 0, "1e999", "Bird"), "from '0' to '1e999' s"),
        ((1, "", "", 1, "Bird"), "from '' to '1' s"),
        ((1, "", 0, 1, " "), "no label"),
        ((1, "", 0, 1), "4 cells, the header has 5"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, row: tuple[object, ...], told: str) -> None:
    with pytest.raises(InputError) as error:
        read_raven(tmp_path, {"A.txt": table((1, "", 0, 1, "Bird"), row), "B.txt": table(row)})
    assert "annotations: 2 problems" in str(error.value)
    assert f"A.txt line 3: {told}" in str(error.value)
    assert f"B.txt line 2: {told}" in str(error.value)


def test_a_blank_offset_is_refused(tmp_path: Path) -> None:
    text = table((1, "", 0, 1, "Bird", ""), columns=(*COLUMNS, "File Offset (s)"))
    with pytest.raises(InputError, match=r"A\.txt line 2: offset in the file ''"):
        read_raven(tmp_path, {"A.txt": text})


# --- Audacity -----------------------------------------------------------------------------------------------


def test_a_label_track(tmp_path: Path) -> None:
    text = "0.5\t1.500000\tBird\n\\\t1000.0\t2000.0\n3.0\t4.0\tFrog\r\n\n"
    reading = read_audacity(tmp_path, {"A.txt": text, "B.txt": ""})
    assert [(record.file, events(record)) for record in reading.records] == [
        ("A", [(0.5, 1.5, {"Bird": 1}), (3, 4, {"Frog": 1})]),
        ("B", []),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1.5\t1.5\tBird", "from '1.5' to '1.5' s"),
        ("0,5\t1,5\tBird", "from '0,5' to '1,5' s"),
        ("0.5\t1.5\t", "no label"),
        ("0.5 1.5 Bird", "no start, end and label with tabs between: '0.5 1.5 Bird"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        read_audacity(tmp_path, {"A.txt": f"0\t1\tBird\n{line}\n", "B.txt": f"{line}\n"})
    assert "annotations: 2 problems" in str(error.value)
    assert f"A.txt line 2: {told}" in str(error.value)


# --- labels, both -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_raven, table((1, "", 0, 1, "Dog"), (2, "", 2, 3, "quak"), (3, "", 4, 5, "Dog"))),
        (read_audacity, "0\t1\tDog\n2\t3\tquak\n4\t5\tDog\n"),
    ],
)
def test_unknown_labels(tmp_path: Path, read: Any, text: str) -> None:
    names = {"quak": "Frog"}
    with pytest.raises(InputError, match="'Dog': 2 times"):
        read(tmp_path, {"A.txt": text}, class_names=names)
    reading = read(tmp_path, {"A.txt": text}, class_names=names, unknown_labels="drop")
    assert events(reading.records[0]) == [(2, 3, {"Frog": 1})]
    assert reading.facts["labels of no class, dropped"] == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp950", "gbk", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    reading = read_raven(tmp_path, {"A.txt": table((1, "", 0, 1, "蟬"))}, encoding=encoding)
    assert events(reading.records[0]) == [(0, 1, {"蟬": 1})]
    assert reading.facts["encodings of annotation files"] == f"{encoding}: 1"


stretches = st.lists(
    st.tuples(st.integers(0, 10**7), st.integers(1, 10**6), st.sampled_from(["Bird", "Frog"])), max_size=8
)


@settings(deadline=None, max_examples=60)
@given(stretches, st.booleans())
def test_round_trip(several: list[tuple[int, int, str]], two_views: bool) -> None:
    told = [(start / 1000, (start + length) / 1000, label) for start, length, label in several]
    views = ("Waveform 1", "Spectrogram 1") if two_views else ("Spectrogram 1",)
    selections = [(i, view, *stretch) for i, stretch in enumerate(told) for view in views]
    with tempfile.TemporaryDirectory() as folder:
        [record] = read_raven(Path(folder), {"A.Table.1.selections.txt": table(*selections)}).records
    assert events(record) == [(start, end, {label: 1.0}) for start, end, label in told]
    with tempfile.TemporaryDirectory() as folder:
        text = "".join(f"{start:.6f}\t{end:.6f}\t{label}\n" for start, end, label in told)
        [record] = read_audacity(Path(folder), {"A.txt": text}).records
    assert events(record) == [(start, end, {label: 1.0}) for start, end, label in told]


cells = st.sampled_from(["0", "1.5", "2", "", "x", "-1", "1e400", "Bird", "Begin Time (s)", "End Time (s)", "Class"])
lines = st.lists(st.lists(cells, max_size=6).map("\t".join), max_size=5).map("\n".join)
heading = "\t".join(COLUMNS)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60) | lines.map(str.encode) | lines.map(lambda text: f"{heading}\n{text}".encode()))
def test_any_content_is_read_or_refused(content: bytes) -> None:
    for read in (read_raven, read_audacity):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "notes").mkdir()
            (Path(folder) / "notes" / "A.txt").write_bytes(content)
            with contextlib.suppress(InputError):
                assert read(Path(folder), {}).records
