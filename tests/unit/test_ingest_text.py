"""Text files in the encodings of labs, decoded strictly."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.errors import InputError
from tymbal.ingest.text import UNSURE, parse_json, read_text

BIRDS = "FileName,MainTag_鳥,MainTag_蟬\n"


def read(path: Path, data: bytes, names: tuple[str, ...] = (), needed: str = "") -> tuple[str, str]:
    """Text and encoding; `needed` must be in the text."""
    path.write_bytes(data)

    def parse(text: str) -> str:
        if needed not in text:
            raise InputError(f"no {needed!r} in {text[:20]!r}")
        return text

    return read_text(path, parse, names)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text") / "a.txt"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("cp950", f"cp950 (gbk {UNSURE})"),
        ("big5", f"cp950 (gbk {UNSURE})"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
    ],
)
def test_encodings_are_found_without_help(file: Path, written: str, found: str) -> None:
    assert read(file, BIRDS.encode(written)) == (BIRDS, found)


def test_big_endian_with_a_mark(file: Path) -> None:
    assert read(file, b"\xfe\xff" + BIRDS.encode("utf-16-be")) == (BIRDS, "utf-16")


def test_gbk_that_decodes_as_big5_is_told_by_the_names(file: Path) -> None:
    text = "FileName,MainTag_鸟,MainTag_蛙\n"
    other = text.encode("gbk").decode("cp950")  # does not fail: it is other text
    assert read(file, text.encode("gbk"), ("鸟", "蛙")) == (text, "gbk")
    assert read(file, text.encode("gbk"), ("Bird", "蛙", "风")) == (text, "gbk"), "the encoding with the most names"
    assert read(file, text.encode("gbk"), ("Bird",)) == (
        other,
        f"cp950 (gbk {UNSURE})",
    ), "without names, the first that decodes"


def test_what_is_needed_goes_before_names(file: Path) -> None:
    data = "文件,鸟".encode("gbk")
    assert read(file, data, needed="文件") == ("文件,鸟", "gbk")


@pytest.mark.parametrize("encoding", ["utf-8", "cp950", "gbk", "utf-16"])
def test_one_wrong_byte_is_an_error_and_never_a_replacement_character(file: Path, encoding: str) -> None:
    data = (BIRDS + "a,1,1\n" * 50).encode(encoding)
    half = len(data) // 4 * 2
    damaged = data[:half] + (b"\xff\xdc"[::-1] if encoding == "utf-16" else b"\xff") + data[half:]
    damaged += b"\xdc" if encoding == "utf-16" else b""
    with pytest.raises(InputError, match=r"is not text in UTF-8, Big5 \(cp950\), GBK or UTF-16"):
        read(file, damaged)


def test_place_where_utf_8_fails(file: Path) -> None:
    with pytest.raises(InputError, match=r"as UTF-8 it ends at line 3, byte 10 of the file \(invalid start byte\)"):
        read(file, b"File\na,1\n\xff\n")


def test_a_byte_order_mark_decides(file: Path) -> None:
    with pytest.raises(InputError, match="is not text"):
        read(file, b"\xef\xbb\xbf" + "鳥".encode("cp950"))


def test_nul_characters_are_refused(file: Path) -> None:
    with pytest.raises(InputError, match=r"line 2, byte 4 of the file \(a NUL character\)"):
        read(file, b"a\n1\0,\n" + b"1,1\n" * 50)
    with pytest.raises(InputError, match=r"line 2, byte 6 of the file \(a NUL character\)"):
        read(file, b"a,b\n1" + bytes(512) + b",1\n")  # a lost block


def test_an_empty_file_is_for_the_caller_to_judge(file: Path) -> None:
    assert read(file, b"") == ("", "utf-8")


def test_unreadable_paths(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.txt"):
        with pytest.raises(InputError, match=r"cannot be read \(.+\)\. Correct its path in the settings"):
            read_text(path, str)


def test_every_encoding_is_told_if_none_gives_what_is_needed(file: Path) -> None:
    with pytest.raises(InputError) as error:
        read(file, "文件,鸟".encode("gbk"), needed="FileName")
    assert str(error.value).splitlines() == [
        "read as cp950: no 'FileName' in '恅璃,纏'",
        "read as gbk: no 'FileName' in '文件,鸟'",
    ]


def test_plain_text_is_judged_once(file: Path) -> None:
    with pytest.raises(InputError, match=r"\Ano 'FileName' in 'a,b'\Z"):
        read(file, b"a,b", needed="FileName")


@settings(deadline=None, max_examples=200)
@given(
    names=st.lists(st.text("蟬鳥風雨溪蛙梟獸貓", min_size=2, max_size=5), min_size=2, max_size=5),
    rest=st.text("abc,;\n01蟬鳥風雨溪", max_size=30),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp950", "gbk", "utf-16", "utf-16-le", "utf-16-be"]),
)
def test_text_with_known_names_reads_back(file: Path, names: list[str], rest: str, encoding: str) -> None:
    text = "File," + ",".join(names) + "\n" + rest
    assert read(file, text.encode(encoding), tuple(names), needed="File")[0] == text


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_whole_or_refused(file: Path, data: bytes) -> None:
    try:
        text, encoding = read(file, data)
    except InputError:
        return
    assert text.encode(encoding.split(" ")[0]) == data


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '"\\ud800"', '{"a": ' + "9" * 5000 + "}"])
def test_json_that_cannot_be_used(text: str) -> None:
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        parse_json(text, "a.json")
