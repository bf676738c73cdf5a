"""Classes, their order, and which of them a name stands for."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.errors import InputError
from tymbal.ingest.vocabulary import Vocabulary, read_vocabulary, translate_columns, translate_labels

DECOMPOSED = unicodedata.normalize("NFD", "Grillon d'été")


def class_map(folder: Path, text: str, encoding: str = "utf-8") -> Vocabulary:
    (folder / "classes.csv").write_text(text, encoding=encoding)
    return read_vocabulary("classes.csv", {"data": folder})


def vocabulary_file(folder: Path, value: object) -> Vocabulary:
    (folder / "classes.json").write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return read_vocabulary("classes.json", {"data": folder})


def test_names_in_the_settings_are_cleaned_and_keep_their_order() -> None:
    assert read_vocabulary((" 蟬", DECOMPOSED, "Bird "), {}).names == ("蟬", "Grillon d'été", "Bird")
    assert read_vocabulary(None, {}).names == ()


def test_a_class_map_gives_each_class_once_in_the_order_of_its_indices(tmp_path: Path) -> None:
    text = 'index,mid,display_name\n2,/m/09x0r,Speech\n0,Bird,Bird\n1,/m/0jbk,"Animal, wild"\n'
    found = class_map(tmp_path, text)
    assert found.names == ("Bird", "Animal, wild", "Speech")
    names = ["/m/09x0r", "Speech", "Animal, wild ", "/m/0jbk", "Bird", "Animal"]
    assert [found.class_of(name) for name in names] == [
        "Speech",
        "Speech",
        "Animal, wild",
        "Animal, wild",
        "Bird",
        None,
    ]


def test_display_names_go_before_machine_ids(tmp_path: Path) -> None:
    found = class_map(tmp_path, "mid,display_name\nB,A\nC,B\n")
    assert (found.names, found.class_of("B"), found.class_of("C")) == (("A", "B"), "B", "B")


@pytest.mark.parametrize("header", ["display_name", "mid"])
def test_a_class_map_of_one_column_is_in_the_order_of_its_rows(tmp_path: Path, header: str) -> None:
    assert class_map(tmp_path, f"{header}\n鳥\n蟬\n", "utf-16").names == ("鳥", "蟬")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,name\n0,A\n1,B\n", "no column 'display_name' or 'mid'; columns found: ['index', 'name']"),
        ("index,mid\n1,A\n2,B\n", "index 0 is absent"),
        ("index,mid\n0,A\n0,B\n", "index 0 occurs 2 times"),
        ("index,mid\n0,A\n00,B\n", "index 1 is absent"),
        ("index,mid\n0,A\n1.5,B\n-1,C\n", "classes.csv row 3: '1.5'\n  - classes.csv row 4: '-1'"),
        ("mid,display_name\nx,A\nx,B\n", "column mid: 1 problem\n  - 'x' occurs 2 times"),
        ("mid,display_name\nx,A\ny, A\n", "'A' occurs 2 times"),
        ("mid,display_name\nx,A\ny,\n", "class 2 has no name"),
        ("mid,display_name\nx,A\n", "classes: 1, expected two or more"),
    ],
)
def test_class_maps_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        class_map(tmp_path, text)
    assert message in str(error.value)


def test_a_vocabulary_file_gives_all_its_classes(tmp_path: Path) -> None:
    found = vocabulary_file(tmp_path, {"all_classes": ["鳥", " Bat"], "present_classes": ["Bat"]})
    assert found == Vocabulary(("鳥", "Bat"), facts={"encoding of classes.json": "utf-8"})


@pytest.mark.parametrize("value", [[], {}, {"present_classes": ["A"]}, {"all_classes": "AB"}, {"all_classes": [1, 2]}])
def test_other_json(tmp_path: Path, value: object) -> None:
    with pytest.raises(InputError, match="holds no class names"):
        vocabulary_file(tmp_path, value)


def test_names_that_are_equal_once_cleaned_are_refused(tmp_path: Path) -> None:
    for read in (lambda names: read_vocabulary(names, {}), lambda n: vocabulary_file(tmp_path, {"all_classes": n})):
        with pytest.raises(InputError, match=r"classes: 1 problem\n  - \"Grillon d'été\" occurs 2 times"):
            read([DECOMPOSED, "A", "Grillon d'été "])


@settings(deadline=None, max_examples=60)
@given(
    names=st.lists(st.text("AB ,\";'é蟬鳥/.-", min_size=1, max_size=6), min_size=2, max_size=6, unique_by=str.strip),
    data=st.data(),
)
def test_any_order_of_rows_gives_the_order_of_indices(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject
) -> None:
    names = [name.strip() for name in names if name.strip()] + ["Wind", "Rain"]
    rows = data.draw(st.permutations([f'{i},"{name.replace(chr(34), chr(34) * 2)}"' for i, name in enumerate(names)]))
    text = "index,display_name\n" + "\n".join(rows)
    assert class_map(tmp_path_factory.getbasetemp(), text).names == tuple(names)


def test_columns_are_mapped_and_compared_in_one_unicode_form() -> None:
    vocabulary = Vocabulary(("Grillon d'été", "Cicada"), {"/m/1": "Cicada"})
    found = {"Grillon d'été", "蟬", "Cicada", "/m/1", "風"}
    meaning = translate_columns(found, {" 蟬 ": "Cicada"}, vocabulary, "t", "tag column").meaning
    assert meaning == {
        "Grillon d'été": "Grillon d'été",
        "蟬": "Cicada",
        "Cicada": "Cicada",
        "/m/1": "Cicada",
        "風": None,
    }


def test_columns_and_settings_without_a_match_in_one_message() -> None:
    with pytest.raises(InputError) as error:
        translate_columns({"Bird"}, {"鳥": "Bird"}, Vocabulary(("Bird", "Owl")), "tags.csv", "tag column")
    message = str(error.value)
    assert message.startswith("tags.csv: 2 problems")
    assert "class 'Owl' of `classes`: no tag column stands for it" in message
    assert "'鳥' of `source.class_names`: no tag column of this name" in message
    assert "names found: ['Bird']" in message


def test_unknown_labels_are_refused_with_counts_and_what_to_do() -> None:
    counts = {"Bird": 5, "siren": 2, "?": 1}
    with pytest.raises(InputError) as error:
        translate_labels(counts, {}, Vocabulary(("Bird", "Owl")), "a.csv", unknown="error")
    message = str(error.value)
    assert "a.csv: labels that stand for no class: 2 problems\n  - '?': once\n  - 'siren': 2 times" in message
    assert "`source.unknown_labels: drop`" in message
    with pytest.raises(InputError) as error:
        translate_labels(counts, {}, Vocabulary(("Bird", "Owl")), "a.csv")
    assert "unknown_labels" not in str(error.value), "this format has no such setting"


def test_dropped_labels_absent_classes_and_unused_settings_are_told() -> None:
    found = translate_labels(
        {"鳥": 5, "siren": 2}, {"鳥": "Bird", "梟": "Owl"}, Vocabulary(("Bird", "Owl")), "a.csv", unknown="drop"
    )
    assert found.meaning == {"鳥": "Bird", "siren": None}
    assert found.facts == {"labels of no class, dropped": 2}
    assert found.warnings == [
        "a.csv: labels that stand for no class, dropped: 'siren' (2)",
        "a.csv: classes without labels: 'Owl'",
        "a.csv: names of `source.class_names` without labels: '梟'",
    ]


def test_of_two_names_for_one_class_the_larger_weight_counts() -> None:
    found = translate_labels({"a": 1, "b": 1, "c": 1}, {"b": "a"}, Vocabulary(("a",)), "t", unknown="drop")
    assert found.labels([("a", 0.6), ("b", 0.9), ("c", 1.0)]) == {"a": 0.9}
    assert found.labels([("c", 1.0)]) is None


def test_names_that_a_source_should_hold() -> None:
    vocabulary = Vocabulary(("Bird", "Owl"), {"/m/1": "Bird"})
    files = ["a/b.wav", "north/溪_1.wav"]
    assert vocabulary.expected({" 鳥": "/m/1", "雀": "Bird"}, files) == {"鳥", "雀", "Owl", "溪_1"}


def test_a_name_may_only_be_mapped_to_a_class() -> None:
    vocabulary = Vocabulary(("Bird", "Owl"))
    with pytest.raises(InputError, match="'雀' -> 'Brid', which is no class"):
        translate_labels({"雀": 1}, {"雀": "Brid"}, vocabulary, "a.csv", unknown="drop")
    with pytest.raises(InputError, match="the same, written differently"):
        translate_labels({"café": 1}, {"caf\u00e9": "Bird", "cafe\u0301": "Owl"}, vocabulary, "a.csv")
