"""Readers of public sets of soundscapes, on small copies: what they tell, and what they refuse."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import yaml

import layouts_scenes
from helpers import REPO
from layouts_clips import lines, noise
from tymbal.errors import InputError
from tymbal.ingest.layouts import audioset, birdnet, spass, urban_sed
from tymbal.ingest.lookup import SUFFIXES, list_files
from tymbal.ingest.names import Names

market = partial(spass.read, table="1_MatrixLabelsMarket.csv")
audioset_20k = partial(audioset.read, tables=audioset.AS20K)


def found(folder: Path) -> list[str]:
    return list_files(folder, SUFFIXES)


# --- URBAN-SED --------------------------------------------------------------------------------------------


def test_urban_sed(tmp_path):
    layouts_scenes.urban_sed(tmp_path)
    folder = tmp_path / "urban-sed"
    entries = urban_sed.read(folder, found(folder))
    assert sorted(entry.file for entry in entries) == found(folder)
    assert Counter(entry.fold for entry in entries) == {"train": 5, "val": 5, "test": 5}
    first = next(entry for entry in entries if entry.file == "audio/train/soundscape_train_uniform0.wav")
    assert first.labels is None and first.where == "annotations/train/soundscape_train_uniform0.txt"
    assert first.events == (
        (0.01, 0.05, "air_conditioner"),
        (0.03, 0.0900000000000002, "car_horn"),
        (9.164048, 10.000000000000002, "dog_bark"),
    )


def test_urban_sed_without_all_of_its_annotations(tmp_path):
    layouts_scenes.urban_sed(tmp_path)
    folder = tmp_path / "urban-sed"
    (folder / "annotations" / "test" / "soundscape_test_uniform3.txt").unlink()
    with pytest.raises(
        InputError, match=r"without annotations: 1 problem\n  - audio/test/soundscape_test_uniform3.wav"
    ):
        urban_sed.read(folder, found(folder))
    lines(folder / "annotations" / "train" / "soundscape_train_uniform1.txt", ["0.1\t0.05\tsiren", "siren"])
    with pytest.raises(InputError, match=r"annotations: 2 problems"):
        urban_sed.read(folder, found(folder))
    with pytest.raises(InputError, match=r"annotations/train cannot be listed"):
        urban_sed.read(tmp_path, found(tmp_path))


# --- SPASS ------------------------------------------------------------------------------------------------


def test_spass_divides_soundscapes_by_name(tmp_path):
    layouts_scenes.spass(tmp_path)
    folder = tmp_path / "spass"
    entries = market(folder, found(folder))
    names = [f"Market audio files/market{k:05}.wav" for k in range(1, 17)]
    assert [entry.file for entry in entries] == names
    assert [entry.fold for entry in entries] == 12 * ["train"] + 4 * ["test"]
    assert entries[0].labels == ("music", "talk", "truck_moving", "steps", "airborne", "bus_moving")  # each once


def test_a_missing_soundscape_counts_in_the_division_and_is_told(tmp_path):
    layouts_scenes.spass(tmp_path)
    folder = tmp_path / "spass"
    (folder / "Market audio files" / "market00002.wav").unlink()
    entries = market(folder, found(folder))
    assert [entry.fold for entry in entries].count("train") == 12
    assert entries[1].file == "market00002.wav"  # which is not there, as ingest will tell


def test_spass_refuses_what_is_unclear(tmp_path):
    layouts_scenes.spass(tmp_path)
    folder = tmp_path / "spass"
    noise(folder / "Market_audio_files" / "market00003.wav")
    with pytest.raises(
        InputError, match=r"soundscapes in several folders: 1 problem\n  - market00003.wav: Market audio"
    ):
        market(folder, found(folder))
    table = folder / "1_MatrixLabelsMarket.csv"
    lines(table, ["audio_filename,class", "market00001.wav,talk", ",talk", "market00002.wav,"])
    with pytest.raises(InputError, match=r"rows without file or class: 2 problems"):
        market(folder, found(folder))
    lines(table, ["filename,label", "market00001.wav,talk"])
    with pytest.raises(InputError, match=r"no column 'audio_filename'"):
        market(folder, found(folder))


# --- AudioSet ---------------------------------------------------------------------------------------------


def test_audioset_tells_how_many_clips_are_there(tmp_path):
    layouts_scenes.audioset(tmp_path)
    folder = tmp_path / "audioset"
    told = audioset_20k(folder, found(folder))
    assert Counter(entry.fold for entry in told.entries) == {"train": 9, "test": 4}
    assert told.facts == {
        "clips of balanced_train_segments.csv that are there": "9 of 10",
        "clips of eval_segments.csv that are there": "4 of 6",
    }
    balanced, evaluation = told.warnings
    assert balanced.startswith("balanced_train_segments.csv: 9 of 10 clips are there (90.0 %), the others are left out")
    assert evaluation.startswith("eval_segments.csv: 4 of 6 clips are there (66.7 %)")
    first, second, third = told.entries[:3]
    assert first.file == "balanced_train/-bal_00aaa_.flac" and first.recording == "-bal_00aaa_"
    assert second.file == "balanced_train/Y-bal_01aaa_.wav" and second.labels == ("/m/09x0r", "/m/04rlf")
    assert third.file == "balanced_train/-bal_02aaa__20.000.flac"
    assert first.where == "balanced_train_segments.csv line 4"


def test_all_of_audioset(tmp_path):
    layouts_scenes.audioset(tmp_path)
    folder = tmp_path / "audioset"
    told = audioset.read(folder, found(folder), audioset.AS2M)
    assert Counter(entry.fold for entry in told.entries) == {"train": 21, "test": 4}
    assert not any("unbalanced" in warning for warning in told.warnings)  # of which all are there


def test_audioset_without_clips_of_a_part(tmp_path):
    layouts_scenes.audioset(tmp_path)
    folder = tmp_path / "audioset"
    with pytest.raises(InputError, match=r"no clip is there: 1 problem\n  - eval_segments.csv: 0 of 6"):
        audioset_20k(folder, [file for file in found(folder) if not file.startswith("eval")])


def test_audioset_refuses_what_is_unclear(tmp_path):
    layouts_scenes.audioset(tmp_path)
    folder = tmp_path / "audioset"
    noise(folder / "again" / "Y-bal_00aaa_.wav")
    with pytest.raises(InputError, match=r"segments with several files: 1 problem\n  - .* line 4: -bal_00aaa_ may be"):
        audioset_20k(folder, found(folder))
    table = folder / "labels" / "balanced_train_segments.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(f"{text}-eva_00aaa_, 0.000, 10.000, /m/09x0r\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"videos told of twice: 1 problem\n  - eval_segments.csv line 4: -eva_00aaa_"):
        audioset_20k(folder, found(folder))
    table.write_text(f'{text}-abc, 0.000, "/m/09x0r"\n-abd, 0.000, 10.000, ""\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"tell of no segment: 2 problems\n  - line 14: '-abc, 0.000, /m/09x0r'"):
        audioset_20k(folder, found(folder))
    table.write_text(f'{text}-abc, 0.000, 10.000, "/m/09x0r\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"line 14: unexpected end of data. Fetch it again"):
        audioset_20k(folder, found(folder))
    lines(table, ["# Segments csv"])
    with pytest.raises(InputError, match=r"tells of no segment"):
        audioset_20k(folder, found(folder))


# --- folders of BirdNET-Analyzer --------------------------------------------------------------------------


def test_birdnet_folders(tmp_path):
    files = ["A,B/a.wav", "A/2024/b.wav", "NOISE/c.wav", "background,Silence/d.wav", "B,other/e.wav"]
    assert [(entry.file, entry.labels) for entry in birdnet.read(tmp_path, files)] == [
        ("A,B/a.wav", ("A", "B")),
        ("A/2024/b.wav", ("A",)),
        ("NOISE/c.wav", ()),
        ("background,Silence/d.wav", ()),
        ("B,other/e.wav", ("B",)),
    ]


def test_birdnet_folders_of_what_is_not_heard_are_refused(tmp_path):
    with pytest.raises(InputError) as error:
        birdnet.read(tmp_path, ["A/a.wav", "-A/b.wav", "-A/c.wav", "B,-A/d.wav"])
    assert "2 problems\n  - '-A': 2 files\n  - 'B,-A': 1 files\nWhat to do: clips that hold none" in str(error.value)


def test_birdnet_files_in_no_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"files in no class folder"):
        birdnet.read(tmp_path, ["a.wav", "A/b.wav"])


@pytest.mark.parametrize(
    ("stem", "recording", "site"),
    [
        ("SITE_1_20240105_053000", "SITE_1_20240105_053000", "SITE_1"),
        ("20240105_053000_12", "20240105_053000", ""),
        ("0.912_3_SITE_1_20240105_053000_12.0s_15.0s", "SITE_1_20240105_053000", "SITE_1"),
        ("1.000_12_SITE_1_20240105_053000", "SITE_1_20240105_053000", "SITE_1"),  # as older versions name segments
        ("XC123456 - Eurasian Blackbird - Turdus merula", "XC123456", ""),
        ("XC123456", "XC123456", ""),
        ("0.500_1_XC123456 - Tawny Owl_3.0s_6.0s", "XC123456", ""),
    ],
)
def test_the_recipe_tells_recordings_by_name(stem, recording, site):
    found = birdnet_names().read([stem])
    assert found is not None
    assert (found.recording, found.site, found.problem) == (recording, site, "")


def test_a_name_that_tells_no_recording_is_left_to_the_user():
    assert birdnet_names().read(["blackbird 3"]) is None


def birdnet_names() -> Names:
    text = (REPO / "config" / "recipes" / "birdnet-folders.yaml").read_text(encoding="utf-8")
    return Names(yaml.safe_load(text)["datasets"]["birdnet-folders"]["name_patterns"])
