"""From settings, tables and audio to a manifest, and every message on the way."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers import SHARED, needs_shared
from tymbal.config import Dataset
from tymbal.errors import InputError
from tymbal.files import sha256
from tymbal.ingest.manifest import class_names, labels, read_manifest, write_manifest
from tymbal.ingest.prepare import prepare_manifest

HOLDOUT = {"scheme": "holdout"}
TAGS = {"format": "tags", "table": "birds/tags.csv", "audio": "birds/audio", "site_column": None}


def add_audio(path: Path, seed: int, seconds: float = 0.5, rate: int = 8000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(path, noise, rate)


def dataset(source: dict[str, Any], classes: list[str], task: str = "multi-label", **settings: Any) -> Dataset:
    return Dataset.model_validate({"source": source, "task": task, "classes": classes, "split": HOLDOUT} | settings)


def prepare(root: Path, settings: Dataset, name: str = "birds") -> pd.DataFrame:
    return prepare_manifest(settings, name, {"data": root, "synth": root}, threads=2)


def tag_table(root: Path, text: str) -> None:
    (root / "birds").mkdir(exist_ok=True)
    (root / "birds" / "tags.csv").write_text(text, encoding="utf-8")


def refused(root: Path, settings: Dataset) -> str:
    with pytest.raises(InputError) as error:
        prepare(root, settings)
    return str(error.value)


def test_tag_table_to_manifest_byte_for_byte(tmp_path: Path) -> None:
    audio = tmp_path / "birds" / "audio"
    add_audio(audio / "S2_b_2.wav", 1, rate=16000, channels=2)
    add_audio(audio / "deep" / "S1_a_1.FLAC", 2, seconds=1.25)
    add_audio(audio / "S2_b_1.wav", 3)
    tag_table(
        tmp_path,
        "FileName,Site,MainTag_蟬,SubTag_Bird\nS2_b_2,East,0,\nS1_a_1.wav,West,1,1\nS2_b_1.WAV,,0,1\n",
    )
    settings = dataset(
        TAGS | {"site_column": "Site", "class_names": {"Bird": "鳥"}},
        ["鳥", "蟬"],
        name_pattern=r"(?P<recording>(?P<site>S\d)_.+?)_\d+",
    )
    path = tmp_path / "manifest.csv"
    write_manifest(prepare(tmp_path, settings), path)
    hashes = [sha256(audio / name) for name in ("S2_b_1.wav", "S2_b_2.wav", "deep/S1_a_1.FLAC")]
    # A blank Site cell leaves the site to the name.
    assert path.read_text(encoding="utf-8") == (
        "clip_id,root,path,recording,site,fold,duration_s,sample_rate,channels,sha256,label:鳥,label:蟬\n"
        f"S2_b_1,data,birds/audio/S2_b_1.wav,S2_b,S2,,0.5,8000,1,{hashes[0]},0.6,0.0\n"
        f"S2_b_2,data,birds/audio/S2_b_2.wav,S2_b,East,,0.5,16000,2,{hashes[1]},,\n"
        f"deep/S1_a_1,data,birds/audio/deep/S1_a_1.FLAC,S1_a,West,,1.25,8000,1,{hashes[2]},0.6,1.0\n"
    )


def test_the_manifest_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    for seed, stem in enumerate("abc"):
        add_audio(tmp_path / "birds" / "audio" / f"{stem}.wav", seed)
    rows = ["a,1,0\n", "b,0,1\n", "c,0,0\n"]
    frames = []
    for order in (rows, rows[::-1]):
        tag_table(tmp_path, "FileName,MainTag_A,MainTag_B\n" + "".join(order))
        frames.append(prepare(tmp_path, dataset(TAGS, ["A", "B"])))
    pd.testing.assert_frame_equal(*frames)


def test_a_synthesised_data_set_is_a_tag_table_of_its_own_root(tmp_path: Path) -> None:
    add_audio(tmp_path / "resources" / "embedded" / "audio" / "SITE01_20240301_0500_1.flac", 1)
    (tmp_path / "resources" / "embedded" / "tags.csv").write_text(
        "FileName,Site,MainTag_A,SubTag_B\nSITE01_20240301_0500_1.flac,SITE01,1,1\n"
    )
    settings = dataset({"format": "synth"}, ["A", "B"])
    roots = {"data": tmp_path / "none", "synth": tmp_path / "resources"}
    [row] = prepare_manifest(settings, "embedded", roots).to_dict("records")
    assert (row["root"], row["path"]) == ("synth", "embedded/audio/SITE01_20240301_0500_1.flac")
    assert (row["recording"], row["site"]) == ("SITE01_20240301_0500", "SITE01")
    assert (row["label:A"], row["label:B"]) == (1.0, 0.6)


def test_a_folder_a_class(tmp_path: Path) -> None:
    # The last path ends like the first: only the whole path tells them apart.
    for seed, file in enumerate(["A/x_1.wav", "B/x_1.wav", "A,B/y.wav", "B/A/x_1.wav"]):
        add_audio(tmp_path / "clips" / file, seed)
    manifest = prepare(tmp_path, dataset({"format": "folders", "audio": "clips"}, ["A", "B"]))
    assert manifest["clip_id"].tolist() == ["A,B/y", "A/x_1", "B/A/x_1", "B/x_1"]
    assert manifest["recording"].tolist() == ["y", "x", "x", "x"]
    np.testing.assert_array_equal(labels(manifest), [[1, 1], [1, 0], [0, 1], [0, 1]])


def test_all_problems_with_clips_in_one_message_by_kind(tmp_path: Path) -> None:
    audio = tmp_path / "birds" / "audio"
    for seed, file in enumerate(
        ["ok_1.wav", "s1/twice_1.wav", "s2/twice_1.wav", "both_1.wav", "both_1.flac", "odd.wav"]
    ):
        add_audio(audio / file, seed)
    for file in ("same_1.wav", "same_2.wav"):
        add_audio(audio / file, 99)
    (audio / "zero_1.wav").touch()
    add_audio(audio / "header_1.wav", 0, seconds=0)
    (audio / "text_1.wav").write_text("not audio")
    stems = ["gone_1", "ok_1", "twice_1", "both_1.wav", "same_1", "same_2", "zero_1", "header_1", "text_1", "odd"]
    tag_table(tmp_path, "FileName,MainTag_A,MainTag_B\n" + "".join(f"{s},1,0\n" for s in stems) + "ok_1,0,1\n")
    message = refused(tmp_path, dataset(TAGS, ["A", "B"], name_pattern=r"(?P<recording>.+)_\d"))

    place = f"data set birds (audio in {audio}): "
    kinds = [line.removeprefix(place) for line in message.splitlines() if line.startswith(place)]
    assert kinds == [
        "missing audio files: 1 problem",
        "ambiguous audio files: 2 problems",
        "audio files described more than once: 1 problem",
        "file names that `name_pattern` does not match: 1 problem",
        "empty, too short or unreadable audio files: 3 problems",
        "audio files with the same content: 1 problem",
    ]
    assert message.count("What to do: ") == len(kinds)
    for line in (
        "tags.csv row 2: 'gone_1'",
        "tags.csv row 4: 'twice_1' may be s1/twice_1.wav or s2/twice_1.wav",
        "tags.csv row 5: 'both_1.wav' may be both_1.flac or both_1.wav",
        "ok_1.wav: tags.csv row 3 and tags.csv row 12 differ",
        "odd.wav",
        "zero_1.wav: 0 bytes",
        "header_1.wav: holds no samples",
        "same_1.wav = same_2.wav",
    ):
        assert f"  - {line}\n" in message
    assert "  - text_1.wav: not readable as audio" in message


def test_equal_rows_are_read_once_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add_audio(tmp_path / "birds" / "audio" / "a.wav", 1)
    tag_table(tmp_path, "FileName,MainTag_A,MainTag_B\na,1,0\na.WAV,1,0\n")
    assert len(prepare(tmp_path, dataset(TAGS, ["A", "B"]))) == 1
    assert "rows that repeat another row, read once: 1: tags.csv row 3 (as tags.csv row 2)" in caplog.text


def test_two_folders_given_for_one_file_are_not_equal_rows(tmp_path: Path) -> None:
    add_audio(tmp_path / "birds" / "audio" / "s1" / "a.wav", 1)
    tag_table(tmp_path, "FileName,MainTag_A,MainTag_B\ns1/a,1,0\ns2/a,1,0\n")
    assert "s1/a.wav: tags.csv row 2 and tags.csv row 3 differ" in refused(tmp_path, dataset(TAGS, ["A", "B"]))


def test_unlabelled_and_unmentioned_clips_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for seed, stem in enumerate("abcd"):
        add_audio(tmp_path / "birds" / "audio" / f"{stem}.wav", seed)
    tag_table(tmp_path, "FileName,MainTag_A,MainTag_B\na,1,0\nb,0,0\n")
    with caplog.at_level(logging.INFO):
        manifest = prepare(tmp_path, dataset(TAGS, ["A", "B"]))
    assert np.isnan(labels(manifest)).all(axis=1).tolist() == [False, True]
    assert "audio files that the source does not mention, not used: 2" in caplog.text
    assert "2 clips, 0.00 h, of 2 recordings at 0 sites; unlabelled: 1" in caplog.text


def test_single_label_needs_exactly_one_class_of_full_weight(tmp_path: Path) -> None:
    for seed, stem in enumerate("abcd"):
        add_audio(tmp_path / "birds" / "audio" / f"{stem}.wav", seed)
    tag_table(tmp_path, "FileName,MainTag_A,MainTag_B,SubTag_B\na,1,0,0\nb,1,1,0\nc,0,0,1\nd,0,0,0\n")
    message = refused(tmp_path, dataset(TAGS, ["A", "B"], task="single-label"))
    assert "labelled clips without exactly one class of weight 1.0: 2 problems" in message
    assert "  - tags.csv row 3: b.wav: A 1, B 1\n  - tags.csv row 4: c.wav: B 0.6\n" in message
    assert "task: multi-label" in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ["A", " A"]}, r"datasets.birds.classes: \['A'\] occur twice"),
        ({"source": TAGS | {"audio": "elsewhere"}}, "audio folder .*elsewhere cannot be listed"),
    ],
)
def test_settings_that_cannot_work(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    add_audio(tmp_path / "birds" / "audio" / "a.wav", 1)
    tag_table(tmp_path, "FileName,MainTag_A,MainTag_B\na,1,0\n")
    with pytest.raises(InputError, match=message):
        prepare(tmp_path, dataset(**({"source": TAGS, "classes": ["A", "B"]} | settings)))


def test_a_recording_named_by_the_source_wins_over_the_files_name(tmp_path: Path) -> None:
    source = {"format": "esc", "table": "esc.csv", "audio": "audio"}
    add_audio(tmp_path / "audio" / "x.wav", 1)
    add_audio(tmp_path / "audio" / "y.wav", 2)
    (tmp_path / "esc.csv").write_text("filename,fold,category,src_file\nx.wav,1,A,7\ny.wav,2,B,7\n")
    manifest = prepare(tmp_path, dataset(source, ["A", "B"], "single-label", name_pattern=r"(?P<recording>z)"))
    assert manifest["recording"].tolist() == ["7", "7"]
    assert manifest["fold"].tolist() == ["1", "2"]


@needs_shared
def test_esc10(tmp_path: Path) -> None:
    classes = [
        "dog_bark",
        "rain",
        "sea_waves",
        "baby_cry",
        "clock_tick",
        "person_sneeze",
        "helicopter",
        "chainsaw",
        "rooster",
        "fire_crackling",
    ]
    source = {"format": "esc", "table": "esc10/meta.csv", "audio": "esc10/audio", "recording_column": "source_id"}
    settings = dataset(source, classes, "single-label", split={"scheme": "official", "n_folds": 5})
    manifest = prepare(SHARED / "data", settings, "esc10")

    assert len(manifest) == 400
    assert class_names(manifest) == classes
    np.testing.assert_array_equal(labels(manifest).sum(axis=0), np.full(10, 40))
    assert manifest["fold"].value_counts().to_dict() == dict.fromkeys("12345", 80)
    assert manifest.groupby("recording")["fold"].nunique().max() == 1
    # Six of these files are not 5 s long; the longest has 7.24 s.
    assert (manifest["duration_s"].sub(5).abs() < 0.05).sum() == 394
    assert manifest["duration_s"].between(3.6, 7.3).all()
    assert set(manifest["sample_rate"]) == {44100}
    write_manifest(manifest, tmp_path / "manifest.csv")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.csv"), manifest, check_exact=True)


def test_clips_shorter_than_a_frame_are_told_with_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "birds" / "audio"
    add_audio(folder / "a.wav", 1)
    soundfile.write(folder / "b.wav", np.ones(300), 16000)
    (folder / "c.wav").touch()
    tag_table(tmp_path, "FileName,MainTag_A,MainTag_B\na,1,0\nb,1,0\nc,0,1\n")
    message = refused(tmp_path, dataset(TAGS, ["A", "B"], name_pattern="(?P<recording>.+)"))
    assert "unreadable audio files: 2 problems" in message
    assert "b.wav: 18.8 ms, shorter than one frame of 25 ms" in message
    assert "c.wav: 0 bytes" in message
