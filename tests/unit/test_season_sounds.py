"""The windows and the stretch that a season's page shows: the best there are, as they sound in the recordings."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from small_prediction import N_MELS, small_model
from small_season import CLASSES, LENGTH_S, small_season
from tymbal.evaluate.calibration import read_calibration
from tymbal.evaluate.thresholds import Threshold, write_thresholds
from tymbal.predict.kept import About, Scores, ScoresWriter
from tymbal.predict.make_sounds import N_BEST, STRIP_S, Inputs, Outputs, pick_sounds
from tymbal.predict.sounds import Kept, read_top_clips

FILES = {"A/a.wav": (8000, "A", ""), "b 2.flac": (22050, "B", "2024-01-06T05:30:00"), "鳥 1.WAV": (11025, "", "")}


@pytest.fixture(scope="module")
def card(tmp_path_factory) -> Path:
    return small_model(tmp_path_factory.mktemp("model")) / "model.json"


def pick(season, card) -> tuple[pd.DataFrame, Kept]:
    folder = season.folder
    names = ("scores.parquet", "files.csv", "thresholds.json", "calibration.json")
    outputs = Outputs(folder / "top_clips.csv", folder / "sounds.npz")
    pick_sounds(season.root, "mix", Inputs(*(folder / name for name in names), card), outputs)
    return read_top_clips(outputs.table), Kept.read(outputs.arrays)


def scored(season, scores: dict[str, np.ndarray]) -> None:
    """Give files other scores, [n, 3]: windows of a second, one after another."""
    with ScoresWriter(season.folder / "scores.parquet", About(CLASSES, "model", 1.0, 1.0)) as writer:
        for file, values in scores.items():
            starts = np.arange(len(values), dtype=float)
            writer.add(file, starts, starts + 1, values.astype(np.float32))


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_the_best_window_of_each_recording(tmp_path, card, loss):
    files = {f"{k}.wav": (8000, "A", "") for k in range(5)}
    season = small_season(tmp_path, files, loss=loss)
    table, _ = pick(season, card)
    everything = Scores(season.folder / "scores.parquet")
    calibration = read_calibration(season.folder / "calibration.json")
    for c, name in enumerate(CLASSES):
        best = {each.file: each.scores[:, c].max() for each in everything.by_file()}
        mine = table[table["class"] == name]
        assert mine["score"].tolist() == pytest.approx(sorted(best.values(), reverse=True)[:N_BEST], rel=1e-5)
        assert mine["rank"].tolist() == [1, 2, 3]
        assert mine["file"].is_unique
        for each in everything.by_file():
            for row in mine[mine["file"] == each.file].itertuples():
                i = each.start_s.tolist().index(row.start_s)
                assert each.end_s[i] == row.end_s
                assert row.probability == pytest.approx(calibration.apply(each.scores)[i, c], rel=1e-5)
    assert table["rank"].is_monotonic_increasing  # a full page shows the first of all classes


def test_of_a_class_that_is_not_detected_the_nearest_window(tmp_path, card):
    season = small_season(tmp_path, FILES)
    names = {name: Threshold(threshold=threshold) for name, threshold in zip(CLASSES, (0.4, 1.0, 0.4), strict=True)}
    write_thresholds(season.folder / "thresholds.json", names)
    table, _ = pick(season, card)
    assert table.groupby("class")["detected"].agg(["size", "max"]).loc["蟬"].tolist() == [1, 0]
    assert table.groupby("class")["detected"].min()["Owl"] == 1


def test_what_is_heard_and_seen_is_the_window(tmp_path, card):
    """A click in the middle of a window is in the middle of its sound and of its picture, whatever the rate."""
    season = small_season(tmp_path, FILES)
    chosen = {}
    for k, (file, (rate, _, _)) in enumerate(FILES.items()):
        samples = np.zeros(6 * rate)
        samples[round((k + 0.5) * rate)] = 0.9
        soundfile.write(season.root / file, samples, rate, format=Path(file).suffix[1:].upper())
        chosen[file] = np.full((6, 3), 0.1)
        chosen[file][k] = 0.9
    scored(season, chosen)
    table, kept = pick(season, card)
    assert kept.fbank.shape[2] == N_MELS
    for k, row in enumerate(table.itertuples()):
        assert row.start_s == list(FILES).index(row.file)
        frames, mp3, note = kept.clip(k)
        assert (frames.shape, note) == ((98, N_MELS), "")
        assert abs(frames.mean(axis=1).argmax() - 49) <= 2
        samples, rate = soundfile.read(io.BytesIO(mp3))
        assert len(samples) / rate == pytest.approx(LENGTH_S, abs=0.08)
        assert np.abs(samples).argmax() / rate == pytest.approx(0.5, abs=0.08)


def test_a_recording_that_went_away_leaves_a_note(tmp_path, card):
    season = small_season(tmp_path, FILES)
    gone = "鳥 1.WAV"
    (season.root / gone).unlink()
    table, kept = pick(season, card)
    notes = {row.file: kept.clip(k)[2] for k, row in enumerate(table.itertuples())}
    assert notes.pop(gone) == "no sound: is not there"
    assert set(notes.values()) == {""}
    assert [len(kept.clip(k)[1]) > 0 for k in range(len(table))] == [file != gone for file in table["file"]]


def test_the_strip_is_where_most_begins_and_ends(tmp_path, card):
    season = small_season(tmp_path, FILES)
    quiet, steady, busy = FILES
    changing = np.full((6, 3), 0.1)
    changing[::2, 1] = 0.9
    scored(season, {quiet: np.full((6, 3), 0.1), steady: np.full((6, 3), 0.9), busy: changing})
    _, kept = pick(season, card)
    assert str(kept.strip_file) == busy
    assert kept.strip_span.tolist() == [0, 6]
    np.testing.assert_array_equal(kept.strip_scores, changing.astype(np.float32))
    assert kept.strip_classes.tolist() == list(CLASSES)
    assert kept.strip_thresholds.tolist() == [0.4] * 3
    assert len(kept.strip_fbank) == 598


def test_the_strip_of_a_long_recording_is_a_stretch_of_it(tmp_path, card):
    season = small_season(tmp_path, {"long.wav": (8000, "A", "")})
    soundfile.write(season.root / "long.wav", np.random.default_rng(0).normal(0, 0.1, 600 * 8000), 8000)
    values = np.full((600, 3), 0.1)
    values[300:420:2, 0] = 0.9
    scored(season, {"long.wav": values})
    _, kept = pick(season, card)
    start_s, end_s = kept.strip_span
    assert start_s <= 300
    assert end_s >= 420
    assert end_s - start_s == STRIP_S
    np.testing.assert_array_equal(kept.strip_scores[:, 0], values[int(start_s) : int(end_s), 0].astype(np.float32))


def test_a_window_longer_than_a_strip_is_one(tmp_path, card):
    season = small_season(tmp_path, {"long.wav": (8000, "A", "")})
    soundfile.write(season.root / "long.wav", np.full(400 * 8000, 0.1), 8000)
    with ScoresWriter(season.folder / "scores.parquet", About(CLASSES, "model", 200.0, 200.0)) as writer:
        writer.add("long.wav", np.array([0.0, 200]), np.array([200.0, 400]), np.full((2, 3), 0.9, np.float32))
    _, kept = pick(season, card)
    assert kept.strip_span.tolist() == [0, 200]
    assert kept.clip(0)[2] == "the first 30 s of 200 s"


def test_nothing_was_predicted(tmp_path, card):
    season = small_season(tmp_path, FILES)
    scored(season, {})
    table, kept = pick(season, card)
    assert table.empty
    assert kept.strip_fbank.shape == (0, N_MELS)


def test_the_same_season_gives_the_same_bytes(tmp_path, card):
    season = small_season(tmp_path, FILES)
    made = []
    for _ in range(2):
        pick(season, card)
        made.append([(season.folder / name).read_bytes() for name in ("top_clips.csv", "sounds.npz")])
    assert made[0] == made[1]
