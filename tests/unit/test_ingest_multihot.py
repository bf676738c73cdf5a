"""Multi-hot tables."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.config.data import MultihotSource
from tymbal.errors import InputError
from tymbal.ingest import multihot
from tymbal.ingest.records import Reading, Record
from tymbal.ingest.vocabulary import Vocabulary


def read(folder: Path, text: str, classes: list[str], encoding: str = "utf-8", **settings: Any) -> Reading:
    (folder / "hot.csv").write_bytes(text.encode(encoding))
    source = MultihotSource(format="multihot", table="hot.csv", audio="audio", **settings)
    return multihot.read(source, Vocabulary(tuple(classes)), {"data": folder}, [])


def test_weights_zeros_and_blanks(tmp_path: Path) -> None:
    text = "file,Cicada,鳥,part,speaker\na,1,0.6,train,x\nb,0,0.0,2,y\nc,, NaN,,z\nd,1.0,0,,x\n"
    settings = {"class_names": {"鳥": "Bird"}, "fold_column": "part", "columns": ("speaker",)}
    found = read(tmp_path, text, ["Bird", "Cicada"], **settings)
    assert found.records == [
        Record("a", "hot.csv row 2", {"Cicada": 1.0, "Bird": 0.6}, fold="train", columns={"speaker": "x"}),
        Record("b", "hot.csv row 3", {}, fold="2", columns={"speaker": "y"}),
        Record("c", "hot.csv row 4", None, columns={"speaker": "z"}),
        Record("d", "hot.csv row 5", {"Cicada": 1.0}, columns={"speaker": "x"}),
    ]
    assert found.facts == {"encoding of hot.csv": "utf-8", "unlabelled rows": 1}
    assert found.warnings == []


def test_of_two_columns_for_one_class_the_larger_weight_counts(tmp_path: Path) -> None:
    text = "file,A,a,B\nx,0.2,0.7,0\ny,0.7,0,0\n"
    found = read(tmp_path, text, ["A", "B"], class_names={"a": "A"})
    assert [record.labels for record in found.records] == [{"A": 0.7}, {"A": 0.7}]


def test_european_excel_writes_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    found = read(tmp_path, "file;A;B\nx;0,6;1\n", ["A", "B"])
    assert found.records[0].labels == {"A": 0.6, "B": 1.0}


def test_other_columns_are_warned_of(tmp_path: Path) -> None:
    found = read(tmp_path, "file,A,Comment,B,Owl\nx,1,loud,0,1\n", ["A", "B"])
    assert found.records[0].labels == {"A": 1.0}
    assert found.warnings == ["hot.csv: columns that stand for no class, not used: Comment, Owl"]


def test_all_wrong_cells_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, "file,A,B\nx,1.5,0\ny,-0.1,nan\n,1,x\nz,1,\n", ["A", "B"])
    assert str(error.value).splitlines() == [
        "hot.csv: cells: 6 problems",
        "  - hot.csv row 2, column A: '1.5'",
        "  - hot.csv row 3, column A: '-0.1'",
        "  - hot.csv row 3, column B: 'nan'",
        "  - hot.csv row 4, column file: no file name",
        "  - hot.csv row 4, column B: 'x'",
        "  - hot.csv row 5, column B: ''",
        "What to do: every row needs a file name, and for every class a weight from 0 to 1, or none at all if it is "
        "unlabelled",
    ]


def test_a_class_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="class 'B' of `classes`: no column stands for it"):
        read(tmp_path, "file,A\nx,1\n", ["A", "B"])


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.none() | st.lists(st.just(0.0) | st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=5),
    encoding=st.sampled_from(["utf-8", "cp950", "gbk", "utf-16"]),
    european=st.booleans(),
)
def test_written_weights_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float] | None], encoding: str, european: bool
) -> None:
    names = ["鳥鳴", "蟬聲"]
    lines = [["file", *names]]
    lines += [[f"f{i}", *(["", ""] if row is None else map(repr, row))] for i, row in enumerate(rows)]
    text = "\n".join(",".join(line) for line in lines)
    if european:
        text = text.replace(",", ";").replace(".", ",")
    found = read(tmp_path_factory.getbasetemp(), text, names, encoding)
    assert [record.labels for record in found.records] == [
        row and {name: weight for name, weight in zip(names, row, strict=True) if weight > 0} for row in rows
    ]
