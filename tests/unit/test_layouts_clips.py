"""Readers of public sets of short clips, on small copies of their layouts."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from helpers import REPO, merged_config
from layouts_clips import (
    COMMANDS,
    COPIES,
    ESC10,
    NOISES,
    SPEAKERS,
    WORDS_V1,
    WORDS_V2,
    fsd50k,
    fsdd,
    speech_commands_v1,
    speech_commands_v2,
)
from tymbal.config import load
from tymbal.errors import InputError
from tymbal.ingest.layouts import fsd50k as of_fsd50k
from tymbal.ingest.layouts import fsdd as of_fsdd
from tymbal.ingest.layouts import speech_commands
from tymbal.ingest.layouts.entry import Entry
from tymbal.ingest.lookup import SUFFIXES, list_files
from tymbal.ingest.match import match
from tymbal.ingest.measure import measure
from tymbal.ingest.prepare import assemble
from tymbal.ingest.problems import require_none
from tymbal.split import split_folds

V1, TEST_SET = "speech_commands_v0.01", "speech_commands_test_set_v0.01"


def copy_of(make: Callable[[Path], None], data: Path, name: str) -> tuple[Path, list[str]]:
    """A small copy: its folder and the audio files in it."""
    make(data)
    return data / name, list_files(data / name, SUFFIXES)


def by_file(entries: Sequence[Entry]) -> dict[str, Entry]:
    found = {entry.file: entry for entry in entries}
    assert len(found) == len(entries)
    return found


# --- Speech Commands --------------------------------------------------------------------------------------


def test_lists_tell_the_parts_of_the_second_release_and_speakers_are_whole(tmp_path: Path) -> None:
    folder, files = copy_of(speech_commands_v2, tmp_path, "speech-commands-v2")
    told = speech_commands.read_v2(folder, files)
    found = by_file(told.entries)
    assert set(found) == {file for file in files if not file.startswith("_background_noise_/")}
    assert told.facts == {"background noises, left out": 6}
    assert Counter(entry.fold for entry in told.entries) == dict.fromkeys(("train", "val", "test"), len(WORDS_V2))
    assert {(entry.columns["speaker"], entry.fold) for entry in told.entries} == {(s, p) for p, s in SPEAKERS.items()}
    assert found[f"yes/{SPEAKERS['val']}_nohash_0.wav"] == Entry(
        f"yes/{SPEAKERS['val']}_nohash_0.wav",
        "validation_list.txt row 1",
        ("yes",),
        fold="val",
        recording=f"yes/{SPEAKERS['val']}_nohash_0",
        columns={"speaker": SPEAKERS["val"]},
    )


def test_a_file_that_only_a_list_names_is_told_so_that_it_is_missed(tmp_path: Path) -> None:
    folder, files = copy_of(speech_commands_v2, tmp_path, "speech-commands-v2")
    gone = f"wow/{SPEAKERS['test']}_nohash_0.wav"
    last = speech_commands.read_v2(folder, [file for file in files if file != gone]).entries[-1]
    assert (last.file, last.fold, last.where.split()[0]) == (gone, "test", "testing_list.txt")


def test_the_first_release_tests_on_its_other_archive_and_noises_are_whole(tmp_path: Path) -> None:
    folder, files = copy_of(speech_commands_v1, tmp_path, "speech-commands-v1")
    told = speech_commands.read_v1(folder, files)
    found = by_file(told.entries)
    assert told.facts == {"files of testing_list.txt, left out": len(WORDS_V1)}
    tested = {file for file, entry in found.items() if entry.fold == "test"}
    assert tested == {file for file in files if file.startswith(TEST_SET)}
    assert {found[file].labels for file in tested} == {(word,) for word in (*COMMANDS, "_unknown_", "_silence_")}
    noises = {Path(e.file).stem: e.fold for e in told.entries if e.labels == ("_background_noise_",)}
    assert noises == dict.fromkeys(noises, "train") | {"running_tap": "val"} and len(noises) == 6
    assert f"{V1}/yes/{SPEAKERS['test']}_nohash_0.wav" not in found
    # Each clip without a speaker is a group for itself.
    assert found[f"{TEST_SET}/_silence_/0.wav"].columns == {"speaker": "_silence_/0"}
    assert found[f"{TEST_SET}/_unknown_/{SPEAKERS['test']}_nohash_0.wav.wav"].columns == {"speaker": SPEAKERS["test"]}


def test_the_first_release_without_its_test_set_names_the_archive(tmp_path: Path) -> None:
    folder, files = copy_of(speech_commands_v1, tmp_path, "speech-commands-v1")
    with pytest.raises(InputError, match=r"holds no audio.*speech_commands_test_set_v0\.01\.tar\.gz: unpack it there"):
        speech_commands.read_v1(folder, [file for file in files if file.startswith(V1)])


def test_files_outside_a_words_folder_are_refused_together(tmp_path: Path) -> None:
    folder, files = copy_of(speech_commands_v2, tmp_path, "speech-commands-v2")
    with pytest.raises(InputError) as error:
        speech_commands.read_v2(folder, ["loose.wav", *files, "more/yes/x.wav"])
    assert "2 problems\n  - loose.wav\n  - more/yes/x.wav" in str(error.value)
    with pytest.raises(InputError, match=rf"expected {V1}/WORD/FILE.wav"):
        speech_commands.read_v1(folder, ["yes/a_nohash_0.wav", f"{TEST_SET}/yes/b_nohash_0.wav"])


def test_lists_with_wrong_lines_are_refused_together(tmp_path: Path) -> None:
    folder, files = copy_of(speech_commands_v2, tmp_path, "speech-commands-v2")
    both = f"yes/{SPEAKERS['val']}_nohash_0.wav"
    (folder / "testing_list.txt").write_text(f"a.wav\n\n{both}\n")
    with pytest.raises(InputError) as error:
        speech_commands.read_v2(folder, files)
    assert str(error.value).splitlines()[1:3] == [
        "  - testing_list.txt row 1: 'a.wav', expected WORD/FILE.wav",
        f"  - testing_list.txt row 3: {both} is in validation_list.txt row 1 too",
    ]
    (folder / "testing_list.txt").unlink()
    with pytest.raises(InputError, match=r"testing_list.txt cannot be read"):
        speech_commands.read_v2(folder, files)


# --- FSDD -------------------------------------------------------------------------------------------------


def test_digits_speakers_and_the_official_part_are_in_names(tmp_path: Path) -> None:
    folder, files = copy_of(fsdd, tmp_path, "fsdd")
    found = by_file(of_fsdd.read(folder, files))
    assert set(found) == set(files)
    # The number is part of the recording's name: a recording in two parts would be refused.
    assert found["recordings/7_jackson_4.wav"] == Entry(
        "recordings/7_jackson_4.wav",
        "name of recordings/7_jackson_4.wav",
        ("7",),
        fold="test",
        recording="7_jackson_4",
        columns={"speaker": "jackson"},
    )
    assert {entry.fold for file, entry in found.items() if file.endswith(("_5.wav", "_10.wav", "_49.wav"))} == {"train"}
    assert len({entry.recording for entry in found.values()}) == len(files)


def test_names_that_are_not_fsdds_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        of_fsdd.read(tmp_path, ["7_jackson_32.wav", "jackson_7.wav", "12_jackson_1.wav"])
    assert "2 problems\n  - jackson_7.wav\n  - 12_jackson_1.wav" in str(error.value)


# --- FSD50K -----------------------------------------------------------------------------------------------


def test_both_tables_of_fsd50k_are_read_with_all_labels_of_a_cell(tmp_path: Path) -> None:
    folder, files = copy_of(fsd50k, tmp_path, "fsd50k")
    text = 'fname,labels,mids\n37199,"Guitar,Music","/m/a,/m/b"\n9,Bark,/m/c\n'
    (folder / "FSD50K.ground_truth" / "eval.csv").write_text(text)
    entries = of_fsd50k.read(folder, files)
    assert Counter(entry.fold for entry in entries) == {"train": 4, "val": 4, "test": 2}
    assert entries[-2:] == [
        Entry("FSD50K.eval_audio/37199.wav", "eval.csv row 2", ("Guitar", "Music"), fold="test", recording="37199"),
        Entry("FSD50K.eval_audio/9.wav", "eval.csv row 3", ("Bark",), fold="test", recording="9"),
    ]
    assert {entry.file for entry in entries[:-2]} <= set(files)


def test_wrong_cells_of_fsd50k_are_refused_together(tmp_path: Path) -> None:
    folder, files = copy_of(fsd50k, tmp_path, "fsd50k")
    text = 'fname,labels,mids,split\n1,"A,,B",m,train\n,A,m,val\n2,A,m,dev\n'
    (folder / "FSD50K.ground_truth" / "dev.csv").write_text(text)
    with pytest.raises(InputError) as error:
        of_fsd50k.read(folder, files)
    assert str(error.value).splitlines()[1:4] == [
        "  - dev.csv row 2, column labels: 'A,,B', expected names with commas",
        "  - dev.csv row 3, column fname: blank",
        "  - dev.csv row 4, column split: 'dev', expected train or val",
    ]


# --- what the recipes make of them ------------------------------------------------------------------------


def ingested(recipe: str, dataset: str, data: Path) -> pd.DataFrame:
    """Manifest and folds of a recipe's data set, joined, from a small copy: one row a clip and fold."""
    COPIES[recipe](data)
    raw = merged_config(REPO / "config" / "config.yaml", REPO / "config" / "recipes" / f"{recipe}.yaml")
    config = load(raw | {"data_root": str(data)})
    settings = config.datasets[dataset]
    folder = data / settings.source.audio
    matched = match(settings, dataset, config.folders, {}, list_files(folder, SUFFIXES))
    prepared = assemble(settings, matched, measure(folder, list(matched.records), None, threads=1))
    require_none(dataset, prepared.problems)
    folds, _ = split_folds(prepared.manifest, settings.split)
    return folds.merge(prepared.manifest.drop(columns="fold"), on="clip_id", validate="many_to_one")


def test_clips_of_esc50_stay_in_their_folds_though_a_recording_is_in_two(tmp_path: Path) -> None:
    clips = ingested("esc50", "esc50", tmp_path)
    tested = clips[clips["part"] == "test"]
    assert len(tested) == 250 and (tested["clip_id"].str[0] == tested["fold"].astype(str)).all()
    assert {"4-209698", "5-209698"} <= set(clips["recording"])


def test_esc10_is_the_rows_of_esc50_that_say_so(tmp_path: Path) -> None:
    clips = ingested("esc10", "esc10-of-esc50", tmp_path)
    targets = clips["clip_id"].str.rpartition("-")[2].astype(int)
    assert set(targets) == set(ESC10) and clips["clip_id"].nunique() == 50
    assert (clips.filter(like="label:").sum(axis=1) == 1).all()


def test_silence_of_ks1_is_pieces_of_a_second_from_noises_of_one_part(tmp_path: Path) -> None:
    clips = ingested("speech-commands-v1", "speech-commands-v1", tmp_path)
    silence = clips[clips["label:_silence_"] == 1]
    starts = silence.groupby("recording")["start_s"].apply(list).to_dict()
    assert starts.pop("_silence_/0") == [0.0]
    assert starts == {f"_background_noise_/{name}": [0.0, 0.5, 1.0, 1.5] for name in NOISES}
    validates = set(silence.loc[silence["part"] == "val", "recording"])
    assert validates == {"_background_noise_/running_tap"}
    # Words shorter than a piece are whole clips.
    words = clips[clips["label:_silence_"] == 0]
    assert len(words) == 2 * len(WORDS_V1) + 11 and (words["duration_s"] == 0.1).all()
    assert (words["label:_unknown_"] == 1).sum() == 2 * 20 + 1
