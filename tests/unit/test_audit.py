"""The leak audit: each measure against a case worked out by hand, and nothing claimed that is not known."""

import numpy as np
import pandas as pd
import pytest

from tymbal.audit import NEAR_COPIES, audit
from tymbal.config.data import Holdout
from tymbal.errors import InputError
from tymbal.evaluate.tables import read_table, write_table
from tymbal.folds import write_folds
from tymbal.split import split_folds

# Clip: part, site, start of the recording.
NIGHTS = {
    "a": ("train", "S1", "2024-01-05T05:00:00"),
    "b": ("train", "S1", "2024-01-05T06:00:00"),
    "c": ("train", "S1", "2024-01-07T05:00:00"),
    "d": ("train", "S2", "2024-01-05T05:00:00"),
    "e": ("train", "S2", "2024-01-06T05:00:00"),
    "f": ("val", "S3", "2024-01-05T05:00:00"),
    "g": ("val", "S3", "2024-01-06T05:00:00"),
    "h": ("test", "S1", "2024-01-05T05:20:00"),  # 20 minutes after a
    "i": ("test", "S1", "2024-01-06T05:00:00"),  # 23 h after b, 24 h before c
    "j": ("test", "S2", "2024-01-05T23:00:00"),  # 6 h before e
    "k": ("test", "S3", "2024-01-05T05:00:00"),  # no training clip there
}


def made(places=NIGHTS):
    """Manifest, folds and balance of one clip a recording, in the parts given."""
    clips = list(places)
    parts, sites, times = (list(column) for column in zip(*places.values(), strict=True))
    manifest = pd.DataFrame(
        {
            "clip_id": clips,
            "recording": [f"rec {clip}" for clip in clips],
            "site": sites,
            "recorded_at": times,
            "start_s": 0.0,
            "sha256": [f"content of {clip}" for clip in clips],
            "label:Bird": 1.0,
        }
    )
    folds = pd.DataFrame({"fold": 1, "clip_id": clips, "part": parts})
    balance = pd.DataFrame(
        [
            (1, part, name, groups, 0.1 + residual, 0.1, residual)
            for part in ("train", "val", "test")
            for name, groups, residual in (("Bird", 7, 0.01), ("Owl", 2, -0.04), ("Bat", 0, -0.03), ("(all)", 9, 0.3))
        ],
        columns=["fold", "part", "class", "n_groups", "share", "target_share", "residual"],
    )
    return manifest, folds, balance


def frames(clip_id):
    """Features of their own for every clip, but those of h are those of a, louder."""
    rng = np.random.default_rng(ord("a" if clip_id == "h" else clip_id[0]))
    return (rng.normal(-8, 2, (60, 16)) + (2 if clip_id == "h" else 0)).astype(np.float16)


def facts_of(table, part="test", fold=1):
    mine = table[(table["part"] == part) & (table["fold"] == fold)].set_index("measure")
    return {measure: (row["value"], row["note"]) for measure, row in mine.iterrows()}


def with_places(**changes):
    return NIGHTS | {clip: (NIGHTS[clip][0], *place) for clip, place in changes.items()}


def test_measures_of_a_case_worked_out_by_hand():
    table, near = audit(*made(), "recording", frames)
    facts = facts_of(table)
    assert [facts[what][0] for what in ("groups_shared", "recordings_shared", "contents_shared")] == [0, 0, 0]
    assert facts["near_copies"][0] == 1
    assert facts["sites_seen"] == (pytest.approx(2 / 3), "")
    assert facts["site_days_seen"] == (pytest.approx(2 / 4), "")
    assert facts["under_1h"] == (pytest.approx(1 / 4), "")
    assert facts["under_12h"] == (pytest.approx(2 / 4), "")
    assert facts["gap_h_median"] == (pytest.approx(6), "1 of 4 clips: site not in training")  # of 20 min, 6 h and 23 h
    assert facts["question"][1] == "same places, same nights"
    assert facts["classes_absent"] == (1, "Bat")
    assert facts["classes_few"] == (1, "Owl (2)")
    assert facts["class_furthest"] == (pytest.approx(0.04), "Owl: 6.0 % for 10.0 %")
    assert near.to_numpy().tolist() == [[1, "test", "h", "a", pytest.approx(1, abs=0.01), pytest.approx(1, abs=0.01)]]


def test_validation_part_has_its_own_facts():
    facts = facts_of(audit(*made(), "recording", frames)[0], "val")
    assert facts["near_copies"][0] == 0
    assert facts["sites_seen"][0] == 0
    assert facts["site_days_seen"][0] == 0
    assert facts["under_1h"][0] == 0
    assert np.isnan(facts["gap_h_median"][0])
    assert facts["gap_h_median"][1] == "2 of 2 clips: site not in training"
    assert facts["question"][1] == "new places"


def test_start_in_the_recording_counts():
    """Clips cut from long recordings: the first of one may follow the last of another."""
    manifest, folds, balance = made()
    manifest.loc[manifest["clip_id"] == "b", "start_s"] = 10 * 3600.0  # at 16:00
    facts = facts_of(audit(manifest, folds, balance, "recording", frames)[0])
    assert facts["gap_h_median"][0] == pytest.approx(6)
    manifest.loc[manifest["clip_id"] == "i", "start_s"] = 23.5 * 3600.0  # half an hour before c
    facts = facts_of(audit(manifest, folds, balance, "recording", frames)[0])
    assert facts["gap_h_median"][0] == pytest.approx(0.5)
    assert facts["under_1h"][0] == pytest.approx(2 / 4)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "same places, same nights"),
        ({"h": ("S1", "2024-01-08T05:00:00"), "j": ("S2", "2024-01-07")}, "same places, other nights"),
        ({"h": ("S1", ""), "j": ("S2", "2024-01-07")}, "same places, nights not known"),
        ({"b": ("S1", ""), "h": ("S1", "2024-01-08"), "j": ("S2", "2024-01-08")}, "same places, nights not known"),
        ({"h": ("S4", ""), "i": ("S4", ""), "j": ("S5", "")}, "new places"),
        ({"h": ("S4", ""), "i": ("S4", ""), "j": ("", "")}, "places not known"),
        ({"h": ("S4", ""), "i": ("S4", ""), "j": ("S5", ""), "a": ("", "")}, "places not known"),
        ({"i": ("", "")}, "same places, same nights"),  # whatever else is unknown
        (dict.fromkeys(NIGHTS, ("", "")), "places not known"),
    ],
)
def test_question_is_decided_by_the_clips(changes, answer):
    table, _ = audit(*made(with_places(**changes)), "recording", frames)
    assert facts_of(table)["question"][1] == answer


def test_what_is_not_known_is_not_zero():
    nowhere = {clip: (part, "", time) for clip, (part, _, time) in NIGHTS.items()}
    facts = facts_of(audit(*made(nowhere), "recording", frames)[0])
    for measure, what in {"sites_seen": "site", "site_days_seen": "site and date"}.items():
        assert np.isnan(facts[measure][0])
        assert facts[measure][1] == f"not known: no {what}"
    for measure in ("gap_h_median", "under_1h", "under_12h"):
        assert np.isnan(facts[measure][0])
        assert facts[measure][1] == "not known: no site and time"


def test_near_copies_are_not_known_before_there_are_features():
    table, near = audit(*made(), "recording", None)
    value, note = facts_of(table)["near_copies"]
    assert np.isnan(value)
    assert note == "not known: no features"
    assert near.empty


def test_dates_without_a_time_give_days_but_no_hours():
    dated = {clip: (part, site, time[:10]) for clip, (part, site, time) in NIGHTS.items()}
    facts = facts_of(audit(*made(dated), "recording", frames)[0])
    assert facts["site_days_seen"][0] == pytest.approx(2 / 4)
    assert np.isnan(facts["under_1h"][0])


def test_what_is_known_of_some_clips_says_of_how_many():
    facts = facts_of(audit(*made(with_places(i=("", ""))), "recording", frames)[0])
    assert facts["sites_seen"] == (pytest.approx(2 / 3), "of 3 of 4 clips, the others not known")
    assert facts["under_1h"] == (pytest.approx(1 / 3), "of 3 of 4 clips, the others not known")


def test_split_that_leaks_stops():
    manifest, folds, balance = made()
    manifest.loc[manifest["clip_id"].isin(["b", "j"]), "sha256"] = "twin"
    with pytest.raises(InputError, match="sha256 twin is in test and train"):
        audit(manifest, folds, balance, "recording", frames)
    with pytest.raises(InputError, match="site S1 is in test and train"):
        audit(*made(), "site", frames)


def test_recordings_shared_are_counted_whatever_the_group_is():
    manifest, folds, balance = made()
    manifest["speaker"] = manifest["clip_id"]
    manifest.loc[manifest["clip_id"].isin(["a", "b", "h"]), "recording"] = "one"
    facts = facts_of(audit(manifest, folds, balance, "speaker", frames)[0])
    assert facts["recordings_shared"][0] == 1
    assert facts["groups_shared"][0] == 0


def test_unlabelled_clips_have_no_part_and_no_say():
    manifest, folds, balance = made(NIGHTS | {"z": ("unlabelled", "", "")})
    manifest.loc[manifest["clip_id"] == "z", "label:Bird"] = np.nan
    facts = facts_of(audit(manifest, folds, balance, "recording", frames)[0], "val")
    assert facts["question"][1] == "new places"


def test_whole_way_from_split_to_file(tmp_path):
    """Sites kept apart by the split are new places to the audit, in every row order."""
    rng = np.random.default_rng(0)
    n = 60
    manifest = pd.DataFrame(
        {
            "clip_id": [f"{i:02d}" for i in range(n)],
            "recording": [f"r{i // 2}" for i in range(n)],
            "site": [f"S{i // 10}" for i in range(n)],
            "recorded_at": "2024-01-05T05:30:00",
            "start_s": [6.0 * (i % 2) for i in range(n)],
            "fold": "",
            "sha256": [f"r{i // 2}" for i in range(n)],
            "label:Bird": rng.integers(0, 2, n).astype(float),
            "label:Owl": 1.0,
        }
    )
    folds, balance = split_folds(manifest, Holdout(scheme="holdout", group="site"))
    write_folds(folds, tmp_path / "folds.csv", balance, tmp_path / "balance.csv")
    noise = {clip: rng.normal(-8, 2, (40, 8)).astype(np.float16) for clip in manifest["clip_id"]}
    table, near = audit(manifest[::-1], folds, read_table(tmp_path / "balance.csv"), "site", noise.__getitem__)
    assert {facts_of(table, part)["question"][1] for part in ("val", "test")} == {"new places"}
    assert near.empty
    for name, made_table in (("audit", table), ("near_copies", near)):
        write_table(made_table, tmp_path / f"{name}.csv")
        assert list(read_table(tmp_path / f"{name}.csv").columns) == list(made_table.columns)
    assert list(near.columns) == NEAR_COPIES


def test_a_night_does_not_end_at_midnight():
    """Ten minutes apart, on two days: the same night."""
    places = {"a": ("train", "S1", "2024-01-05T23:55:00"), "b": ("test", "S1", "2024-01-06T00:05:00")}
    places["v"] = ("val", "S1", "2024-02-01T12:00:00")
    table, _ = audit(*made(places), "recording", None)
    assert facts_of(table)["site_days_seen"][0] == 0
    assert facts_of(table)["question"][1] == "same places, same nights"
    assert facts_of(table, "val")["question"][1] == "same places, other nights"


def test_a_window_is_of_the_day_on_which_it_begins():
    places = {
        "a": ("train", "S1", "2024-01-06T12:00:00"),
        "b": ("test", "S1", "2024-01-05T12:00:00"),
        "v": ("val", "S1", "2024-01-05T12:00:00"),
    }
    manifest, folds, balance = made(places)
    manifest["start_s"] = manifest["clip_id"].map({"a": 0.0, "b": 13 * 3600.0, "v": 0.0})
    table, _ = audit(manifest, folds, balance, "recording", None)
    assert facts_of(table)["site_days_seen"][0] == 1
    assert facts_of(table, "val")["site_days_seen"][0] == 0
