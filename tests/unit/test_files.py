"""Nothing half written is ever seen under a final name."""

import json

import pytest

from tymbal.errors import SHOWN, InputError
from tymbal.files import atomic, fingerprint, read_json, write_json
from tymbal.progress import Progress
from tymbal.seeds import derive


def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "store"
    for content in ("a", "b"):
        with atomic(path) as partial:
            partial.mkdir()
            (partial / content).touch()
    assert [file.name for file in path.iterdir()] == ["b"]


def test_json_refuses_nan_and_names_a_broken_file(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")


def test_fingerprint_ignores_key_order_only():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint(json.loads('{"b": [1, 2], "a": 1}'))
    assert fingerprint([1, 2]) != fingerprint([2, 1])


def test_seeds_by_name_are_stable_and_apart():
    assert derive(0, "order", 1) == 4374215849138048446
    assert len({derive(0, "order", 1), derive(0, "order", 2), derive(1, "order", 1), derive(0, "init")}) == 4


def test_a_long_list_of_problems_is_counted():
    message = str(InputError.listing("manifest", [f"row {i}" for i in range(SHOWN + 7)], "mend them"))
    assert f"{SHOWN + 7} problems" in message
    assert "... and 7 more" in message
    assert message.endswith("What to do: mend them")


def test_progress_tells_items_rate_and_time_left(caplog):
    caplog.set_level("INFO")
    progress = Progress("fbank", 5, "clips", done=1, every_s=0)
    progress.start -= 2.0
    progress.add(2)
    progress.add(2)
    first, last = caplog.messages
    assert first.startswith("fbank 3/5 clips, 1.0/s, 2 s left")
    assert last.startswith("fbank 5/5 clips")
    assert "done in 2 s" in last
