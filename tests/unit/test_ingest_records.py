"""Tables as text."""

import math
import unicodedata
from pathlib import Path

import pytest

from tymbal.errors import InputError
from tymbal.ingest.records import fold_of, read_table
from tymbal.ingest.text import UNSURE


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "tags.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_cells_are_cleaned_and_rows_numbered_as_in_a_spreadsheet(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    found = read_table(table(tmp_path, f' File , {decomposed}\r\n a , "1"\r\n\r\n,\r\n蟬, x \r\n'), {"File": "s"})
    assert found.columns == ("File", "é")
    assert [(row.where, row.cells) for row in found.rows] == [
        ("tags.csv row 2", {"File": "a", "é": "1"}),
        ("tags.csv row 5", {"File": "蟬", "é": "x"}),
    ]


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    assert read_table(table(tmp_path, "File\na\n".encode("utf-8-sig")), {"File": "s"}).columns == ("File",)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_and_line_ends(tmp_path: Path, delimiter: str, ends: str) -> None:
    lines = [["File", "a,b;c\td"], ["x", "0,5"]]
    text = ends.join(delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in line) for line in lines)
    found = read_table(table(tmp_path, text), {"File": "s"})
    assert (found.columns, found.delimiter) == (("File", "a,b;c\td"), delimiter)
    assert [row.cells for row in found.rows] == [{"File": "x", "a,b;c\td": "0,5"}]


def test_the_required_columns_choose_the_delimiter(tmp_path: Path) -> None:
    assert read_table(table(tmp_path, "File;a,b,c\nx;1\n"), {"File": "s"}).columns == ("File", "a,b,c")
    assert read_table(table(tmp_path, "File,a;b;c\nx,1\n"), {"File": "s"}).columns == ("File", "a;b;c")
    assert read_table(table(tmp_path, "File\nx\n"), {"File": "s"}).delimiter == ","


def test_facts_tell_encoding_and_an_unusual_delimiter(tmp_path: Path) -> None:
    assert read_table(table(tmp_path, "File,蟬\na,1\n".encode("cp950")), {"File": "s"}).facts == {
        "encoding of tags.csv": f"cp950 (gbk {UNSURE})"
    }
    assert read_table(table(tmp_path, "File;B\na;1\n".encode("utf-16")), {"File": "s"}).facts == {
        "encoding of tags.csv": "utf-16",
        "delimiter of tags.csv": "semicolon",
    }


def test_the_comma_is_the_decimal_sign_beside_semicolons_only(tmp_path: Path) -> None:
    european = read_table(table(tmp_path, "File;B\na;0,6\n"), {"File": "s"})
    assert (european.number("0,6"), european.number("0.6")) == (0.6, 0.6)
    assert math.isnan(read_table(table(tmp_path, 'File,B\na,"0,6"\n'), {"File": "s"}).number("0,6"))


def test_columns_that_are_missing_are_told_for_every_encoding(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_table(table(tmp_path, "文件,鸟\na,1\n".encode("gbk")), {"FileName": "setting f"})
    assert "read as cp950: " in str(error.value)
    assert "read as gbk: " in str(error.value)
    assert "columns found: '文件', '鸟'" in str(error.value)


@pytest.mark.parametrize("text", ["a" * 200_000, "File," + "b" * 200_000 + "\n1,1\n", "File\n" + "1" * 200_000])
def test_huge_cells_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="field larger than field limit"):
        read_table(table(tmp_path, text), {"File": "s"})


def test_rows_can_be_gone_through_twice(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "File\na\nb\n"), {"File": "s"})
    assert list(found.rows) == list(found.rows) != []


@pytest.mark.parametrize(
    ("cell", "fold"),
    [
        ("1", "1"),
        ("02", "2"),
        ("3.0", "3"),
        ("Train", "train"),
        ("test", "test"),
        ("0", None),
        ("", None),
        ("dev", None),
    ],
)
def test_folds(cell: str, fold: str | None) -> None:
    assert fold_of(cell) == fold


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected a header"),
        ("File\n", "has a header but no row"),
        ('File,B\na,"1\nb,1\n', "Check the quotes"),
    ],
)
def test_tables_without_rows_or_with_open_quotes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_table(table(tmp_path, text), {})


def test_an_absent_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tags\.csv cannot be read \(No such file or directory\)\. Correct"):
        read_table(tmp_path / "tags.csv", {})


def test_all_missing_and_doubled_columns_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_table(table(tmp_path, "A, A,B\n1,1,1\n"), {"FileName": "setting f", "Site": "setting s", " B": "ok"})
    message = str(error.value)
    assert "3 problems" in message
    assert "no column 'FileName' (setting f)" in message
    assert "no column 'Site' (setting s)" in message
    assert "column 'A' occurs twice" in message
    assert "columns found: 'A', 'A', 'B'" in message


def test_all_rows_of_another_length_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_table(table(tmp_path, "A,B\n1,1\n1\n1,1\n1,1,1\n"), {})
    assert "2 problems\n  - row 3: 1 cells\n  - row 5: 3 cells" in str(error.value)
