"""Damaged and foreign files in place of tables: a message, never a traceback."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.config.data import EscSource, LongSource, MultihotSource, TagSource
from tymbal.errors import InputError
from tymbal.ingest import esc, long, multihot, tags
from tymbal.ingest.records import Reading
from tymbal.ingest.vocabulary import Vocabulary, read_vocabulary

PLACE = {"table": "table.csv", "audio": "audio"}
VOCABULARY = Vocabulary(("鳥", "A"))
LONG = LongSource(
    format="long",
    weight_column="w",
    start_column="s",
    end_column="e",
    fold_column="fold",
    unknown_labels="drop",
    **PLACE,
)
# The reader, its settings, a table that it can read.
TABLES: dict[str, tuple[Callable[..., Reading], Any, str]] = {
    "tags": (
        tags.read,
        TagSource(format="tags", **PLACE),
        'FileName,Site,MainTag_鳥,SubTag_A\na.wav,S,1,\n"b",S,x,0\n',
    ),
    "long": (long.read, LONG, 'file,label,w,s,e,fold\na,鳥,1,0,1.5,1\n"a",A,0.6,2,3,1\nb,,,,,test\n'),
    "multihot": (multihot.read, MultihotSource(format="multihot", **PLACE), 'file,鳥,A\na,1,0.5\n"b",,\n'),
    "esc": (esc.read, EscSource(format="esc", **PLACE), 'filename,fold,category,src_file\na,1,鳥,1\n"b",2,A,2\n'),
}
CLASSES = {
    "classes.csv": 'index,mid,display_name\n1,/m/1,鳥\n0,x,"A"\n',
    "classes.json": '{"all_classes": ["鳥", "A"]}',
}
ENCODINGS = ("utf-8", "utf-8-sig", "cp950", "gbk", "utf-16", "utf-16-be")
TELLING = [
    b'"',
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xa4",
    b"9" * 5000,
    b"nan",
    b"1e999",
    b"_",
    b"[",
    b"\\",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def damaged(text: str) -> st.SearchStrategy[bytes]:
    """The text in some encoding, with pieces of it replaced."""
    splice = st.tuples(st.integers(0, 300), st.integers(0, 4), st.sampled_from(TELLING) | st.binary(max_size=4))

    def apply(encoding: str, splices: list[tuple[int, int, bytes]]) -> bytes:
        data = text.encode(encoding)
        for place, length, piece in splices:
            data = data[:place] + piece + data[place + length :]
        return data

    return st.builds(apply, st.sampled_from(ENCODINGS), st.lists(splice, max_size=3))


def check_table(folder: Path, name: str, data: bytes) -> Reading | None:
    read, source, _ = TABLES[name]
    (folder / "table.csv").write_bytes(data)
    try:
        found = read(source, VOCABULARY, {"data": folder}, [])
    except InputError as error:
        assert str(error)
        return None
    assert found.records
    for record in found.records:
        assert record.file
        labels = [record.labels or {}, *(event.labels for event in record.events or ())]
        assert all(name in VOCABULARY.names and 0 < weight <= 1 for each in labels for name, weight in each.items())
    return found


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", TABLES)
def test_the_undamaged_tables_are_read(folder: Path, name: str, encoding: str) -> None:
    found = check_table(folder, name, TABLES[name][2].encode(encoding))
    assert found is not None
    assert len(found.records) == 2


@pytest.mark.parametrize("name", TABLES)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_damaged_tables(folder: Path, name: str, data: st.DataObject) -> None:
    check_table(folder, name, data.draw(damaged(TABLES[name][2]) | st.binary(max_size=100)))


@pytest.mark.parametrize("name", CLASSES)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_damaged_classes(folder: Path, name: str, data: st.DataObject) -> None:
    (folder / name).write_bytes(data.draw(damaged(CLASSES[name]) | st.binary(max_size=100)))
    try:
        found = read_vocabulary(name, {"data": folder})
    except InputError:
        return
    assert len(set(found.names)) == len(found.names) >= 2
