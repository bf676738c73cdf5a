"""Raven selection tables and Audacity labels of detections: read back by our own readers and by those of others."""

from pathlib import Path

import crowsetta
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.config.data import AudacitySource, RavenSource
from tymbal.ingest import audacity, raven
from tymbal.ingest.records import Reading
from tymbal.ingest.vocabulary import Vocabulary
from tymbal.predict.merge import Detections
from tymbal.predict.selections import AUDACITY, RAVEN, label_track, raven_table, write_beside

CLASSES = ("Owl", "臺灣騷蟬", 'Rain, "heavy"', "'O'o; 1/2")
FILES = ["A.wav", "S1/A.2024.wav", "S2/A.2024.wav", "野外 錄音/鳥 1.WAV", "a b/" + "長" * 78 + ".flac"]


def found(*rows: tuple[int, float, float, float]) -> Detections:
    label, start_s, end_s, score = (np.array(column) for column in zip(*rows, strict=True))
    return Detections(label, start_s, end_s, score.astype(np.float32), score.astype(np.float32), np.ones(len(rows)))


SOME = found((0, 0.0, 1 / 3, 0.9), (2, 0.1, 86399.97502267574, 1e-7), (1, 1 / 3, 12.0, 0.7), (3, 5.0, 6.0, 1.0))


def write(folder: Path, made: dict[str, Detections]) -> None:
    for file, each in made.items():
        write_beside(folder / "raven", file, RAVEN, raven_table(file, each, CLASSES, 8000.0, 1))
        write_beside(folder / "audacity", file, AUDACITY, label_track(each, CLASSES))


def read(folder: Path, kind: str, files: list[str]) -> Reading:
    settings = {"format": kind, "audio": "audio", "annotations": kind}
    vocabulary, roots = Vocabulary(CLASSES), {"data": folder}
    if kind == "raven":
        return raven.read(RavenSource(**settings), vocabulary, roots, files)
    return audacity.read(AudacitySource(**settings), vocabulary, roots, files)


def told(reading: Reading) -> dict[str, list[tuple[int, float, float]]]:
    return {
        record.file: [(CLASSES.index(*event.labels), event.start_s, event.end_s) for event in record.events]
        for record in reading.records
    }


def rows(each: Detections) -> list[tuple[int, float, float]]:
    return list(zip(each.label.tolist(), each.start_s.tolist(), each.end_s.tolist(), strict=True))


@pytest.mark.parametrize("kind", ["raven", "audacity"])
def test_read_back_equal(tmp_path, kind):
    made = {file: found((i % 4, i + 0.1, i + 2.0, 0.5)) for i, file in enumerate(FILES)} | {"B.wav": SOME}
    write(tmp_path, made)
    reading = read(tmp_path, kind, list(made))
    assert not reading.warnings
    assert told(reading) == {file.rpartition(".")[0]: rows(each) for file, each in made.items()}


@st.composite
def detections(draw):
    values = []
    for _ in range(draw(st.integers(1, 8))):
        start_s = draw(st.integers(0, 86400 * 48000)) / draw(st.sampled_from([8000, 44100, 48000, 192000]))
        end_s = start_s + draw(st.floats(1e-3, 3600))
        values.append((draw(st.integers(0, 3)), start_s, end_s, draw(st.floats(0, 1, width=32))))
    return found(*values)


@settings(deadline=None, max_examples=50)
@given(detections())
def test_times_are_read_back_to_the_last_digit(tmp_path_factory, each):
    folder = tmp_path_factory.mktemp("times")
    write(folder, {"A.wav": each})
    for kind in ("raven", "audacity"):
        assert told(read(folder, kind, ["A.wav"])) == {"A": rows(each)}


def test_another_reader_of_raven_tables(tmp_path):
    write(tmp_path, {"A.wav": SOME})
    table = crowsetta.formats.bbox.Raven.from_file(tmp_path / "raven" / "A.wav.selections.txt", annot_col="Class")
    boxes = table.to_bbox()
    assert [box.label for box in boxes] == [CLASSES[label] for label in SOME.label]
    np.testing.assert_allclose([box.onset for box in boxes], SOME.start_s, rtol=1e-12)
    np.testing.assert_allclose([box.offset for box in boxes], SOME.end_s, rtol=1e-12)
    assert {(box.low_freq, box.high_freq) for box in boxes} == {(0, 8000)}
    assert list(table.df["Selection"]) == [1, 2, 3, 4]
    assert set(table.df["Channel"]) == {1}
    np.testing.assert_array_equal(table.df["Score"].astype(np.float32), SOME.score)


def test_another_reader_of_audacity_labels(tmp_path):
    write(tmp_path, {"A.wav": SOME})
    labels = crowsetta.formats.seq.AudSeq.from_file(tmp_path / "audacity" / "A.wav.txt")
    assert list(labels.labels) == [CLASSES[label] for label in SOME.label]
    np.testing.assert_allclose(labels.start_times, SOME.start_s, rtol=1e-12)
    np.testing.assert_allclose(labels.end_times, SOME.end_s, rtol=1e-12)


def test_scores_are_told_in_as_few_digits_as_they_take():
    assert raven_table("A.wav", found((0, 0, 1, 0.7)), CLASSES, 8000.0, 1).splitlines()[1].endswith("\tOwl\t0.7")


def test_neither_tabs_nor_line_ends_leave_their_cell():
    classes = ("Owl\tsmall\r\nor not",)
    [header, line] = raven_table("x/a\tb.wav", found((0, 0, 1, 0.5)), classes, 8000.0, 2).splitlines()
    assert len(line.split("\t")) == len(header.split("\t"))
    assert line.split("\t")[-3:-1] == ["a b.wav", "Owl small  or not"]
    assert line.split("\t")[2] == "2"
    assert label_track(found((0, 0.0, 1.0, 0.5)), classes) == "0.0\t1.0\tOwl small  or not\n"


def test_two_names_too_long_for_a_suffix_stay_apart(tmp_path):
    made = {"a" * 245 + end: SOME for end in ("1.wav", "2.wav")}
    write(tmp_path, made)
    assert len(list((tmp_path / "raven").iterdir())) == 2
    assert told(read(tmp_path, "raven", list(made))) == {file: rows(SOME) for file in made}


def test_a_recording_elsewhere_keeps_its_folders_within_the_results(tmp_path):
    write_beside(tmp_path / "raven", "/media/disk 1/A.wav", RAVEN, "")
    assert (tmp_path / "raven" / "media" / "disk 1" / "A.wav.selections.txt").is_file()


def test_no_text_file_is_written_over_another(tmp_path):
    write_beside(tmp_path, "a/A.wav", RAVEN, "first")
    with pytest.raises(FileExistsError):
        write_beside(tmp_path, "/a/A.wav", RAVEN, "second")
