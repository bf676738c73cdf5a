"""The wide tag table with main and sub tags."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.config.data import TagSource
from tymbal.errors import InputError
from tymbal.ingest import tags
from tymbal.ingest.records import Reading, Record
from tymbal.ingest.vocabulary import Vocabulary


def reading(folder: Path, text: str, classes: list[str], encoding: str = "utf-8", **settings: Any) -> Reading:
    (folder / "tags.csv").write_bytes(text.encode(encoding))
    source = TagSource(format="tags", table="lab:tags.csv", audio="audio", **({"site_column": None} | settings))
    return tags.read(source, Vocabulary(tuple(classes)), {"lab": folder}, [])


def read(folder: Path, text: str, classes: list[str], **settings: Any) -> list[Record]:
    return reading(folder, text, classes, **settings).records


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


def test_tag_columns_of_no_class_are_counted_and_warned_of(tmp_path: Path) -> None:
    text = "FileName,MainTag_A,MainTag_B,SubTag_B,SubTag_C\na,1,1,0,0\nb,0,1,1,0\nc,0,0,0,0\nd,0,1,1,0\n"
    found = reading(tmp_path, text, ["A"])
    assert [record.labels for record in found.records] == [{"A": 1.0}, None, None, None]
    assert found.facts == {
        "encoding of tags.csv": "utf-8",
        "unlabelled rows": 3,
        "rows with tags of no class only, unlabelled": 2,
    }
    assert found.warnings == [
        "tags.csv: tag columns that stand for no class, not used: MainTag_B (3 on), SubTag_B (2 on), SubTag_C (0 on)"
    ]


def test_a_class_may_have_only_a_sub_tag_and_other_columns_are_no_tags(tmp_path: Path) -> None:
    found = reading(tmp_path, "FileName,MainTag_A,SubTag_B,Comment\na,1,1,loud\n", ["A", "B"])
    assert found.records[0].labels == {"A": 1.0, "B": 0.6}
    assert found.warnings == []


def test_folds_and_further_columns(tmp_path: Path) -> None:
    text = "FileName,Part, Speaker ,MainTag_A\na,Test,S1,1\nb,,S2,1\n"
    a, b = read(tmp_path, text, ["A"], fold_column="Part ", columns=("Speaker",))
    assert (a.fold, a.columns, b.fold, b.columns) == ("test", {"Speaker": "S1"}, "", {"Speaker": "S2"})
    with pytest.raises(InputError, match=r"row 2, column Speaker: 'S1', expected 1, 2, ... or train, val, test"):
        read(tmp_path, text, ["A"], fold_column="Speaker")
    with pytest.raises(InputError, match=r"no column 'Fold' \(setting source.fold_column; null if"):
        read(tmp_path, text, ["A"], fold_column="Fold")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp950", "gbk", "utf-16", "utf-16-le", "utf-16-be"])
def test_tables_with_chinese_tags(tmp_path: Path, encoding: str) -> None:
    text = "FileName,Site,MainTag_蟬,SubTag_雨\na,南橋,1,0\nb,南橋,0,1\n"
    found = reading(tmp_path, text, ["Cicada", "雨"], encoding, site_column="Site", class_names={"蟬": "Cicada"})
    assert [(r.labels, r.site) for r in found.records] == [({"Cicada": 1.0}, "南橋"), ({"雨": 0.6}, "南橋")]
    assert found.facts["encoding of tags.csv"] == encoding


def test_a_table_from_european_excel(tmp_path: Path) -> None:
    found = reading(tmp_path, "FileName;MainTag_A\na;1\n", ["A"])
    assert found.records[0].labels == {"A": 1.0}
    assert found.facts["delimiter of tags.csv"] == "semicolon"


CELLS = {"": False, "0": False, "0.0": False, "FALSE": False, "nan": False, "1": True, "1.0": True, "true": True}


@settings(deadline=None, max_examples=100)
@given(
    clips=st.lists(
        st.tuples(
            st.text("aé/\\ ,;.\"'-_蟬0", min_size=1).map(str.strip).filter(bool),
            st.lists(st.sampled_from(sorted(CELLS)), min_size=6, max_size=6),
        ),
        min_size=1,
        max_size=6,
    ),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"]),
    delimiter=st.sampled_from(",;\t"),
)
def test_written_clips_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory,
    clips: list[tuple[str, list[str]]],
    encoding: str,
    delimiter: str,
) -> None:
    names = ("鳥鳴", "蟬 聲", "R,a;in")
    columns = [prefix + name for name in names for prefix in ("MainTag_", "SubTag_")]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows([["FileName", *columns], *([file, *on] for file, on in clips)])
    found = reading(tmp_path_factory.getbasetemp(), buffer.getvalue(), list(names), encoding)
    for (file, cells), record in zip(clips, found.records, strict=True):
        main, sub = (dict(zip(names, map(CELLS.get, cells[i::2]), strict=True)) for i in (0, 1))
        labels = {name: 1.0 if main[name] else 0.6 for name in names if main[name] or sub[name]}
        assert (record.file, record.labels) == (file, labels or None)


def test_an_absent_site_column_is_told_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'Site' \(setting source.site_column; null if the table has no"):
        read(tmp_path, "FileName,MainTag_A\na,1\n", ["A"], site_column="Site")


def test_a_class_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="class 'B' of `classes`: no tag column stands for it"):
        read(tmp_path, "FileName,MainTag_A\na,1\n", ["A", "B"])
