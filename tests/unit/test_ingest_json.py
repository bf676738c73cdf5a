"""AudioSet-style JSON manifests."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.config.data import JsonSource
from tymbal.errors import InputError
from tymbal.ingest import json_manifest
from tymbal.ingest.records import Reading, Record
from tymbal.ingest.vocabulary import Vocabulary

CLASSES = Vocabulary(
    ("Cicada", "Bird", "Aircraft", "Speech", "Animal, wild"), {"/m/09x0r": "Speech", "/m/0jbk": "Animal, wild"}
)
MAPPED = {"蛙": "Bird", "哺乳類": "Animal, wild"}


def read(folder: Path, *manifests: object, encoding: str = "utf-8", **others: Any) -> Reading:
    """Read one manifest (an object, or text as it is), or the three parts."""
    parts = ("train", "val", "test")[: len(manifests)]
    for part, manifest in zip(parts, manifests, strict=True):
        text = manifest if isinstance(manifest, str) else json.dumps(manifest, ensure_ascii=False)
        (folder / f"{part}.json").write_text(text, encoding=encoding)
    paths: Any = {part: f"{part}.json" for part in parts} if len(parts) > 1 else "train.json"
    source = JsonSource(format="json", audio="audio", manifests=paths, **({"class_names": MAPPED} | others))
    return json_manifest.read(source, CLASSES, {"data": folder}, [])


def data(*entries: object) -> dict[str, object]:
    return {"data": list(entries)}


def labels_of(reading: Reading) -> list[Any]:
    return [record.labels for record in reading.records]


def test_all_forms_of_labels(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        data(
            {"wav": "/remote/specs/A_20240105_053000.pt", "labels": "Cicada"},
            {"wav": "/remote/specs/A_20240105_053000_2.pt", "labels": "/m/09x0r,/m/0jbk"},
            {"wav": "D:\\specs/B_1.pt", "labels": ["Bird", "Aircraft"], "weights": [1.0, 0.6]},
            {"wav": "B_10.pt", "labels": ["蛙", "哺乳類"], "weights": [1, 0.6]},
            {"wav": "a/b/8.wav", "labels": []},
            {"wav": "a/b/9.wav", "labels": " "},
            {"wav": "a/b/10.wav"},
            {"wav": "a/b/11.wav", "labels": None, "weights": None},
        ),
    )
    assert reading.records == [
        Record("/remote/specs/A_20240105_053000.pt", "train.json entry 1", {"Cicada": 1.0}),
        Record("/remote/specs/A_20240105_053000_2.pt", "train.json entry 2", {"Speech": 1.0, "Animal, wild": 1.0}),
        Record("D:\\specs/B_1.pt", "train.json entry 3", {"Bird": 1.0, "Aircraft": 0.6}),
        Record("B_10.pt", "train.json entry 4", {"Bird": 1.0, "Animal, wild": 0.6}),
        Record("a/b/8.wav", "train.json entry 5", {}),
        Record("a/b/9.wav", "train.json entry 6", {}),
        Record("a/b/10.wav", "train.json entry 7", None),
        Record("a/b/11.wav", "train.json entry 8", None),
    ]
    assert reading.facts["entries without labels, unlabelled"] == 2
    assert reading.facts["entries with empty labels, without any of the classes"] == 2
    assert any("empty labels" in warning for warning in reading.warnings)


def test_a_name_with_a_comma_is_tried_whole(tmp_path: Path) -> None:
    reading = read(tmp_path, data({"wav": "a", "labels": "Animal, wild"}, {"wav": "b", "labels": "Bird, Cicada"}))
    assert labels_of(reading) == [{"Animal, wild": 1.0}, {"Bird": 1.0, "Cicada": 1.0}]


def test_of_two_names_for_one_class_the_larger_weight_counts(tmp_path: Path) -> None:
    entry = {"wav": "a", "labels": ["蛙", "Bird"], "weights": [0.3, 0.6]}
    assert labels_of(read(tmp_path, data(entry))) == [{"Bird": 0.6}]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"wav": "a", "labels": ["Bird", "Cicada"], "weights": [1.0]}, "labels: 2, weights: 1"),
        ({"wav": "a", "labels": "Bird", "weights": 0.6}, "labels: 1, weights: 0.6"),
        ({"wav": "a", "weights": [1.0]}, "labels: 0, weights: 1"),
        ({"wav": "a", "labels": ["Bird"], "weights": [0]}, "weight 0"),
        ({"wav": "a", "labels": ["Bird"], "weights": [1.5]}, "weight 1.5"),
        ({"wav": "a", "labels": ["Bird"], "weights": [True]}, "weight True"),
        ({"wav": "a", "labels": ["Bird"], "weights": ["1"]}, "weight '1'"),
        ({"wav": "a", "labels": 3}, "labels: 3"),
        ({"wav": "a", "labels": ["Bird", 3]}, "labels: ['Bird', 3]"),
        ({"wav": "a", "labels": "Bird,"}, "with a blank name"),
        ({"wav": " ", "labels": "Bird"}, "wav: ' '"),
        ({"labels": "Bird"}, "no wav"),
        (["a", "Bird"], "['a', 'Bird'] is no object"),
    ],
)
def test_wrong_entries_are_named(tmp_path: Path, entry: object, told: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, data({"wav": "ok", "labels": "Bird"}, entry))
    assert "train.json: entries: 1 problem" in str(error.value)
    assert "train.json entry 2: " in str(error.value)
    assert told in str(error.value)


def test_all_wrong_entries_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 problems"):
        read(tmp_path, data({}, {"wav": "a", "labels": 1}), data({"wav": 1}))


def test_unknown_labels_are_refused_with_counts(tmp_path: Path) -> None:
    entries = data({"wav": "a", "labels": "Dog,Bird"}, {"wav": "b", "labels": ["Dog"]}, {"wav": "c", "labels": "/m/x"})
    with pytest.raises(InputError) as error:
        read(tmp_path, entries)
    assert "'Dog': 2 times" in str(error.value)
    assert "'/m/x': once" in str(error.value)


def test_unknown_labels_are_dropped_on_demand_and_counted(tmp_path: Path) -> None:
    entries = data({"wav": "a", "labels": "Dog,Bird"}, {"wav": "b", "labels": ["Dog"]}, {"wav": "c"})
    reading = read(tmp_path, entries, unknown_labels="drop")
    assert labels_of(reading) == [{"Bird": 1.0}, None, None]
    assert reading.facts["labels of no class, dropped"] == 2
    assert reading.facts["entries with dropped labels only, unlabelled"] == 1
    assert reading.facts["entries without labels, unlabelled"] == 1


def test_a_manifest_for_each_part(tmp_path: Path) -> None:
    reading = read(tmp_path, data({"wav": "a"}), data({"wav": "b"}), data({"wav": "c"}))
    assert [(record.file, record.fold) for record in reading.records] == [("a", "train"), ("b", "val"), ("c", "test")]


def test_a_file_twice_is_refused_with_both_entries(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, data({"wav": "x/a.wav"}, {"wav": "x\\a.pt"}), data({"wav": "x/A.wav"}, {"wav": "x/a.flac"}))
    assert "2 problems" in str(error.value)
    assert "train.json entry 2: 'x\\\\a.pt', as train.json entry 1" in str(error.value)
    assert "val.json entry 2: 'x/a.flac', as train.json entry 1" in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"data": {}}',
        '{"data": []}',
        '{"all_classes": ["Bird"]}',
        '{"data": [{"wav": "a", "labels": ["Bird"], "weights": [NaN]}]}',
        '{"data": [{"wav": "a", "labels": "Bird", "labels": "Cicada"}]}',
        '{"data": [], "data": [{"wav": "a"}]}',
        '{"data": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"data": [{"wav": "a\\ud800"}]}',
        '{"data": [{"wav": "a", "weights": [' + "9" * 5000 + "]}]}",
    ],
)
def test_other_content_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"train\.json"):
        read(tmp_path, text)


def test_nested_lists_in_an_entry_are_refused(tmp_path: Path) -> None:
    for depth in range(900, 1000):
        text = '{"data": [{"wav": "a", "labels": ' + "[" * depth + "]" * depth + "}]}"
        with pytest.raises(InputError):
            read(tmp_path, text)


def test_keys_that_are_not_used_are_told(tmp_path: Path) -> None:
    reading = read(tmp_path, data({"wav": "a", "label": "Bird"}, {"wav": "b", "labels": "Bird"}))
    assert any("keys that are not used: 'label' (1 entries)" in warning for warning in reading.warnings)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp950", "gbk", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    names = {"蟬": "Cicada", "鳥類": "Bird"}
    reading = read(tmp_path, data({"wav": "a", "labels": ["蟬", "鳥類"]}), encoding=encoding, class_names=names)
    assert labels_of(reading) == [{"Cicada": 1.0, "Bird": 1.0}]
    assert reading.facts["encoding of train.json"] == encoding


named = st.lists(
    st.tuples(st.sampled_from(["Cicada", "Bird", "Aircraft", "Speech", "/m/09x0r", "蛙"]), st.floats(0.001, 1)),
    max_size=4,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.none() | named, min_size=1, max_size=8), st.booleans())
def test_round_trip(several: list[list[tuple[str, float]] | None], as_text: bool) -> None:
    entries: list[dict[str, object]] = []
    expected = []
    for i, entry in enumerate(several):
        entries.append({"wav": f"{i}.wav"})
        if entry is None:
            expected.append(None)
            continue
        names = [name for name, _ in entry]
        entries[-1] |= {"labels": ",".join(names) if as_text else names, "weights": [weight for _, weight in entry]}
        classes = {"/m/09x0r": "Speech", "蛙": "Bird"}
        weights: dict[str, float] = {}
        for name, weight in entry:
            weights[classes.get(name, name)] = max(weight, weights.get(classes.get(name, name), 0))
        expected.append(weights)
    with tempfile.TemporaryDirectory() as folder:
        assert labels_of(read(Path(folder), data(*entries))) == expected


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["Bird", "a.wav", ",", "", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["wav", "labels", "weights"]), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60) | values.map(lambda value: json.dumps({"data": [value]}).encode()))
def test_any_content_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "train.json").write_bytes(content)
        source = JsonSource(format="json", audio="audio", manifests="train.json")
        try:
            reading = json_manifest.read(source, CLASSES, {"data": Path(folder)}, [])
        except InputError:
            return
        assert reading.records


def test_without_classes_labels_are_not_read(tmp_path: Path) -> None:
    """Manifests of self-supervised training hold a dummy label on every entry."""
    (tmp_path / "a.json").write_text(json.dumps(data({"wav": "a.pt", "labels": "dummy"}, {"wav": "b.pt"})))
    source = JsonSource(format="json", audio="audio", manifests="a.json")
    reading = json_manifest.read(source, Vocabulary(()), {"data": tmp_path}, [])
    assert labels_of(reading) == [None, None]
    assert reading.warnings == []
