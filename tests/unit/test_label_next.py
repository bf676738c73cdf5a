"""Clips to label next: which are chosen, that they come back as a data set, and that no work of a person is lost."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from small_season import CLASSES, FILES, HOP_S, LENGTH_S, SmallSeason, small_season
from tymbal.config.data import ANY_NAME, SOUNDSCAPE_NAME, Dataset
from tymbal.config.predict import LabelNext, Predict
from tymbal.errors import InputError
from tymbal.ingest.manifest import read_manifest, write_manifest
from tymbal.ingest.match import list_clips, match
from tymbal.ingest.measure import measure
from tymbal.ingest.prepare import assemble
from tymbal.predict.kept import About, Scores, ScoresWriter
from tymbal.predict.label_next import NAME, Inputs, Outputs, pick_label_next
from tymbal.predict.uncertain import choose
from tymbal.roots import locate

DATES = r"(?P<site>.+)/(?P<recording>(?P<date>\d{8}))"
TEN = Predict(label_next=LabelNext(clips=10), name_patterns=(SOUNDSCAPE_NAME, DATES, ANY_NAME))


def pick(season: SmallSeason, settings: Predict = TEN) -> Outputs:
    names = ("scores.parquet", "embeddings.npy", "files.csv", "thresholds.json", "calibration.json")
    outputs = Outputs(season.folder / "label_next.csv", season.folder / "label_next")
    pick_label_next(Inputs(*(season.folder / name for name in names)), season.root, settings, outputs)
    return outputs


def tags(made: Outputs) -> pd.DataFrame:
    return pd.read_csv(made.folder / "tags.csv", dtype=str, keep_default_na=False)


def manifest_of(folder: Path, tmp_path: Path) -> pd.DataFrame:
    """What `prepare_manifest` makes of the folder, by the settings in it."""
    raw = yaml.safe_load((folder / "dataset.yaml").read_text(encoding="utf-8"))
    dataset = Dataset.model_validate(raw["datasets"][NAME])
    roots = {name: Path(path) for name, path in raw["roots"].items()}
    matched = match(dataset, NAME, roots, {}, list_clips(dataset, NAME, roots))
    measured = measure(locate(matched.audio, roots), sorted(matched.records), None, threads=1)
    prepared = assemble(dataset, matched, measured)
    assert not prepared.problems and not matched.missing
    write_manifest(prepared.manifest, tmp_path / "manifest.csv")
    return read_manifest(tmp_path / "manifest.csv")


# --- which clips ------------------------------------------------------------------------------------------


def chosen(tmp_path, scores, embeddings, file=None, starts=None, thresholds=(0.5, 0.5), **settings) -> pd.DataFrame:
    """Choose of windows whose scores [N, 2] and embeddings are given, of one recording and one after another."""
    n = len(scores)
    file = np.zeros(n, int) if file is None else np.asarray(file)
    starts = np.arange(n, dtype=float) if starts is None else np.asarray(starts, dtype=float)
    with ScoresWriter(tmp_path / "s.parquet", About(("A", "B"), "m", 1.0, 1.0)) as writer:
        for code in np.unique(file):
            here = file == code
            writer.add(f"{code}.wav", starts[here], starts[here] + 1, np.float32(scores)[here])
    usable = np.ones(n, dtype=bool)
    return choose(
        Scores(tmp_path / "s.parquet"), np.float16(embeddings), thresholds, file, usable, LabelNext(**settings)
    )


def test_the_most_uncertain_in_log_odds_comes_first(tmp_path):
    scores = [[0.60, 0.9], [0.11, 0.9], [0.0001, 0.9], [0.95, 0.9]]
    found = chosen(tmp_path, scores, np.ones((4, 3)), thresholds=(0.05, 0.9), clips=1)
    # 0.0001 is nearer to 0.05 than 0.11 is, but in log-odds farther: 6.3 below, against 0.9 above
    assert found[["row", "class"]].to_numpy().tolist() == [[1, "A"]]
    assert found["distance"].item() == pytest.approx(np.log(0.11 / 0.89) - np.log(0.05 / 0.95), abs=1e-6)


def test_each_next_one_is_unlike_those_before(tmp_path):
    scores = [[0.5, 0.99], [0.51, 0.99], [0.52, 0.99], [0.6, 0.99], [0.999, 0.99]]
    embeddings = [[1, 0, 0], [1, 0.01, 0], [1, 0, 0.01], [0, 1, 0], [0, 0, 1]]
    found = chosen(tmp_path, scores, embeddings, clips=3, per_class=2)
    assert found["row"].tolist()[0] == 0
    assert found["row"].tolist()[1] in (3, 4)
    assert not {1, 2} & set(found["row"][:3])


def test_certain_windows_are_not_chosen_for_being_unlike_alone(tmp_path):
    rng = np.random.default_rng(0)
    scores = np.full((300, 2), 1e-6)
    scores[:40, 0], scores[40:80, 1] = 0.45, 0.55
    embeddings = rng.normal(1, 0.01, (300, 4))
    embeddings[200:] = rng.normal(size=(100, 4))  # strange, but certain
    found = chosen(tmp_path, scores, embeddings, clips=8)
    assert (found["row"] < 80).all()


def test_classes_get_their_share(tmp_path):
    rng = np.random.default_rng(1)
    scores, embeddings = rng.uniform(size=(200, 2)), rng.normal(size=(200, 4))
    assert chosen(tmp_path, scores, embeddings, clips=7)["class"].value_counts().to_dict() == {"A": 4, "B": 3}
    assert chosen(tmp_path, scores, embeddings, clips=50, per_class=3)["class"].tolist() == ["A", "B"] * 3
    assert len(chosen(tmp_path, scores[:5], embeddings[:5], clips=100)) == 5


def test_no_two_windows_overlap_and_none_is_chosen_twice(tmp_path):
    rng = np.random.default_rng(2)
    n = 400
    file, starts = np.repeat([0, 1], n // 2), np.tile(np.arange(n // 2) * 0.25, 2)
    scores = rng.uniform(0.4, 0.6, (n, 2))
    found = chosen(tmp_path, scores, rng.normal(size=(n, 4)), file, starts, clips=60)
    assert len(found) == 60 == found["row"].nunique()
    for one in (0, 1):
        begins = np.sort(starts[found["row"]][file[found["row"]] == one])
        assert (np.diff(begins) >= 1.0).all()


def test_scores_of_0_and_1_are_certain_but_finite(tmp_path):
    scores = [[0.0, 1.0], [1.0, 0.0], [0.7, 0.2]]
    found = chosen(tmp_path, scores, np.eye(3), clips=6)
    assert np.isfinite(found["distance"]).all()
    assert found["row"].tolist()[0] == 2


# --- the data set -----------------------------------------------------------------------------------------


def test_clips_come_back_with_labels_sites_and_times(tmp_path):
    made = pick(small_season(tmp_path))
    table = tags(made)
    assert table.columns.tolist() == ["FileName", "Site"] + [f"{p}Tag_{c}" for p in ("Main", "Sub") for c in CLASSES]
    assert (table.drop(columns=["FileName", "Site"]) == "").all(axis=None)
    table.loc[1, "MainTag_Owl"] = table.loc[2, "SubTag_蟬"] = table.loc[2, 'MainTag_Rain, "heavy"'] = "1"
    table.to_csv(made.folder / "tags.csv", index=False)

    clips = manifest_of(made.folder, tmp_path).set_index("path")
    labels = clips[[f"label:{name}" for name in CLASSES]]
    of = [f"audio/{name}" for name in table["FileName"]]
    assert labels.loc[of[1]].tolist() == [1, 0, 0]
    assert labels.loc[of[2]].tolist() == pytest.approx([0, 0.6, 1])
    assert labels.drop([of[1], of[2]]).isna().all(axis=None)  # not labelled is not negative
    picked = pd.read_csv(made.table, dtype={"site": str, "recorded_at": str}, keep_default_na=False)
    for row in picked.itertuples():
        clip = clips.loc[f"audio/{row.clip}"]
        rate, site, at = FILES[row.file]
        assert (clip["sample_rate"], clip["site"], clip["duration_s"]) == (rate, site, LENGTH_S)
        expected = {"A": "A_20240105_235957", "B": "B_20240106_053000", "": "鳥 1", "C": "20240107"}[site]
        assert clip["recording"] == expected  # that of the whole file, so that no split separates its clips
        if "T" in at:
            at = f"{pd.Timestamp(at) + pd.Timedelta(seconds=row.start_s):%Y-%m-%dT%H:%M:%S}"
        assert clip["recorded_at"] == at == row.recorded_at
    assert set(picked["site"]) == {"A", "B", "C", ""}
    assert (picked["recorded_at"] >= "2024-01-06").any()  # after midnight, of a recording begun before it


def test_clips_are_what_is_in_the_recording_to_the_sample(tmp_path):
    season = small_season(tmp_path)
    made = pick(season)
    for row in pd.read_csv(made.table, keep_default_na=False).itertuples():
        whole, rate = soundfile.read(season.root / row.file, dtype="int16")
        clip, clip_rate = soundfile.read(made.folder / "audio" / row.clip, dtype="int16")
        assert clip_rate == rate
        start = round(row.start_s * rate)
        assert np.array_equal(clip, whole[start : start + round(LENGTH_S * rate)])


def test_a_table_of_the_lab_takes_the_rows(tmp_path):
    """The way told in the head of dataset.yaml: one folder, one table, both kinds of name patterns."""
    made = pick(small_season(tmp_path))
    table = tags(made).assign(**{"MainTag_Owl": "1"})
    own = pd.DataFrame({"FileName": ["A_20240105_235957_7"], "Site": ["A"], "MainTag_蟬": ["1"]})
    pd.concat([own, table]).to_csv(made.folder / "tags.csv", index=False)
    soundfile.write(
        made.folder / "audio" / "A_20240105_235957_7.wav", np.random.default_rng(9).normal(0, 0.1, 8000), 8000
    )
    raw = yaml.safe_load((made.folder / "dataset.yaml").read_text(encoding="utf-8"))
    raw["datasets"][NAME]["name_patterns"] += list(Predict().name_patterns)
    (made.folder / "dataset.yaml").write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    clips = manifest_of(made.folder, tmp_path)
    of_a = clips[clips["site"] == "A"]
    assert len(of_a) > 1 and set(of_a["recording"]) == {"A_20240105_235957"}
    assert len(clips) == len(table) + 1


def test_a_single_label_model_asks_for_one_class_a_clip(tmp_path):
    made = pick(small_season(tmp_path, loss="ce"))
    raw = yaml.safe_load((made.folder / "dataset.yaml").read_text(encoding="utf-8"))
    assert raw["datasets"][NAME]["task"] == "single-label"


def test_settings_are_a_configuration_beside_ones_own(tmp_path):
    from helpers import REPO, merged_config
    from tymbal.config import load

    made = pick(small_season(tmp_path))
    config = load(merged_config(REPO / "config" / "config.yaml", made.folder / "dataset.yaml"))
    assert config.datasets[NAME].classes == CLASSES
    assert locate(config.datasets[NAME].source.table, config.folders) == made.folder / "tags.csv"


def test_files_elsewhere_and_of_one_stem_give_clips_of_their_own(tmp_path):
    outside = str(tmp_path / "elsewhere" / "C_20240107_010203.wav")
    names = ["../A/A_20240105_235957.wav", "A/A_20240105_235957.wav", "A/A_20240105_235957.flac", outside]
    made = pick(small_season(tmp_path, dict.fromkeys(names, (8000, "A", "2024-01-05T23:59:57"))))
    table = pd.read_csv(made.table)
    assert table["clip"].is_unique
    assert sum(path.is_file() for path in (made.folder / "audio").rglob("*")) == len(table) == 10
    assert all(path.resolve().is_relative_to(made.folder.resolve()) for path in made.folder.rglob("*"))
    assert table["clip"].str.startswith("up/A/").any()
    assert len(manifest_of(made.folder, tmp_path)) == 10


def test_a_date_that_cannot_be_is_no_obstacle(tmp_path):
    """As when listed, where it is told: such a recording has no time, and all else."""
    made = pick(small_season(tmp_path, {"A_20241399_053000.wav": (8000, "A", "")}))
    clips = manifest_of(made.folder, tmp_path)
    assert len(clips) and set(clips["recorded_at"]) == {""} and set(clips["recording"]) == {"A_20241399_053000"}


def test_names_that_leave_no_room_for_a_time_are_told(tmp_path, caplog):
    long = f"{'x' * 240}.wav"
    made = pick(small_season(tmp_path, {long: (8000, "", ""), "b.wav": (8000, "", "")}))
    assert set(pd.read_csv(made.table)["file"]) == {"b.wav"}
    assert "no clips of recordings whose names leave no room" in caplog.text and long in caplog.text


def test_same_season_same_bytes(tmp_path):
    first, second = (pick(small_season(tmp_path / name)) for name in ("a", "b"))
    assert first.table.read_bytes() == second.table.read_bytes()
    assert (first.folder / "tags.csv").read_bytes() == (second.folder / "tags.csv").read_bytes()


def test_a_season_without_windows_has_an_empty_table_and_no_folder(tmp_path):
    made = pick(small_season(tmp_path, {}))
    assert len(pd.read_csv(made.table)) == 0
    assert not made.folder.exists()


def test_a_recording_that_is_gone_is_named_and_nothing_is_left_half_made(tmp_path):
    season = small_season(tmp_path)
    (season.root / "鳥 1.WAV").unlink()
    with pytest.raises(InputError, match=r"鳥 1\.WAV: is not there\. .*bring it back"):
        pick(season)
    assert [path for path in season.folder.iterdir() if "label_next" in path.name] == []


# --- a person's work --------------------------------------------------------------------------------------


def fill(made: Outputs) -> bytes:
    table = tags(made)
    table["MainTag_Owl"] = "1"
    table.to_csv(made.folder / "tags.csv", index=False)
    return (made.folder / "tags.csv").read_bytes()


def test_a_filled_table_is_never_overwritten(tmp_path):
    made = pick(small_season(tmp_path))
    filled = fill(made)
    made.table.unlink()  # as Snakemake does before the rule runs again
    small_season(tmp_path, seed=1)  # other scores, other clips
    with pytest.raises(InputError, match="move the folder away") as refused:
        pick(SmallSeason(made.folder.parent, tmp_path / "recorded"))
    assert refused.value.cases == ("tags.csv: changed",)
    assert (made.folder / "tags.csv").read_bytes() == filled
    assert not made.table.exists()  # so that the rule has failed, and runs again

    made.folder.rename(tmp_path / "mine")
    pick(SmallSeason(made.folder.parent, tmp_path / "recorded"))
    assert (tmp_path / "mine" / "tags.csv").read_bytes() == filled
    assert (tags(made).drop(columns=["FileName", "Site"]) == "").all(axis=None)


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda folder: (folder / "tags.xlsx").write_bytes(b"sheet"), "tags.xlsx: not written by the workflow"),
        (
            lambda folder: (folder / ".~lock.tags.csv#").write_text("Lin"),
            ".~lock.tags.csv#: not written by the workflow",
        ),
        (lambda folder: (folder / "tags.csv").rename(folder.parent / "t.csv"), "tags.csv: moved or deleted"),
        (lambda folder: (folder / "dataset.yaml").write_text("mine: 1"), "dataset.yaml: changed"),
        (lambda folder: (folder / ".made.json").unlink(), "tags.csv: not written by the workflow"),
    ],
)
def test_whatever_else_a_person_did_stops_it_too(work, told, tmp_path):
    made = pick(small_season(tmp_path))
    work(made.folder)
    before = {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}
    small_season(tmp_path, seed=1)
    with pytest.raises(InputError) as refused:
        pick(SmallSeason(made.folder.parent, tmp_path / "recorded"))
    assert told in refused.value.cases
    assert {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()} == before


def test_the_same_clips_leave_a_filled_folder_as_it_is(tmp_path):
    season = small_season(tmp_path)
    made = pick(season)
    filled, table = fill(made), made.table.read_bytes()
    made.table.unlink()
    pick(season)
    assert (made.folder / "tags.csv").read_bytes() == filled
    assert made.table.read_bytes() == table


def test_an_untouched_folder_is_made_anew(tmp_path):
    made = pick(small_season(tmp_path))
    before = tags(made)["FileName"].tolist()
    pick(small_season(tmp_path, seed=1))
    after = tags(made)["FileName"].tolist()
    assert after != before
    files = {path.relative_to(made.folder / "audio").as_posix() for path in (made.folder / "audio").rglob("*.wav")}
    assert files == set(after)


def test_work_done_while_clips_are_cut_is_noticed(tmp_path, monkeypatch):
    made = pick(small_season(tmp_path))
    small_season(tmp_path, seed=1)
    from tymbal.predict import label_next

    cut, filled = label_next._cut, []

    def meanwhile(*arguments):
        if not filled:
            filled.append(fill(made))
        cut(*arguments)

    monkeypatch.setattr(label_next, "_cut", meanwhile)
    with pytest.raises(InputError, match="somebody has worked in it"):
        pick(SmallSeason(made.folder.parent, tmp_path / "recorded"))
    assert (made.folder / "tags.csv").read_bytes() == filled[0]


def test_a_filled_table_survives_the_whole_season_being_made_again(tmp_path):
    """A folder from elsewhere put in the place is nobody's to overwrite either."""
    made = pick(small_season(tmp_path))
    fill(made)
    shutil.move(made.folder, tmp_path / "kept")
    made.folder.mkdir()
    (made.folder / "notes.txt").write_text("wait for Lin")
    with pytest.raises(InputError, match=r"notes\.txt: not written by the workflow"):
        pick(small_season(tmp_path))
    assert HOP_S < LENGTH_S and (made.folder / "notes.txt").exists()
