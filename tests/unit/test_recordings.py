"""Which recordings a season has, what is told of them before they are decoded, and in which parts they are."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tymbal.config.predict import Predict
from tymbal.errors import InputError
from tymbal.predict.kept import read_files
from tymbal.predict.recordings import Outputs, find_recordings, into_shards, list_recordings, read_shard

DAY = 24 * 3600.0


def write(path: Path, seconds: float = 0.1, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * rate)), rate)
    return path


def listed(recordings: Path, out: Path, root: Path | None = None, **settings):
    outputs = Outputs(out / "recordings.csv", out / "shards")
    root = root or (recordings if recordings.is_dir() else recordings.parent)
    list_recordings(find_recordings(recordings, root, {}), root, Predict(**settings), outputs, threads=2)
    return read_files(outputs.recordings).set_index("file")


# --- parts ------------------------------------------------------------------------------------------------


def test_a_season_of_minutes_is_hundreds_of_jobs():
    shards = into_shards({f"{i:06d}.wav": 60.0 for i in range(100_000)}, {}, 8 * 3600)
    assert len(shards) == 209
    assert max(map(len, shards.values())) == 480


SECONDS = st.lists(st.floats(0, 2 * DAY), max_size=40).map(lambda each: {f"f{i}": s for i, s in enumerate(each)})


@given(seconds=SECONDS, most=st.floats(1, DAY))
def test_every_file_is_in_one_part_that_is_not_too_long(seconds, most):
    shards = into_shards(seconds, {}, most)
    assert [file for files in shards.values() for file in files] == list(seconds)
    for files in shards.values():
        assert len(files) == 1 or sum(seconds[file] for file in files) <= most * (1 + 1e-9)


@given(seconds=SECONDS, most=st.floats(1, DAY), late=st.sets(st.integers(0, 39)), gone=st.sets(st.integers(0, 39)))
def test_what_is_added_or_goes_leaves_other_parts_alone(seconds, most, late, gone):
    names = list(seconds)
    first = {name: seconds[name] for i, name in enumerate(names) if i not in late}
    then = {name: seconds[name] for i, name in enumerate(names) if i not in gone}
    before = into_shards(first, {}, most)
    after = into_shards(then, before, most)
    assert sorted(file for files in after.values() for file in files) == sorted(then)
    for shard, files in before.items():
        left = [file for file in files if file in then]
        assert after.get(shard, []) == left


def test_parts_that_have_become_too_long_are_made_anew():
    before = {"0001": ["a", "b", "c"], "0002": ["d"]}
    after = into_shards(dict.fromkeys("abcd", 3600.0), before, 2 * 3600)
    assert after == {"0002": ["d"], "0003": ["a", "b"], "0004": ["c"]}


# --- a folder ---------------------------------------------------------------------------------------------

ODD = [
    "站点\u3000一/SITE01_20240105_053000.wav",
    'a\u00a0b, "c"; d.flac',
    "\u3000x.wav",
    "e\\f.wav",
    "'g'.WAV",
    "n\tt.wav",
]


def test_names_of_all_kinds_are_kept(tmp_path):
    for name in ODD:
        write(tmp_path / "season" / name)
    write(tmp_path / "season" / ".hidden" / "x.wav")
    (tmp_path / "season" / "notes.txt").write_text("no audio")
    table = listed(tmp_path / "season", tmp_path / "out")
    assert sorted(table.index) == sorted(ODD)
    assert all((tmp_path / "season" / name).is_file() for name in table.index)
    assert sorted(read_shard(tmp_path / "out/shards/0001.csv")) == sorted(ODD)
    row = table.loc[ODD[0]]
    assert (row["site"], row["recorded_at"], row["shard"]) == ("SITE01", "2024-01-05T05:30:00", "0001")
    assert (row["duration_s"], row["sample_rate"], row["channels"], row["problem"]) == (0.1, 8000, 1, "")


def test_a_folder_may_tell_the_site(tmp_path):
    write(tmp_path / "season" / "溪邊" / "20240105.wav")
    table = listed(
        tmp_path / "season", tmp_path / "out", name_patterns=[r"(?P<site>.+)/(?P<recording>(?P<date>\d{8}))"]
    )
    assert table[["site", "recorded_at"]].to_numpy().tolist() == [["溪邊", "2024-01-05"]]


@pytest.mark.parametrize(("name", "why"), [(b"caf\xe9.wav", "not UTF-8"), (b"a\nb.wav", "holds a line end")])
def test_a_name_that_no_table_holds_is_refused_with_the_reason(tmp_path, name, why):
    path = tmp_path / "season"
    path.mkdir()
    Path(os.fsdecode(os.fsencode(path) + b"/" + name)).touch()
    with pytest.raises(InputError, match=rf"(?s){why}.*rename"):
        listed(path, tmp_path / "out")


def test_bad_files_are_rows_with_the_reason_and_in_no_part(tmp_path, monkeypatch):
    season = tmp_path / "season"
    write(season / "good.wav")
    (season / "empty.wav").touch()
    (season / "text.wav").write_text("<html>404</html>")
    (season / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (season / "gone.flac").symlink_to("nowhere.flac")
    os.mkfifo(season / "pipe.wav")
    locked = write(season / "locked.wav")
    as_it_is = Path.open

    def refused(self, *arguments, **options):
        if self == locked:  # tests may run as root, whom no permission stops
            raise PermissionError(13, "Permission denied")
        return as_it_is(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    table = listed(season, tmp_path / "out")
    told = table["problem"].to_dict()
    assert told.pop("good.wav") == ""
    assert told.pop("empty.wav") == "is empty: 0 bytes"
    assert told.pop("gone.flac") == "cannot be opened: No such file or directory"
    assert told.pop("pipe.wav") == "is no file"
    assert told.pop("locked.wav") == "cannot be opened: Permission denied"
    assert {name for name, why in told.items() if why.startswith("not readable as audio")} == {"text.wav", "phone.m4a"}
    assert len(told) == 2
    assert table["shard"].to_dict() == dict.fromkeys(table.index, "") | {"good.wav": "0001"}
    assert read_shard(tmp_path / "out/shards/0001.csv") == ["good.wav"]


def test_a_season_without_a_recording_that_can_be_read_is_refused(tmp_path):
    season = tmp_path / "season"
    season.mkdir()
    with pytest.raises(InputError, match="holds no audio files"):
        listed(season, tmp_path / "out")
    (season / "empty.wav").touch()
    with pytest.raises(InputError, match=r"(?s)no recording in .* can be read.*empty\.wav: is empty"):
        listed(season, tmp_path / "out")


def test_added_recordings_touch_no_list_of_before(tmp_path):
    season, out, hour = tmp_path / "season", tmp_path / "out", 1 / 3600
    for name in "bdfh":
        write(season / f"{name}.wav", 1.0)
    assert listed(season, out, job_hours=2 * hour)["shard"].to_list() == ["0001", "0001", "0002", "0002"]
    lists = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (out / "shards").iterdir()}
    table = (out / "recordings.csv").read_bytes()
    listed(season, out, job_hours=2 * hour)
    assert (out / "recordings.csv").read_bytes() == table
    write(season / "a.wav", 1.0)
    write(season / "e.wav", 1.0)
    after = listed(season, out, job_hours=2 * hour)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in lists} == lists
    assert list(after.index) == ["b.wav", "d.wav", "f.wav", "h.wav", "a.wav", "e.wav"]  # in the order of their parts
    assert read_shard(out / "shards/0003.csv") == ["a.wav", "e.wav"]
    (season / "b.wav").unlink()
    write(season / "f.wav", 1.5)
    after = listed(season, out, job_hours=2 * hour)
    assert read_shard(out / "shards/0001.csv") == ["d.wav"]
    assert not (out / "shards/0002.csv").exists()  # longer than a job by now
    assert after["shard"].to_dict()["f.wav"] == "0004"


def test_a_recording_that_is_repaired_is_told_by_its_list(tmp_path):
    season, out = tmp_path / "season", tmp_path / "out"
    for name in "ab":
        write(season / f"{name}.flac")
        soundfile.write(season / f"{name}.flac", np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    whole = (season / "a.flac").read_bytes()
    (season / "a.flac").write_bytes(whole[:-50])
    listed(season, out)
    (season / "a.flac").write_bytes(whole)
    before = (out / "shards/0001.csv").read_bytes()
    listed(season, out)
    after = (out / "shards/0001.csv").read_bytes()
    assert after != before
    os.utime(season / "a.flac", (0, 0))  # copied
    listed(season, out)
    assert (out / "shards/0001.csv").read_bytes() == after


# --- lists and tables -------------------------------------------------------------------------------------


def test_lists_name_files_here_and_elsewhere(tmp_path):
    inner, outer = write(tmp_path / "lists/a/野 外.wav"), write(tmp_path / "disk/b.wav")
    path = tmp_path / "lists" / "season.txt"
    path.write_text(f'a/野 外.wav\r\n\r\n"{outer}"\n../disk/gone.wav\n', encoding="utf-8")
    files = find_recordings(path, path.parent, {})
    assert files == ["a/野 外.wav", str(outer), str(tmp_path / "disk/gone.wav")]
    table = listed(path, tmp_path / "out")
    assert table["problem"].to_list() == ["", "", "cannot be opened: No such file or directory"]
    assert (path.parent / files[0]).samefile(inner)
    path.write_bytes("a/野 外.wav\n".encode("cp950"))
    assert find_recordings(path, path.parent, {}) == ["a/野 外.wav"]
    path.write_text("a/野 外.wav\na/../a/野 外.wav\n", encoding="utf-8")
    with pytest.raises(InputError, match="twice"):
        find_recordings(path, path.parent, {})


@pytest.mark.parametrize(
    "text", ["file,shard\na.wav,1\nb.wav,1\na.wav,2\n", "site;path\nX;a.wav\nY;b.wav\nY;./a.wav\n"]
)
def test_tables_name_files_in_a_column(tmp_path, text):
    for name in "ab":
        write(tmp_path / f"{name}.wav")
    (tmp_path / "season.csv").write_text(text)
    assert find_recordings(tmp_path / "season.csv", tmp_path, {}) == ["a.wav", "b.wav"]


def test_a_manifest_names_files_in_roots(tmp_path):
    path = write(tmp_path / "disk/audio/a.wav")
    rows = "a@0,field,audio/a.wav\na@10,field,audio/a.wav\na@20,field,./audio/a.wav\n"
    (tmp_path / "manifest.csv").write_text(f"clip_id,root,path\n{rows}")
    folders = {"data": tmp_path, "field": tmp_path / "disk"}
    assert find_recordings(tmp_path / "manifest.csv", tmp_path / "results", folders) == [str(path)]
    with pytest.raises(InputError, match="no root 'field'"):
        find_recordings(tmp_path / "manifest.csv", tmp_path, {"data": tmp_path})


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.txt", "\n\n", "names no file"),
        ("a.txt", "x/gone.wav\n", r"none of the 1 files .*x/gone\.wav"),
        ("a.csv", "name\nx.wav\n", "no column 'file' or 'path'"),
        ("a.csv", "file\nx.wav\n", "none of the 1 files"),
    ],
)
def test_what_names_nothing_is_refused(tmp_path, name, text, why):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=why):
        find_recordings(tmp_path / name, tmp_path, {})
