"""Long tables: one row a label."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.config.data import LongSource
from tymbal.errors import InputError
from tymbal.ingest import long
from tymbal.ingest.records import Event, Reading, Record
from tymbal.ingest.vocabulary import Vocabulary

STRETCHES = {"start_column": "start", "end_column": "end"}


def read(folder: Path, text: str, classes: list[str], encoding: str = "utf-8", **settings: Any) -> Reading:
    (folder / "long.csv").write_bytes(text.encode(encoding))
    source = LongSource(format="long", table="long.csv", audio="audio", **settings)
    return long.read(source, Vocabulary(tuple(classes)), {"data": folder}, [])


def test_rows_of_a_file_are_one_record(tmp_path: Path) -> None:
    text = "file,label,weight,Site\nx/a.wav,鳥,1,S1\nb,Rain,0.6,S2\nx\\a.WAV,Rain,.5,S1\na,Rain,1,S1\nc,,,S1\n"
    found = read(
        tmp_path,
        text,
        ["Bird", "Rain"],
        weight_column="weight",
        site_column="Site",
        columns=("Site",),
        class_names={"鳥": "Bird"},
    )
    assert found.records == [
        Record("x/a.wav", "long.csv row 2", {"Bird": 1.0, "Rain": 0.5}, site="S1", columns={"Site": "S1"}),
        Record("b", "long.csv row 3", {"Rain": 0.6}, site="S2", columns={"Site": "S2"}),
        Record("a", "long.csv row 5", {"Rain": 1.0}, site="S1", columns={"Site": "S1"}),
        Record("c", "long.csv row 6", None, site="S1", columns={"Site": "S1"}),
    ]
    assert found.facts == {"encoding of long.csv": "utf-8", "unlabelled files": 1}
    assert found.warnings == []


def test_only_the_rows_asked_for_are_read_and_the_others_counted(tmp_path: Path) -> None:
    text = "file,label,Kind\na,Bird,x\nb,Owl,y\nc,Bird, x \n"
    found = read(tmp_path, text, ["Bird", "Rain"], rows={"Kind": "x"})
    assert [record.where for record in found.records] == ["long.csv row 2", "long.csv row 4"]
    assert found.facts["rows of long.csv left out by `source.rows`"] == 1
    with pytest.raises(InputError, match=r"no row with 'X' in column Kind, which `source\.rows` asks for"):
        read(tmp_path, text, ["Bird"], rows={"Kind": "X"})
    with pytest.raises(InputError, match=r"no column 'kind' \(setting source.rows\)"):
        read(tmp_path, text, ["Bird"], rows={"kind": "x"})


def test_the_larger_weight_of_a_label_given_twice_counts(tmp_path: Path) -> None:
    text = "file,label,w\na,A,0.6\na,A,0.9\na,B,0.3\na,b,0.2\n"
    [record] = read(tmp_path, text, ["A", "B"], weight_column="w", class_names={"b": "B"}).records
    assert record.labels == {"A": 0.9, "B": 0.3}


def test_stretches_are_events(tmp_path: Path) -> None:
    text = "file;label;start;end\na;A;0;1,5\nb;;;\na;B;1,25;60\n"
    found = read(tmp_path, text, ["A", "B"], **STRETCHES)
    assert found.records == [
        Record("a", "long.csv row 2", None, (Event(0, 1.5, {"A": 1.0}), Event(1.25, 60, {"B": 1.0}))),
        Record("b", "long.csv row 3", None),
    ]
    assert found.facts["unlabelled files"] == 1


def test_all_wrong_rows_in_one_message(tmp_path: Path) -> None:
    text = (
        "file,label,w,start,end,fold\n"
        ",A,1,0,1,1\n"
        "a,A,0,0,1,1\nb,A,1.1,0,1,1\nc,A,nan,0,1,1\nd,A,,0,1,1\n"
        "e,A,1,1,1,1\nf,A,1,-1,1,1\ng,A,1,,1,1\nh,A,1,0,inf,1\n"
        "i,A,1,0,1,1\ni,B,1,0,1,2\n"
        "j,A,1,0,1,1\nj,,1,0,1,1\n"
    )
    with pytest.raises(InputError) as error:
        read(tmp_path, text, ["A", "B"], weight_column="w", fold_column="fold", **STRETCHES)
    assert str(error.value).splitlines()[:-1] == [
        "long.csv: rows: 11 problems",
        "  - long.csv row 2, column file: no file name",
        "  - long.csv row 3: weight '0'",
        "  - long.csv row 4: weight '1.1'",
        "  - long.csv row 5: weight 'nan'",
        "  - long.csv row 6: weight ''",
        "  - long.csv row 7: start '1', end '1'",
        "  - long.csv row 8: start '-1', end '1'",
        "  - long.csv row 9: start '', end '1'",
        "  - long.csv row 10: start '0', end 'inf'",
        "  - long.csv row 12: site, fold or further columns are not as in long.csv row 11, of the same file",
        "  - long.csv row 13: 'j' has rows with a label and a row without",
    ]


def test_unknown_labels(tmp_path: Path) -> None:
    text = "file,label\na,A\na,siren\nb,siren\nc,\n"
    with pytest.raises(InputError, match=r"long.csv: labels that stand for no class: 1 problem\n  - 'siren': 2 times"):
        read(tmp_path, text, ["A", "B"])
    found = read(tmp_path, text, ["A", "B"], unknown_labels="drop")
    assert [record.labels for record in found.records] == [{"A": 1.0}, None, None]
    assert found.facts == {
        "encoding of long.csv": "utf-8",
        "labels of no class, dropped": 2,
        "unlabelled files": 2,
        "files with dropped labels only, unlabelled": 1,
    }
    assert found.warnings == [
        "long.csv: labels that stand for no class, dropped: 'siren' (2)",
        "long.csv: classes without labels: 'B'",
    ]


def test_a_file_with_dropped_stretches_only_was_listened_to(tmp_path: Path) -> None:
    text = "file,label,start,end\na,siren,0,1\nb,A,0,1\n"
    a, _ = read(tmp_path, text, ["A", "B"], unknown_labels="drop", **STRETCHES).records
    assert (a.labels, a.events) == (None, ())


def test_labels_in_gbk_are_not_taken_for_other_characters(tmp_path: Path) -> None:
    found = read(tmp_path, "file,label\na,鸟\nb,蛙\n", ["鸟", "蛙", "风"], "gbk")
    assert [record.labels for record in found.records] == [{"鸟": 1.0}, {"蛙": 1.0}]
    assert found.warnings == ["long.csv: classes without labels: '风'"]


@settings(deadline=None, max_examples=100)
@given(
    clips=st.dictionaries(
        st.text("ab蟬0-_", min_size=1, max_size=4),
        st.dictionaries(st.sampled_from(["鳥鳴", "蟬聲", "Rain"]), st.floats(0.001, 1)),
        min_size=1,
        max_size=6,
    ),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]),
    data=st.data(),
)
def test_written_labels_read_back_equal_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    clips: dict[str, dict[str, float]],
    encoding: str,
    data: st.DataObject,
) -> None:
    rows = [f"{file},{name},{weight!r}" for file, labels in clips.items() for name, weight in labels.items()]
    rows += [f"{file},," for file, labels in clips.items() if not labels]
    text = "file,label,weight\n" + "\n".join(data.draw(st.permutations(rows)))
    folder = tmp_path_factory.getbasetemp()
    found = read(folder, text, ["鳥鳴", "蟬聲", "Rain"], encoding, weight_column="weight")
    assert {record.file: record.labels or {} for record in found.records} == clips
