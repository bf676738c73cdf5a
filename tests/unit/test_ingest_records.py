"""Tables as text, and which class a name in the source stands for."""

import unicodedata
from pathlib import Path

import pytest

from tymbal.errors import InputError
from tymbal.ingest.records import classes_of_names, read_table


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


@pytest.mark.parametrize("encoding", ["cp950", "utf-16"])
def test_another_encoding_is_refused_with_a_remedy(tmp_path: Path, encoding: str) -> None:
    path = table(tmp_path, "File,蟬\na,1\n".encode(encoding))
    with pytest.raises(InputError) as error:
        read_table(path, {})
    assert f"{path} is not UTF-8 (line 1:" in str(error.value)
    assert "with or without a byte-order mark; save it again as UTF-8" in str(error.value)


def test_the_line_that_does_not_decode_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3"):
        read_table(table(tmp_path, b"File\na\n\xff\n"), {})


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
    assert "columns found: ['A', 'A', 'B']" in message


def test_all_rows_of_another_length_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_table(table(tmp_path, "A,B\n1,1\n1\n1,1\n1,1,1\n"), {})
    assert "2 problems\n  - row 3: 1 cells\n  - row 5: 3 cells" in str(error.value)


def test_names_are_mapped_and_compared_in_one_unicode_form() -> None:
    decomposed = unicodedata.normalize("NFD", "Grillon d'été")
    meaning = classes_of_names(
        {"Grillon d'été", "蟬", "Cicada", "風"}, {" 蟬 ": "Cicada"}, [decomposed, "Cicada"], "t", "tag column"
    )
    assert meaning == {"Grillon d'été": decomposed, "蟬": "Cicada", "Cicada": "Cicada", "風": None}


def test_classes_and_settings_without_a_match_in_one_message() -> None:
    with pytest.raises(InputError) as error:
        classes_of_names({"Bird"}, {"鳥": "Bird"}, ["Bird", "Owl"], "tags.csv", "tag column")
    message = str(error.value)
    assert message.startswith("tags.csv: 2 problems")
    assert "class 'Owl' of `classes`: no tag column stands for it" in message
    assert "'鳥' of `source.class_names`: no tag column of this name" in message
    assert "names found: ['Bird']" in message
