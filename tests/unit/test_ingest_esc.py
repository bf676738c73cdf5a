"""ESC's table."""

from pathlib import Path
from typing import Any

import pytest

from tymbal.config.data import EscSource
from tymbal.errors import InputError
from tymbal.ingest import esc
from tymbal.ingest.records import Reading, Record
from tymbal.ingest.vocabulary import Vocabulary

HEADER = "filename,fold,target,category,esc10,src_file,take\n"


def read(folder: Path, text: str, classes: list[str], **settings: Any) -> Reading:
    (folder / "esc50.csv").write_text(text, encoding="utf-8")
    source = EscSource(format="esc", table="esc50.csv", audio="audio", **settings)
    return esc.read(source, Vocabulary(tuple(classes)), {"data": folder}, [])


def test_labels_folds_and_recordings(tmp_path: Path) -> None:
    text = HEADER + "1-100-A-0.wav,1,0,dog,True,100,A\n2-200-B-1.wav,02,1,雞,True,200,B\n"
    found = read(tmp_path, text, ["Rooster", "dog"], class_names={"雞": "Rooster"})
    assert found.records == [
        Record("1-100-A-0.wav", "esc50.csv row 2", {"dog": 1.0}, fold="1", recording="100"),
        Record("2-200-B-1.wav", "esc50.csv row 3", {"Rooster": 1.0}, fold="2", recording="200"),
    ]
    assert (found.facts, found.warnings) == ({"encoding of esc50.csv": "utf-8"}, [])


def test_the_recording_column_is_a_setting(tmp_path: Path) -> None:
    text = "filename,fold,category,source\na,1,dog,7\n"
    [record] = read(tmp_path, text, ["dog"], recording_column="source").records
    assert record.recording == "7"
    with pytest.raises(InputError, match=r"no column 'src_file' \(setting source.recording_column\)"):
        read(tmp_path, text, ["dog"])


def test_blank_cells_and_odd_folds_in_one_message(tmp_path: Path) -> None:
    text = HEADER + ",1,0,dog,,1,\nb,0,0,dog,,1,\nc,one,0,dog,,1,\nd,1,0,,,1,\ne,1,0,dog,,,\n"
    with pytest.raises(InputError) as error:
        read(tmp_path, text, ["dog"])
    assert str(error.value).splitlines()[:6] == [
        "esc50.csv: cells: 5 problems",
        "  - esc50.csv row 2, column filename: blank",
        "  - esc50.csv row 3, column fold: '0', expected a whole number from 1",
        "  - esc50.csv row 4, column fold: 'one', expected a whole number from 1",
        "  - esc50.csv row 5, column category: blank",
        "  - esc50.csv row 6, column src_file: blank",
    ]


def test_categories_outside_classes_are_refused_with_counts(tmp_path: Path) -> None:
    text = HEADER + "a,1,0,dog,,1,\nb,1,1,siren,,2,\nc,1,1,siren,,3,\nd,1,2,rain,,4,\n"
    with pytest.raises(InputError) as error:
        read(tmp_path, text, ["dog"])
    message = str(error.value)
    assert "categories that stand for no class: 2 problems\n  - 'rain': once\n  - 'siren': 2 times" in message
    assert "or take them out of the source" in message


def test_a_class_without_a_category_is_warned_of(tmp_path: Path) -> None:
    found = read(tmp_path, HEADER + "a,1,0,dog,,1,\n", ["dog", "cat"])
    assert found.warnings == ["esc50.csv: classes without categories: 'cat'"]
