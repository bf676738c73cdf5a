"""Folds: what is never separated, what is the same for everyone, what is refused."""

import logging

import numpy as np
import pandas as pd
import pytest

from helpers import SHARED, needs_shared
from tymbal.config.data import SUBSETS, GivenParts, Holdout, KFold, OfficialFolds
from tymbal.errors import InputError
from tymbal.files import fingerprint
from tymbal.folds import clip_ids, read_folds, write_folds
from tymbal.groups import check_split, group_names
from tymbal.ingest.manifest import LABEL
from tymbal.split import split_folds

HOLDOUT = Holdout(scheme="holdout")
KFOLD = KFold(scheme="kfold", n_folds=4, val=0.2)
OFFICIAL = OfficialFolds(scheme="official", n_folds=3, val=0.2)
GIVEN = GivenParts(scheme="given")
CLASSES = ("Cicada", "Bird", "Frog", "Owl")


def make_manifest(n_recordings=40, clips_each=5, seed=0, unlabelled=()):
    """Soft labels of uneven classes; a third of the recordings of each of 3 official folds; 4 sites."""
    rng = np.random.default_rng(seed)
    rows = []
    for recording in range(n_recordings):
        heard = rng.random(4) < (0.9, 0.6, 0.4, 0.25)
        for k in range(clips_each):
            clip = f"r{recording:03d}_{k + 1}"
            tags = np.where(heard & (rng.random(4) < 0.7), rng.choice([0.6, 1.0], size=4), 0.0)
            rows.append(
                {
                    "clip_id": clip,
                    "recording": f"r{recording:03d}",
                    "site": f"S{recording % 4}",
                    "recorded_at": f"2024-01-{recording // 4 + 1:02d}T05:{k:02d}:00",
                    "fold": str(recording % 3 + 1),
                    "sha256": f"content of {clip}",
                }
                | {
                    LABEL + name: np.nan if recording in unlabelled else w
                    for name, w in zip(CLASSES, tags, strict=True)
                }
            )
    return pd.DataFrame(rows)


def parts_of(folds, fold=1):
    return folds[folds["fold"] == fold].set_index("clip_id")["part"]


# --- what every split keeps -------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [HOLDOUT, KFOLD, OFFICIAL], ids=lambda split: split.scheme)
def test_every_clip_once_a_fold_and_no_recording_in_two_parts(split):
    manifest = make_manifest(unlabelled={3, 17})
    folds, _ = split_folds(manifest, split)
    assert list(folds.columns) == ["fold", "clip_id", "part", "subset"]
    assert sorted(folds["fold"].unique()) == list(range(1, split.n_folds + 1))
    for fold in range(1, split.n_folds + 1):
        assert sorted(folds.loc[folds["fold"] == fold, "clip_id"]) == sorted(manifest["clip_id"])
        joined = manifest.assign(part=manifest["clip_id"].map(parts_of(folds, fold)))
        assert joined.groupby("recording")["part"].nunique().max() == 1
        assert set(joined["part"]) == {"train", "val", "test", "unlabelled"}


@pytest.mark.parametrize("split", [KFOLD, OFFICIAL], ids=lambda split: split.scheme)
def test_every_labelled_clip_tests_in_one_fold(split):
    folds, _ = split_folds(make_manifest(unlabelled={0}), split)
    tests = folds[folds["part"] == "test"]
    assert sorted(tests["clip_id"]) == sorted(f"r{r:03d}_{k}" for r in range(1, 40) for k in range(1, 6))


def test_val_is_a_share_of_what_does_not_test():
    _, balance = split_folds(make_manifest(n_recordings=200, clips_each=1), KFOLD)
    sizes = balance[balance["class"] == "(all)"].pivot_table(index="fold", columns="part", values="n_clips")
    assert sizes["test"].tolist() == [50] * 4
    assert sizes["val"].tolist() == [30] * 4
    assert sizes["train"].tolist() == [120] * 4


def test_single_clips_give_exact_sizes():
    folds, _ = split_folds(make_manifest(n_recordings=1999, clips_each=1), HOLDOUT)
    assert folds["part"].value_counts().to_dict() == {"train": 1599, "val": 200, "test": 200}


def test_sites_are_kept_together_when_asked():
    manifest = make_manifest()
    folds, _ = split_folds(manifest, HOLDOUT.model_copy(update={"group": "site"}))
    joined = manifest.assign(part=manifest["clip_id"].map(parts_of(folds)))
    assert sorted(joined.groupby("part")["site"].nunique()) == [1, 1, 2]
    assert joined.groupby("site")["part"].nunique().max() == 1


def test_row_order_does_not_matter():
    manifest = make_manifest(unlabelled={5})
    shuffled = manifest.sample(frac=1, random_state=1)
    for one, other in zip(split_folds(manifest, KFOLD), split_folds(shuffled, KFOLD), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_seed_decides():
    manifest = make_manifest()
    first = split_folds(manifest, HOLDOUT)[0]
    other = split_folds(manifest, HOLDOUT.model_copy(update={"seed": 1}))[0]
    assert (first["part"] != other["part"]).any()


def test_same_split_on_every_platform():
    """A pinned result: it may change only by intent, since users' test sets change with it."""
    folds, _ = split_folds(make_manifest(), KFOLD)
    assert fingerprint(folds[["fold", "clip_id", "part"]].to_dict("list")) == "6c79e8f359b2c67e"
    assert fingerprint(folds["subset"].fillna(0).tolist()) == "1228f83ae6801857"


def test_unlabelled_clips_of_a_labelled_recording_are_in_no_part(caplog):
    manifest = make_manifest()
    manifest.loc[manifest["clip_id"].isin(["r000_1", "r007_2"]), [LABEL + name for name in CLASSES]] = np.nan
    with caplog.at_level(logging.INFO):
        folds, balance = split_folds(manifest, KFOLD)
    assert all(clip_ids(folds, fold, "unlabelled") == ["r000_1", "r007_2"] for fold in (1, 2, 3, 4))
    assert balance.loc[balance["class"] == "(all)", "n_clips"].sum() == 4 * 198
    assert "2 unlabelled clips are in no part" in caplog.text


# --- classes ----------------------------------------------------------------------------------------------


def test_classes_keep_their_shares():
    _, balance = split_folds(make_manifest(n_recordings=150), HOLDOUT)
    classes = balance[balance["class"] != "(all)"]
    assert classes["residual"].abs().max() < 0.03


def test_rare_class_is_spread_over_parts():
    manifest = make_manifest()
    manifest[LABEL + "Owl"] = manifest["clip_id"].isin(["r001_1", "r002_1", "r003_1"]).astype(float)
    folds, _ = split_folds(manifest, HOLDOUT)
    assert {parts_of(folds)[f"r00{r}_1"] for r in (1, 2, 3)} == {"train", "val", "test"}


def test_classes_missing_from_a_part_are_named(caplog):
    manifest = make_manifest()
    manifest[LABEL + "Owl"] = manifest["clip_id"].isin(["r001_1", "r002_1"]).astype(float)
    with caplog.at_level(logging.WARNING):
        split_folds(manifest, HOLDOUT)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        f"fold 1: not evaluable in {part}, no positive clip: Owl (2 recordings in all)" for part in ("val", "test")
    ]
    caplog.clear()
    manifest[LABEL + "Owl"] = (manifest["clip_id"] == "r001_1").astype(float)
    with caplog.at_level(logging.WARNING):
        split_folds(manifest, KFOLD)
    assert sum("cannot be learnt in train, no positive clip: Owl" in r.getMessage() for r in caplog.records) == 1


def test_balance_table_adds_up():
    manifest = make_manifest(unlabelled={2})
    folds, balance = split_folds(manifest, KFOLD)
    columns = ["fold", "part", "class", "n_clips", "n_groups", "weight", "share", "target_share", "residual"]
    assert list(balance.columns) == columns
    assert balance.groupby(["fold", "part"])["class"].agg(list).map(tuple).unique().tolist() == [(*CLASSES, "(all)")]
    np.testing.assert_allclose(balance.groupby(["fold", "class"])["share"].sum(), 1, atol=3e-6)
    np.testing.assert_allclose(balance["residual"], balance["share"] - balance["target_share"], atol=2e-6)
    targets = balance.groupby("part")["target_share"].unique().map(list).to_dict()
    assert targets == {"train": [0.6], "val": [0.15], "test": [0.25]}

    mine = manifest[manifest["clip_id"].isin(clip_ids(folds, 2, "test"))]
    row = balance.set_index(["fold", "part", "class"]).loc[(2, "test", "Frog")]
    frogs = mine[mine[LABEL + "Frog"] > 0]
    assert (row["n_clips"], row["n_groups"]) == (len(frogs), frogs["recording"].nunique())
    assert row["weight"] == pytest.approx(frogs[LABEL + "Frog"].sum())
    assert row["share"] == pytest.approx(row["weight"] / manifest[LABEL + "Frog"].sum(), abs=1e-6)
    size = balance.set_index(["fold", "part", "class"]).loc[(2, "test", "(all)")]
    assert (size["n_clips"], size["n_groups"], size["weight"]) == (len(mine), mine["recording"].nunique(), len(mine))


# --- official folds ---------------------------------------------------------------------------------------


def test_official_folds_are_kept():
    manifest = make_manifest()
    folds, _ = split_folds(manifest, OFFICIAL)
    for fold in (1, 2, 3):
        assert clip_ids(folds, fold, "test") == sorted(manifest.loc[manifest["fold"] == str(fold), "clip_id"])


def test_unlabelled_clips_need_no_official_fold():
    manifest = make_manifest(unlabelled={2})
    manifest.loc[manifest["recording"] == "r002", "fold"] = ""
    folds, _ = split_folds(manifest, OFFICIAL)
    assert clip_ids(folds, 1, "unlabelled") == [f"r002_{k}" for k in range(1, 6)]


def test_faults_of_official_folds_are_all_listed():
    manifest = make_manifest()
    manifest.loc[manifest["clip_id"] == "r000_1", "fold"] = ""
    manifest.loc[manifest["clip_id"] == "r004_1", "fold"] = "9"
    manifest.loc[manifest["clip_id"] == "r007_1", "fold"] = "3"
    manifest.loc[manifest["fold"] == "1", "fold"] = "2"
    with pytest.raises(InputError) as error:
        split_folds(manifest, OFFICIAL)
    for part in (
        "clip r000_1: fold is empty, expected 1 to 3",
        "clip r004_1: fold 9, expected 1 to 3",
        "fold 1 has no labelled clip",
        "recording r007 is in folds 2 and 3",
        "`split.n_folds`",
    ):
        assert part in str(error.value)


@needs_shared
def test_esc10_keeps_its_folds_and_its_sources():
    table = pd.read_csv(SHARED / "data" / "esc10" / "meta.csv", dtype=str)
    manifest = pd.DataFrame(
        {"clip_id": table["filename"], "recording": table["source_id"], "site": "", "fold": table["fold"]}
    ).assign(sha256=table["filename"])
    for name in table["category"].unique():
        manifest[LABEL + name] = (table["category"] == name).astype(float)
    folds, balance = split_folds(manifest, OfficialFolds(scheme="official", n_folds=5))
    sizes = balance[balance["class"] == "(all)"].pivot_table(index="fold", columns="part", values="n_clips")
    assert sizes["test"].tolist() == [80] * 5
    assert sizes["val"].between(28, 36).all()
    for fold in range(1, 6):
        assert clip_ids(folds, fold, "test") == sorted(table.loc[table["fold"] == str(fold), "filename"])
        joined = table.assign(part=table["filename"].map(parts_of(folds, fold)))
        assert joined.groupby("source_id")["part"].nunique().max() == 1
        val = joined[joined["part"] == "val"]
        assert val["category"].nunique() == 10


# --- given parts ------------------------------------------------------------------------------------------


def given_parts(manifest):
    """The manifest with parts of its own, by recording: 32 train, 4 validate, 4 test."""
    number = manifest["recording"].str[1:].astype(int)
    return manifest.assign(fold=np.select([number < 32, number < 36], ["train", "val"], "test"))


def test_given_parts_are_kept():
    manifest = given_parts(make_manifest(unlabelled={39}))
    manifest.loc[manifest["recording"] == "r039", "fold"] = ""  # an unlabelled clip needs no part
    folds, balance = split_folds(manifest, GIVEN)
    for part in ("train", "val", "test"):
        assert clip_ids(folds, 1, part) == sorted(manifest.loc[manifest["fold"] == part, "clip_id"])
    assert clip_ids(folds, 1, "unlabelled") == [f"r039_{k}" for k in range(1, 6)]
    assert clip_ids(folds, 1, "train", 10)
    sizes = balance[balance["class"] == "(all)"].set_index("part")
    np.testing.assert_allclose(sizes["target_share"], np.array([32, 4, 3]) / 39, atol=1e-6)
    assert not sizes["residual"].any()


def test_faults_of_given_parts_are_all_listed():
    manifest = given_parts(make_manifest())
    manifest.loc[manifest["clip_id"] == "r000_1", "fold"] = ""
    manifest.loc[manifest["clip_id"] == "r004_1", "fold"] = "1"
    manifest.loc[manifest["clip_id"] == "r007_1", "fold"] = "test"
    manifest.loc[manifest["fold"] == "val", "fold"] = "train"
    with pytest.raises(InputError) as error:
        split_folds(manifest, GIVEN)
    for told in (
        "clip r000_1: part is empty, expected train, val or test",
        "clip r004_1: part 1, expected train, val or test",
        "part val has no labelled clip",
        "recording r007 is in parts test and train",
        "`split.scheme: holdout` or `kfold`, or group by what they keep whole (`split.group`)",
    ):
        assert told in str(error.value)


def test_val_may_be_a_share_of_the_train_part_that_is_given():
    manifest = given_parts(make_manifest())
    manifest.loc[manifest["fold"] == "val", "fold"] = "train"
    folds, balance = split_folds(manifest, GivenParts(scheme="given", val=0.25))
    parts = {part: set(clip_ids(folds, 1, part)) for part in ("train", "val", "test")}
    assert parts["test"] == set(manifest.loc[manifest["fold"] == "test", "clip_id"])
    assert len(parts["val"]) == pytest.approx(0.25 * 36 * 5, abs=5)
    recordings = {part: {clip[:4] for clip in clips} for part, clips in parts.items()}
    assert not recordings["train"] & recordings["val"]
    sizes = balance[balance["class"] == "(all)"].set_index("part")["target_share"]
    np.testing.assert_allclose(sizes[["train", "val", "test"]], [0.9 * 0.75, 0.9 * 0.25, 0.1], atol=1e-6)


def test_a_share_for_val_is_refused_where_the_data_set_has_such_a_part():
    with pytest.raises(InputError, match=r"split\.val is 0\.1, but the data set itself has a part val, of 20 labelled"):
        split_folds(given_parts(make_manifest()), GivenParts(scheme="given", val=0.1))


def test_a_part_val_that_lacks_is_told_with_its_remedy():
    manifest = given_parts(make_manifest())
    manifest.loc[manifest["fold"] == "val", "fold"] = "train"
    with pytest.raises(
        InputError, match=r"part val has no labelled clip(.|\n)*`split.val` if the data set has no part"
    ):
        split_folds(manifest, GIVEN)


# --- groups -----------------------------------------------------------------------------------------------


def recordings_at(*places):
    """One clip for each site and time."""
    sites, times = zip(*places, strict=True)
    clips = [f"c{i}" for i in range(len(places))]
    return pd.DataFrame({"clip_id": clips, "recording": clips, "site": sites, "recorded_at": times})


def test_days_and_weeks_are_those_of_the_site():
    clips = recordings_at(
        ("S1", "2024-12-29T23:59:59"), ("S1", "2024-12-30"), ("S1", "2025-01-05T00:00:00"), ("S2", "2025-01-05")
    )
    assert group_names(clips, "site-day").tolist() == [
        "S1 2024-12-29",
        "S1 2024-12-30",
        "S1 2025-01-05",
        "S2 2025-01-05",
    ]
    assert group_names(clips, "site-week").tolist() == ["S1 2024-W52", "S1 2025-W01", "S1 2025-W01", "S2 2025-W01"]


@pytest.mark.parametrize("group", ["recording", "site-day", "site-week", "site", "speaker"])
def test_no_group_is_cut_nor_any_within_it(group):
    manifest = make_manifest(n_recordings=120)
    manifest["speaker"] = "p" + (manifest["recording"].str[1:].astype(int) // 7).astype(str)
    folds, _ = split_folds(manifest, HOLDOUT.model_copy(update={"group": group}))
    joined = manifest.assign(part=manifest["clip_id"].map(parts_of(folds)), day=manifest["recorded_at"].str[:10])
    names = {"site-day": ["site", "day"], "site-week": ["site", "day"]}.get(group, [group])
    for kept in (names, ["recording"]):
        assert joined.groupby(kept)["part"].nunique().max() == 1


@pytest.mark.parametrize("group", ["site-day", "site-week"])
def test_clip_without_site_or_date_is_told(group):
    manifest = make_manifest(unlabelled={2})
    manifest.loc[manifest["clip_id"].isin(["r000_1", "r001_1"]), "recorded_at"] = ""
    manifest.loc[manifest["clip_id"].isin(["r001_1", "r003_4"]), "site"] = np.nan
    manifest.loc[manifest["recording"] == "r002", "site"] = ""  # in no part, so in no group
    with pytest.raises(InputError) as error:
        split_folds(manifest, HOLDOUT.model_copy(update={"group": group}))
    assert str(error.value).splitlines() == [
        f"clips without a {group}, by which split.group groups them: 3 problems",
        "  - clip r000_1: no date",
        "  - clip r001_1: no site and no date",
        "  - clip r003_4: no site",
        "What to do: let the table or `name_patterns` give every clip a site and a date, or set "
        "`split.group: recording`",
    ]


def test_recording_with_two_speakers():
    manifest = make_manifest().assign(speaker="p1")
    manifest.loc[manifest["recording"] == "r004", "speaker"] = ["p1", "p2", "p3", "p1", "p2"]
    message = r"(?s)recordings in more than one speaker: 1 problem\n.*r004: speakers p1, p2, p3\n"
    with pytest.raises(InputError, match=message):
        split_folds(manifest, HOLDOUT.model_copy(update={"group": "speaker"}))


def test_recorders_that_name_files_by_the_time_alone(caplog):
    """At four sites every name occurs four times: not one recording at four sites."""
    manifest = make_manifest()
    manifest["recording"] = "2024_" + (manifest["recording"].str[1:].astype(int) // 4).astype(str)
    folds, _ = split_folds(manifest, HOLDOUT.model_copy(update={"group": "site"}))
    joined = manifest.assign(part=manifest["clip_id"].map(parts_of(folds)))
    assert joined.groupby("site")["part"].nunique().max() == 1
    assert "10 names of recordings occur at more than one site, such as 2024_0 (S0, S1, S2, S3)" in caplog.text
    folds, balance = split_folds(manifest, HOLDOUT)
    assert balance.loc[balance["class"] == "(all)", "n_groups"].sum() == 40  # a recording a name and site
    given = manifest.assign(fold=manifest["site"].map({"S0": "train", "S1": "train", "S2": "val", "S3": "test"}))
    split_folds(given, GivenParts(scheme="given"))  # no recording is cut
    manifest.loc[0, "site"] = ""  # may be of any site
    folds, _ = split_folds(manifest, HOLDOUT)
    joined = manifest.assign(part=manifest["clip_id"].map(parts_of(folds)))
    assert len(set(joined.loc[joined["recording"] == "2024_0", "part"])) == 1


def test_other_ways_to_write_a_part_are_the_same_part():
    manifest = make_manifest()
    manifest["fold"] = (manifest["recording"].str[1:].astype(int) % 4 + 1).astype(str)
    manifest.loc[1::5, "fold"] += ".0"
    split_folds(manifest, OfficialFolds(scheme="official", n_folds=4))


def test_windows_of_one_file_share_its_content():
    manifest = make_manifest()
    manifest["sha256"] = manifest["recording"]
    split_folds(manifest, HOLDOUT)


# --- subsets of the training part -------------------------------------------------------------------------


@pytest.mark.parametrize("split", [HOLDOUT, KFOLD], ids=lambda split: split.scheme)
def test_subsets_are_nested_and_of_whole_recordings(split):
    folds, _ = split_folds(make_manifest(n_recordings=200, unlabelled={7}), split)
    assert folds["subset"].notna().equals(folds["part"] == "train")
    for fold in range(1, split.n_folds + 1):
        chosen = [set(clip_ids(folds, fold, "train", percent)) for percent in SUBSETS]
        for percent, small, large in zip(SUBSETS, chosen, chosen[1:], strict=False):
            assert small < large
            assert {clip[:4] for clip in small}.isdisjoint(clip[:4] for clip in chosen[-1] - small)
            assert len(small) == pytest.approx(len(chosen[-1]) * percent / 100, abs=5)
        assert sorted(chosen[-1]) == clip_ids(folds, fold, "train")


def test_subsets_keep_classes_as_far_as_recordings_allow():
    manifest = make_manifest(n_recordings=400)
    folds, _ = split_folds(manifest, HOLDOUT)
    weights = manifest.set_index("clip_id")[[LABEL + name for name in CLASSES]]
    whole = weights.loc[clip_ids(folds, 1, "train")].sum()
    for percent, tolerance in ((50, 0.01), (25, 0.01), (10, 0.02), (5, 0.02)):
        share = weights.loc[clip_ids(folds, 1, "train", percent)].sum() / whole
        np.testing.assert_allclose(share, percent / 100, atol=tolerance)
    assert (weights.loc[clip_ids(folds, 1, "train", 1)].sum() > 0).all()


def test_smallest_subset_is_a_whole_group(caplog):
    with caplog.at_level(logging.INFO):
        folds, _ = split_folds(make_manifest(n_recordings=3), HOLDOUT)
    for percent in SUBSETS:
        assert len(clip_ids(folds, 1, "train", percent)) == 5
    assert "fold 1, subsets of train: 1 %: 5 clips of 1 recordings" in caplog.text


def test_only_the_training_part_has_subsets():
    folds, _ = split_folds(make_manifest(), HOLDOUT)
    with pytest.raises(AssertionError):
        clip_ids(folds, 1, "test", 10)


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", ["", " ", np.nan])
def test_clip_without_group(empty):
    manifest = make_manifest()[::-1]
    manifest.loc[manifest["clip_id"].isin(["r001_1", "r009_3"]), "site"] = empty
    with pytest.raises(InputError, match=r"(?s)2 problems.*r001_1.*r009_3.*`split.group: recording`"):
        split_folds(manifest, HOLDOUT.model_copy(update={"group": "site"}))
    split_folds(manifest, HOLDOUT)  # by recording the site does not matter


@pytest.mark.parametrize(
    ("split", "n_recordings", "message"),
    [
        (HOLDOUT, 2, "too few recordings with labelled clips: train, val and test need at least 3, found 2"),
        (
            KFOLD,
            3,
            r"too few recordings with labelled clips: 4 test folds \(`split.n_folds`\) need at least 4, found 3",
        ),
        (KFOLD.model_copy(update={"n_folds": 2}), 2, "train and val of fold 1 need at least 2, found 1"),
    ],
)
def test_too_few_groups(split, n_recordings, message):
    manifest = make_manifest()
    manifest["recording"] = [f"r{i % n_recordings}" for i in range(len(manifest))]
    manifest["site"] = "S0"
    with pytest.raises(InputError, match=message) as error:
        split_folds(manifest, split)
    assert "label clips of more recordings" in str(error.value)


def test_too_few_sites_hints_at_recordings():
    with pytest.raises(InputError, match=r"too few sites.*need at least 5, found 4.*group by recording"):
        split_folds(make_manifest(), KFold(scheme="kfold", n_folds=5, group="site"))


def test_class_without_positive_clip():
    manifest = make_manifest()
    manifest[[LABEL + "Frog", LABEL + "Owl"]] = 0.0
    with pytest.raises(InputError, match=r"(?s)among 200 labelled clips: 2 problems.*Frog.*Owl.*`classes`"):
        split_folds(manifest, HOLDOUT)


def test_copies_in_two_recordings():
    """Whether they would have fallen into two parts is luck; so they are refused in any case."""
    manifest = make_manifest(unlabelled={30})
    copies = manifest["clip_id"].isin(["r001_1", "r020_4", "r030_1"])  # the last is unlabelled: in no part
    manifest.loc[copies, "sha256"] = "same"
    manifest.loc[manifest["clip_id"].isin(["r002_1", "r002_2"]), "sha256"] = "stay together anyway"
    with pytest.raises(InputError, match=r"(?s)1 problem\n.*r001_1, r020_4: same content, recordings r001, r020\n"):
        split_folds(manifest, HOLDOUT)


def test_clip_twice_in_the_manifest():
    manifest = make_manifest()
    with pytest.raises(InputError, match=r"1 problem\n.*fold 1: clip r004_2 is there 2 times, expected once"):
        split_folds(pd.concat([manifest, manifest[manifest["clip_id"] == "r004_2"]]), HOLDOUT)


def test_check_split_finds_every_leak():
    manifest = make_manifest(n_recordings=6, clips_each=2).assign(sha256=lambda m: m["clip_id"])
    manifest.loc[manifest["clip_id"].isin(["r000_1", "r005_1"]), "sha256"] = "twin"
    part = manifest["recording"].map(
        {"r000": "train", "r001": "train", "r002": "train", "r003": "val", "r004": "unlabelled", "r005": "test"}
    )
    folds = pd.DataFrame({"fold": 1, "clip_id": manifest["clip_id"], "part": part})
    folds.loc[folds["clip_id"] == "r001_2", "part"] = "val"
    folds.loc[folds["clip_id"] == "r004_2", "part"] = "val"  # labels of one clip only: no leak
    folds.loc[folds["clip_id"] == "r002_2", "clip_id"] = "r002_1"
    folds.loc[folds["clip_id"] == "r003_2", "clip_id"] = "r999"
    with pytest.raises(InputError) as error:
        check_split(folds, manifest, "recording")
    problems = [line.removeprefix("  - fold 1: ") for line in str(error.value).splitlines()[1:-1]]
    assert problems == [
        "clip r002_1 is there 2 times, expected once",
        "clip r002_2 is there 0 times, expected once",
        "clip r003_2 is there 0 times, expected once",
        "clip r999 is not in the manifest",
        "recording r001 is in train and val",
        "sha256 twin is in test and train",
    ]


# --- files ------------------------------------------------------------------------------------------------


def test_folds_survive_the_file(tmp_path):
    manifest = make_manifest(n_recordings=12)
    manifest["clip_id"] = [f"{i:04d}" if i else "NA" for i in range(len(manifest))]  # text, however it looks
    folds, balance = split_folds(manifest, HOLDOUT)
    write_folds(folds, tmp_path / "folds.csv", balance, tmp_path / "folds_balance.csv")
    again = read_folds(tmp_path / "folds.csv")
    for part in ("train", "val", "test"):
        assert clip_ids(again, 1, part) == clip_ids(folds, 1, part) != []
    assert clip_ids(again, 1, "train", 25) == clip_ids(folds, 1, "train", 25) != []
    pd.testing.assert_frame_equal(again, folds, check_dtype=False)
    assert "NA" in again["clip_id"].to_list()
    assert len(pd.read_csv(tmp_path / "folds_balance.csv")) == 3 * 5
