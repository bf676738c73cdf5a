"""From settings, sources and files to a manifest, and every message on the way."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from helpers import SHARED, needs_shared
from tymbal.config.data import Dataset, Source
from tymbal.errors import InputError
from tymbal.files import sha256
from tymbal.ingest.manifest import class_names, labels, read_manifest, write_manifest
from tymbal.ingest.match import READERS, list_clips, match
from tymbal.ingest.measure import measure
from tymbal.ingest.prepare import Prepared, assemble
from tymbal.ingest.problems import COPIES, MISSING, NOT_FINITE, TOO_SHORT, TRUNCATED, UNREADABLE, require_none
from tymbal.roots import locate

TAGS = {"format": "tags", "table": "birds/tags.csv", "audio": "birds/audio", "site_column": None}
LIST = {"format": "list", "audio": "birds/audio"}
QUARANTINE = {"on_bad_clip": "quarantine", "max_bad_share": 0.5}


def add_audio(path: Path, seed: int, seconds: float = 0.5, rate: int = 8000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(path, noise, rate)


def dataset(source: dict[str, Any] = TAGS, **settings: Any) -> Dataset:
    labelled = {"task": "multi-label", "classes": ["A", "B"], "split": {"scheme": "holdout"}}
    return Dataset.model_validate({"source": source} | ({} if source["format"] == "list" else labelled) | settings)


def prepare(root: Path, settings: Dataset, path_map: dict[str, str] | None = None) -> Prepared:
    roots = {"data": root, "synth": root / "resources", "nas": root / "nas"}
    files = list_clips(settings, "birds", roots)
    matched = match(settings, "birds", roots, path_map or {}, files)
    measured = measure(locate(matched.audio, roots), sorted(matched.records), settings.features, threads=2)
    return assemble(settings, matched, measured)


def ready(root: Path, settings: Dataset) -> pd.DataFrame:
    prepared = prepare(root, settings)
    assert prepared.problems == []
    return prepared.manifest


def refused(root: Path, settings: Dataset) -> dict[str, list[str]]:
    """Kind of problem -> its cases."""
    return {problem.kind: list(problem.cases) for problem in prepare(root, settings).problems}


def tag_table(root: Path, *rows: str, header: str = "FileName,MainTag_A,MainTag_B") -> None:
    (root / "birds").mkdir(exist_ok=True)
    (root / "birds" / "tags.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def birds(root: Path, *stems: str, labels: str = "1,0") -> Path:
    """Files of half a second with different content, and a table of them; gives the audio folder."""
    for seed, stem in enumerate(stems):
        add_audio(root / "birds" / "audio" / f"{stem}.wav", seed)
    tag_table(root, *(f"{stem},{labels}" for stem in stems))
    return root / "birds" / "audio"


# --- the manifest -----------------------------------------------------------------------------------------


def test_tag_table_to_manifest_byte_for_byte(tmp_path: Path) -> None:
    audio = tmp_path / "birds" / "audio"
    add_audio(audio / "S2_20240105_053000_2.wav", 1, rate=16000, channels=2)
    add_audio(audio / "deep" / "S1_a_1.FLAC", 2, seconds=1.25)
    add_audio(audio / "S2_20240105_053000_1.wav", 3)
    tag_table(
        tmp_path,
        "S2_20240105_053000_2,East,dusk,0,",
        "S1_a_1.wav,West,,1,1",
        "S2_20240105_053000_1.WAV,,noon,0,1",
        header="FileName,Site,Light,MainTag_蟬,SubTag_Bird",
    )
    source = TAGS | {"site_column": "Site", "class_names": {"Bird": "鳥"}, "columns": ["Light"]}
    path = tmp_path / "manifest.csv"
    write_manifest(ready(tmp_path, dataset(source, classes=["鳥", "蟬"])), path)
    hashes = [sha256(file) for file in sorted(audio.rglob("*.*"))]
    stem = "S2_20240105_053000"
    # A blank Site cell is not filled from the name, as one place would have two names.
    assert path.read_text(encoding="utf-8") == (
        "clip_id,root,path,start_s,duration_s,recording,site,recorded_at,segment,fold,sample_rate,channels,sha256,Light,"
        "label:鳥,label:蟬\n"
        f"{stem}_1,data,birds/audio/{stem}_1.wav,0.0,0.5,{stem},,2024-01-05T05:30:00,1,,8000,1,{hashes[0]},noon,0.6,0.0\n"
        f"{stem}_2,data,birds/audio/{stem}_2.wav,0.0,0.5,{stem},East,2024-01-05T05:30:00,2,,16000,2,{hashes[1]},dusk,,\n"
        f"deep/S1_a_1,data,birds/audio/deep/S1_a_1.FLAC,0.0,1.25,S1_a,West,,1,,8000,1,{hashes[2]},,0.6,1.0\n"
    )


def test_the_manifest_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    birds(tmp_path, "a", "b", "c")
    rows = ["a,1,0", "b,0,1", "c,0,0"]
    manifests = []
    for order in (rows, rows[::-1]):
        tag_table(tmp_path, *order)
        manifests.append(ready(tmp_path, dataset()))
    pd.testing.assert_frame_equal(*manifests)


def test_a_synthesised_data_set_is_a_tag_table_of_its_own_root(tmp_path: Path) -> None:
    folder = tmp_path / "resources" / "birds"
    add_audio(folder / "audio" / "SITE01_20240301_050000_1.flac", 1)
    (folder / "tags.csv").write_text("FileName,Site,MainTag_A,SubTag_B\nSITE01_20240301_050000_1.flac,SITE01,1,1\n")
    [row] = ready(tmp_path, dataset({"format": "synth"})).to_dict("records")
    assert (row["root"], row["path"]) == ("synth", "birds/audio/SITE01_20240301_050000_1.flac")
    assert (row["recording"], row["site"], row["segment"]) == ("SITE01_20240301_050000", "SITE01", "1")
    assert (row["label:A"], row["label:B"]) == (1.0, 0.6)


def test_a_folder_a_class(tmp_path: Path) -> None:
    # The last path ends like the first: only the whole path tells them apart.
    for seed, file in enumerate(["A/x_1.wav", "B/x_1.wav", "A,B/y.wav", "B/A/x_1.wav"]):
        add_audio(tmp_path / "clips" / file, seed)
    manifest = ready(tmp_path, dataset({"format": "folders", "audio": "clips"}))
    assert manifest["clip_id"].tolist() == ["A,B/y", "A/x_1", "B/A/x_1", "B/x_1"]
    assert manifest["recording"].tolist() == ["y", "x", "x", "x"]
    np.testing.assert_array_equal(labels(manifest), [[1, 1], [1, 0], [0, 1], [0, 1]])


def test_a_folder_without_labels(tmp_path: Path) -> None:
    for seed, file in enumerate(["x.wav", "s1/x.wav", "s2/y.wav"]):
        add_audio(tmp_path / "birds" / "audio" / file, seed)
    prepared = prepare(tmp_path, dataset(LIST))
    assert prepared.problems == []
    assert prepared.manifest["clip_id"].tolist() == ["s1/x", "s2/y", "x"]
    assert class_names(prepared.manifest) == []
    assert prepared.summary["unlabelled"] == 3


def test_features_as_files(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    for i in (1, 2):
        torch.save(
            {"x": torch.randn(98, 128).half(), "y": torch.ones(9)}, tmp_path / "specs" / f"S1_20240105_053000_{i}.pt"
        )
    torch.save({"audio_conf": {"mean": -7.0}}, tmp_path / "specs" / "dataset_config.pt")
    entries = [
        {"wav": r"D:\field\S1_20240105_053000_1.pt", "labels": "A"},
        {"wav": "/remote/S1_20240105_053000_2.wav", "labels": ["A", "B"], "weights": [1.0, 0.6]},
    ]
    (tmp_path / "m.json").write_text(json.dumps({"data": entries}))
    source = {"format": "json", "manifests": "m.json", "audio": "specs"}
    manifest = ready(tmp_path, dataset(source, features={"normalised": None}))
    assert manifest["path"].tolist() == ["specs/S1_20240105_053000_1.pt", "specs/S1_20240105_053000_2.pt"]
    assert manifest["duration_s"].tolist() == [0.995, 0.995]
    np.testing.assert_allclose(labels(manifest), [[1, 0], [1, 0.6]])


def test_given_parts_and_columns_reach_the_manifest(tmp_path: Path) -> None:
    birds(tmp_path, "a_1", "b_1")
    tag_table(tmp_path, "a_1,train,7,1,0", "b_1,test,,0,1", header="FileName,part,speaker,MainTag_A,MainTag_B")
    source = TAGS | {"fold_column": "part", "columns": ["speaker"]}
    pattern = r"(?P<recording>(?P<speaker>.)_(?P<take>\d))"
    manifest = ready(tmp_path, dataset(source, name_patterns=[pattern]))
    assert manifest["fold"].tolist() == ["train", "test"]
    assert manifest["speaker"].tolist() == ["7", ""]  # the column of the table, whole
    assert manifest["take"].tolist() == ["1", "1"]


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
    official = {"scheme": "official", "n_folds": 5}
    manifest = ready(SHARED / "data", dataset(source, classes=classes, task="single-label", split=official))

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
    read = read_manifest(tmp_path / "manifest.csv")
    pd.testing.assert_frame_equal(read, manifest, check_exact=True, check_dtype=False)


# --- what was done is counted -----------------------------------------------------------------------------


def test_everything_is_counted(tmp_path: Path) -> None:
    birds(tmp_path, "S1_20240105_053000_1", "S1_20240105_053000_2", "deep/x", "spare")
    tag_table(tmp_path, "S1_20240105_053000_1,1,0", "z/S1_20240105_053000_2,0,0", "deep/x,1,1", "deep/x.wav,1,1")
    summary = prepare(tmp_path, dataset()).summary
    figures = {key: value for key, value in summary.items() if key not in ("facts", "warnings")}
    assert figures == {
        "n_clips": 3,
        "n_files": 3,
        "hours": 0.0004,
        "recordings": 2,
        "sites": 1,
        "unlabelled": 1,
        "n_quarantined": 0,
        "share_quarantined": 0.0,
        "quarantined_by_kind": {},
    }
    facts = summary["facts"]
    assert facts["files found by path_map"] == 0
    assert facts["files found by folders and name"] == 1
    assert facts["files found by name only"] == 2
    assert facts["rows that repeat another row"] == 1
    assert facts["files in the folder that the source does not mention, not used"] == 1
    assert facts["file names of pattern 1 in `name_patterns`"] == 2
    assert facts["file names of pattern 2 in `name_patterns`"] == 1
    assert facts["encoding of tags.csv"] == "utf-8"
    assert [line for line in summary["warnings"] if "repeat" in line] == [
        "rows that repeat another row, read once: 1: tags.csv row 5 (as tags.csv row 4)"
    ]
    json.dumps(summary, allow_nan=False)


def test_one_manifest_on_every_machine_by_path_map_and_roots(tmp_path: Path) -> None:
    """The laptop's, the WSL's and the container's way to the same two files, which names alone cannot tell apart."""
    for seed, site in enumerate(("s1", "s2")):
        add_audio(tmp_path / "nas" / "2024" / "old" / site / "A.wav", seed)
        add_audio(tmp_path / "nas" / "2024" / "new" / site / "A.wav", seed + 2)
    source = {"format": "json", "manifests": "m.json", "audio": "nas:2024"}
    paths = [rf"D:\field\{site}\A.pt" for site in ("s1", "s2")]
    entries = [{"wav": path, "labels": label} for path, label in zip(paths, "AB", strict=True)]
    (tmp_path / "m.json").write_text(json.dumps({"data": entries}))

    ambiguous = prepare(tmp_path, dataset(source)).problems
    assert [(problem.kind, len(problem.cases)) for problem in ambiguous] == [("ambiguous file names", 2)]
    prepared = prepare(tmp_path, dataset(source), {"D:/field": "nas:2024/new"})
    assert prepared.manifest["path"].tolist() == ["2024/new/s1/A.wav", "2024/new/s2/A.wav"]
    assert set(prepared.manifest["root"]) == {"nas"}
    assert prepared.summary["facts"]["files found by path_map"] == 2


# --- what is wrong ----------------------------------------------------------------------------------------


def test_all_problems_by_kind_with_what_to_do(tmp_path: Path) -> None:
    audio = birds(tmp_path, "ok_1", "s1/twice_1", "s2/twice_1", "odd", "cut_1", "nan_1", "d_20241399_053000_1")
    add_audio(audio / "both_1.wav", 50)
    add_audio(audio / "both_1.flac", 51)
    for stem in ("same_1", "same_2", "like_1", "like_2"):
        add_audio(audio / f"{stem}.wav", 98 + ("like" in stem))
    (audio / "zero_1.wav").touch()
    (audio / "text_1.wav").write_text("not audio")
    add_audio(audio / "sliver_1.wav", 0, seconds=1 / 8000)
    (audio / "cut_1.wav").write_bytes((audio / "cut_1.wav").read_bytes()[:-100])
    soundfile.write(audio / "nan_1.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
    stems = ["gone_1", "ok_1", "twice_1", "both_1.wav", "same_1", "same_2", "zero_1", "text_1", "odd", "sliver_1"]
    stems += ["cut_1", "nan_1", "d_20241399_053000_1", "like_1"]
    tag_table(tmp_path, *(f"{stem},1,0" for stem in stems), "like_2,0,1", "ok_1,0,1")
    settings = dataset(name_patterns=[r"(?P<recording>d_(?P<date>\d{8})_\d+)_\d", r"(?P<recording>.+)_\d"])
    problems = refused(tmp_path, settings)

    text = problems[UNREADABLE].pop(0)
    assert text.startswith("text_1.wav (tags.csv row 9): not readable as audio")
    assert problems == {
        MISSING: ["gone_1 (tags.csv row 2)"],
        UNREADABLE: ["zero_1.wav (tags.csv row 8): 0 bytes"],
        TRUNCATED: ["cut_1.wav (tags.csv row 12): 100 bytes of samples are missing at its end"],
        TOO_SHORT: ["sliver_1.wav (tags.csv row 11): 1 sample, 0.1 ms, expected at least 25 ms"],
        NOT_FINITE: ["nan_1.wav (tags.csv row 13): the sample at 0.0000 s is not a finite number"],
        COPIES: ["same_2.wav (tags.csv row 7): as same_1.wav"],
        "ambiguous file names": [
            "tags.csv row 4: 'twice_1' may be s1/twice_1.wav or s2/twice_1.wav",
            "tags.csv row 5: 'both_1.wav' may be both_1.flac or both_1.wav",
        ],
        "files described more than once": ["ok_1.wav: tags.csv row 3 and tags.csv row 17 differ"],
        "files with the same content and different labels": ["like_1.wav = like_2.wav"],
        "file names that no pattern of `name_patterns` matches": ["odd.wav"],
        "file names whose recording, date or time cannot be": [
            "d_20241399_053000_1.wav: date '20241399' cannot be (month must be in 1..12)"
        ],
    }
    prepared = prepare(tmp_path, settings)
    with pytest.raises(InputError) as error:
        require_none("data set birds", prepared.problems)
    assert str(error.value).count("What to do: ") == len(problems)
    assert "data set birds: missing files: 1 problem\n  - gone_1 (tags.csv row 2)\nWhat to do: " in str(error.value)
    # What is not concerned is there, for those who look on.
    assert {"ok_1", "same_1"} <= set(prepared.manifest["clip_id"])


def test_two_folders_given_for_one_file_are_not_equal_rows(tmp_path: Path) -> None:
    birds(tmp_path, "s1/a")
    tag_table(tmp_path, "s1/a,1,0", "s2/a,1,0")
    assert refused(tmp_path, dataset()) == {
        "missing files": ["s2/a (tags.csv row 3): there is s1/a.wav, in another folder"]
    }


def test_single_label_needs_exactly_one_class_of_full_weight(tmp_path: Path) -> None:
    birds(tmp_path, "a", "b", "c", "d")
    tag_table(tmp_path, "a,1,0,0", "b,1,1,0", "c,0,0,1", "d,0,0,0", header="FileName,MainTag_A,MainTag_B,SubTag_B")
    assert refused(tmp_path, dataset(task="single-label")) == {
        "labelled clips without exactly one class of weight 1.0": ["b: A 1, B 1", "c: B 0.6"]
    }


def test_a_channel_that_a_file_does_not_have(tmp_path: Path) -> None:
    audio = birds(tmp_path, "a", "b")
    add_audio(audio / "b.wav", 9, channels=2)
    assert refused(tmp_path, dataset(channel=2)) == {"files without the channel that is wanted": ["a.wav: 1 of 2"]}
    assert refused(tmp_path, dataset(channel=1)) == {}


def test_a_recording_named_by_the_source_wins_over_the_files_name(tmp_path: Path) -> None:
    add_audio(tmp_path / "audio" / "x.wav", 1)
    add_audio(tmp_path / "audio" / "y.wav", 2)
    (tmp_path / "esc.csv").write_text("filename,fold,category,src_file\nx.wav,1,A,7\ny.wav,2,B,7\n")
    source = {"format": "esc", "table": "esc.csv", "audio": "audio"}
    prepared = prepare(tmp_path, dataset(source, task="single-label", name_patterns=["(?P<recording>z)"]))
    assert prepared.problems == []
    assert prepared.manifest["recording"].tolist() == ["7", "7"]
    assert prepared.manifest["fold"].tolist() == ["1", "2"]
    assert prepared.summary["facts"]["file names of no pattern"] == 2


def test_a_folder_without_any_file_of_the_kind(tmp_path: Path) -> None:
    birds(tmp_path, "a")
    with pytest.raises(InputError, match=r"no \.pt file in .*`features` tells whether"):
        prepare(tmp_path, dataset(features={}))


# --- quarantine -------------------------------------------------------------------------------------------


def test_bad_files_go_to_the_quarantine_and_are_listed(tmp_path: Path) -> None:
    audio = birds(tmp_path, "a", "b", "c", "d", "e", "f")
    (audio / "b.wav").write_bytes(b"")
    (audio / "c.wav").write_bytes((audio / "a.wav").read_bytes())
    (audio / "d.wav").unlink()
    assert set(refused(tmp_path, dataset())) == {MISSING, UNREADABLE, COPIES}
    prepared = prepare(tmp_path, dataset(**QUARANTINE))
    assert prepared.problems == []
    assert prepared.manifest["clip_id"].tolist() == ["a", "e", "f"]
    assert prepared.quarantine.to_dict("records") == [
        {"file": "b.wav", "where": "tags.csv row 3", "kind": UNREADABLE, "reason": "0 bytes"},
        {"file": "c.wav", "where": "tags.csv row 4", "kind": COPIES, "reason": "as a.wav"},
        {"file": "d", "where": "tags.csv row 5", "kind": MISSING, "reason": ""},
    ]
    assert prepared.summary["n_quarantined"] == 3
    assert prepared.summary["share_quarantined"] == 0.5
    assert prepared.summary["quarantined_by_kind"] == {MISSING: 1, UNREADABLE: 1, COPIES: 1}


def test_more_bad_files_than_allowed_stop_with_all_of_them(tmp_path: Path) -> None:
    audio = birds(tmp_path, "a", "b", "c", "d")
    (audio / "b.wav").write_bytes(b"")
    (audio / "c.wav").unlink()
    [(kind, cases)] = refused(tmp_path, dataset(on_bad_clip="quarantine", max_bad_share=0.4)).items()
    assert kind == "more bad files than `max_bad_share` allows: 2 of 4 (50 %), expected at most 40 %"
    assert cases == ["missing files: c (tags.csv row 4)", "unreadable files: b.wav (tags.csv row 3): 0 bytes"]


def test_copies_with_different_labels_and_ambiguous_names_are_never_quarantined(tmp_path: Path) -> None:
    audio = birds(tmp_path, "a", "b", "c", "d", "s1/x", "s2/x")
    (audio / "b.wav").write_bytes((audio / "a.wav").read_bytes())
    tag_table(tmp_path, "a,1,0", "b,0,1", "c,1,0", "d,1,0", "x,1,0")
    assert set(refused(tmp_path, dataset(**QUARANTINE))) == {
        "files with the same content and different labels",
        "ambiguous file names",
    }


def test_nothing_is_left_of_a_data_set_without_a_good_file(tmp_path: Path) -> None:
    (birds(tmp_path, "a") / "a.wav").write_text("not audio")
    prepared = prepare(tmp_path, dataset())
    assert [problem.kind for problem in prepared.problems] == [UNREADABLE]
    assert len(prepared.manifest) == 0


# --- windows ----------------------------------------------------------------------------------------------


def windowed(labels: str, **windows: Any) -> dict[str, Any]:
    return {"windows": {"length_s": 1.0, "labels": labels} | windows}


def test_recordings_are_cut_into_windows_with_the_labels_heard_in_them(tmp_path: Path) -> None:
    audio = tmp_path / "birds" / "audio"
    add_audio(audio / "x.wav", 1, seconds=3.25)
    add_audio(audio / "y.wav", 2, seconds=0.5)
    (tmp_path / "long.csv").write_text("file,label,start,end\nx,A,0.2,0.9\nx,B,1.5,2.5\nx,B,3.1,3.2\ny,A,0,0.5\n")
    source = {
        "format": "long",
        "table": "long.csv",
        "audio": "birds/audio",
        "start_column": "start",
        "end_column": "end",
    }
    prepared = prepare(tmp_path, dataset(source, **windowed("events")))
    assert prepared.problems == []
    manifest = prepared.manifest
    assert manifest["clip_id"].tolist() == ["x@0.000", "x@1.000", "x@2.000"]
    assert manifest["start_s"].tolist() == [0, 1, 2]
    assert manifest["duration_s"].tolist() == [1, 1, 1]
    assert set(manifest["sha256"]) == {sha256(audio / "x.wav")}
    np.testing.assert_array_equal(labels(manifest), [[1, 0], [0, 1], [0, 1]])
    facts = prepared.summary["facts"]
    assert (facts["files too short for a clip"], facts["labels that no clip has"]) == (1, 2)
    told = "\n".join(prepared.warnings)
    assert "files shorter than a clip, which give none but with `windows.last` keep: 1: y.wav" in told
    assert "labels that no clip has, as they overlap none by enough: 2: x.wav at 3.1 s, y.wav at 0 s" in told
    assert prepared.summary["n_files"] == 1


def test_labels_of_whole_recordings_on_windows_are_told(tmp_path: Path) -> None:
    audio = birds(tmp_path, "a", "b")
    add_audio(audio / "a.wav", 5, seconds=2)
    tag_table(tmp_path, "a,1,0", "b,0,0")
    prepared = prepare(tmp_path, dataset(**windowed("recording", last="keep")))
    assert prepared.manifest["clip_id"].tolist() == ["a@0.000", "a@1.000", "b@0.000"]
    np.testing.assert_array_equal(labels(prepared.manifest), [[1, 0], [1, 0], [np.nan, np.nan]])
    told = "clips with all labels of their recording, also of sounds that are not in them: 2"
    assert told in prepared.warnings


def test_labels_after_the_end_of_a_file_are_told(tmp_path: Path) -> None:
    add_audio(tmp_path / "birds" / "audio" / "x.wav", 1, seconds=2)
    (tmp_path / "long.csv").write_text("file,label,start,end\nx,A,0,1\nx,B,1.5,9\nx,B,2,3\n")
    columns = {"start_column": "start", "end_column": "end"}
    source = {"format": "long", "table": "long.csv", "audio": "birds/audio"} | columns
    assert refused(tmp_path, dataset(source, **windowed("events"))) == {
        "labels after the end of their file": ["x.wav (long.csv row 2): 2 to 3 s of 2 s"]
    }
    (tmp_path / "long.csv").write_text("file,label,start,end\nx,A,0,1\nx,B,1.5,9\n")
    prepared = prepare(tmp_path, dataset(source, **windowed("events")))
    assert "labels that go on after the end of their file, cut there: 1: x.wav: 9 s of 2 s" in prepared.warnings


def test_without_a_clip_nothing_goes_on(tmp_path: Path) -> None:
    birds(tmp_path, "a", "b")
    tag_table(tmp_path, "a,1,0", "b,0,1")
    settings = dataset(windows={"length_s": 60, "labels": "recording"})
    assert refused(tmp_path, settings) == {"no clip is left": ["none of 2 files gives a clip"]}


# --- names only -------------------------------------------------------------------------------------------


def test_every_format_of_the_settings_has_a_reader() -> None:
    formats = {arm.model_fields["format"].annotation for arm in get_args(get_args(Source)[0])}
    assert {get_args(literal)[0] for literal in formats} == {*READERS, "synth", "mixtures"}


def test_nothing_on_disk_is_looked_at_to_match(tmp_path: Path) -> None:
    tag_table(tmp_path, "a,1,0", "b,0,1")
    settings = dataset()
    matched = match(settings, "birds", {"data": tmp_path}, {}, ["a.wav", "c.wav"])
    assert list(matched.records) == ["a.wav"]
    assert [bad.file for bad in matched.missing] == ["b"]
    assert (matched.audio, matched.classes, matched.n_records) == ("birds/audio", ("A", "B"), 2)


def test_what_was_not_measured_is_our_own_mistake(tmp_path: Path) -> None:
    tag_table(tmp_path, "a,1,0", "b,0,1")
    matched = match(dataset(), "birds", {"data": tmp_path}, {}, ["a.wav", "b.wav"])
    measured = measure(tmp_path, ["a.wav"], None, threads=1)
    with pytest.raises(AssertionError, match="not measured"):
        assemble(dataset(), matched, measured)
