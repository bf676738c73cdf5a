"""The wide tag table with main and sub tags."""

import logging
from pathlib import Path
from typing import Any

import pytest

from tymbal.config import TagSource
from tymbal.errors import InputError
from tymbal.ingest import tags
from tymbal.ingest.records import Record


def read(folder: Path, text: str, classes: list[str], **settings: Any) -> list[Record]:
    (folder / "tags.csv").write_text(text, encoding="utf-8")
    source = TagSource(format="tags", table="tags.csv", audio="audio", **({"site_column": None} | settings))
    return tags.read(source, classes, folder, [])


def test_the_users_table(tmp_path: Path) -> None:
    text = (
        "FileName,Site,MainTag_蟬,MainTag_鳥,SubTag_鳥,SubTag_風\n"
        "SITE01_20240105_053000,S1,1,0,1,0\n"
        "SITE01_20240105_053100.wav,S1,0,1,,1\n"
        "sub/dir/SITE02_20240106_190000.WAV,S2,,1,1,\n"
        "SITE02_20240106_190100,S2,,0,NaN,\n"
    )
    names = {"蟬": "Cicada", "鳥": "Bird", "風": "Wind"}
    assert read(tmp_path, text, ["Cicada", "Bird", "Wind"], site_column="Site", class_names=names) == [
        Record("SITE01_20240105_053000", "tags.csv row 2", {"Cicada": 1.0, "Bird": 0.6}, site="S1"),
        Record("SITE01_20240105_053100.wav", "tags.csv row 3", {"Bird": 1.0, "Wind": 0.6}, site="S1"),
        Record("sub/dir/SITE02_20240106_190000.WAV", "tags.csv row 4", {"Bird": 1.0}, site="S2"),
        Record("SITE02_20240106_190100", "tags.csv row 5", None, site="S2"),
    ]


@pytest.mark.parametrize("cell", ["1", "1.0", '"1"', "TRUE", "True", "x", "X", " 1 "])
def test_cells_that_are_on(tmp_path: Path, cell: str) -> None:
    [record] = read(tmp_path, f"FileName,MainTag_A\na,{cell}\n", ["A"])
    assert record.labels == {"A": 1.0}


@pytest.mark.parametrize("cell", ["0", "", " ", "NaN", "nan"])
def test_cells_that_are_off(tmp_path: Path, cell: str) -> None:
    [record] = read(tmp_path, f"FileName,MainTag_A\na,{cell}\n", ["A"])
    assert record.labels is None


def test_all_invalid_cells_in_one_message(tmp_path: Path) -> None:
    text = "FileName,MainTag_A,SubTag_A\na,2,0\nb,1,yes\n ,1,\n"
    with pytest.raises(InputError) as error:
        read(tmp_path, text, ["A"])
    message = str(error.value)
    assert "tags.csv: cells: 3 problems" in message
    assert "tags.csv row 2, column MainTag_A: '2'" in message
    assert "tags.csv row 3, column SubTag_A: 'yes'" in message
    assert "tags.csv row 4, column FileName: no file name" in message
    assert "1, 1.0, TRUE or x for on, 0, 0.0, FALSE, blank or NaN for off" in message


def test_the_main_tag_wins_even_if_it_weighs_less(tmp_path: Path) -> None:
    text = "FileName,MainTag_A,SubTag_A\na,1,1\nb,0,1\n"
    a, b = read(tmp_path, text, ["A"], main_weight=0.5, sub_weight=0.9)
    assert (a.labels, b.labels) == ({"A": 0.5}, {"A": 0.9})


@pytest.mark.parametrize(("main", "sub", "larger"), [(1.0, 0.6, 1.0), (0.5, 0.9, 0.9)])
def test_of_two_names_for_one_class_the_larger_weight_counts(
    tmp_path: Path, main: float, sub: float, larger: float
) -> None:
    names = {"a": "A", "b": "A"}
    text = "FileName,MainTag_a,SubTag_b\nf,1,1\n"
    [record] = read(tmp_path, text, ["A"], class_names=names, main_weight=main, sub_weight=sub)
    assert record.labels == {"A": larger}


def test_prefixes_of_which_one_begins_with_the_other(tmp_path: Path) -> None:
    [record] = read(tmp_path, "FileName,T_A,T_S_B\nf,1,1\n", ["A", "B"], main_prefix="T_", sub_prefix="T_S_")
    assert record.labels == {"A": 1.0, "B": 0.6}


def test_tag_columns_of_no_class_are_counted_and_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "FileName,MainTag_A,MainTag_B,SubTag_B,SubTag_C\na,1,1,0,0\nb,0,1,1,0\nc,0,0,0,0\n"
    with caplog.at_level(logging.WARNING):
        records = read(tmp_path, text, ["A"])
    assert [record.labels for record in records] == [{"A": 1.0}, None, None]
    [message] = caplog.messages
    assert "MainTag_B (2 on), SubTag_B (1 on), SubTag_C (0 on)" in message
    assert "rows with only such tags, which count as unlabelled: 1" in message


def test_no_warning_if_every_tag_column_has_a_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(tmp_path, "FileName,MainTag_A,Comment\na,1,loud\n", ["A"])
    assert not caplog.messages


def test_an_absent_site_column_is_told_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'Site' \(setting source.site_column; null if the table has no"):
        read(tmp_path, "FileName,MainTag_A\na,1\n", ["A"], site_column="Site")


def test_a_class_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="class 'B' of `classes`: no tag column stands for it"):
        read(tmp_path, "FileName,MainTag_A\na,1\n", ["A", "B"])
