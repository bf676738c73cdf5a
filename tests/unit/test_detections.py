"""Detections: windows merged as a slow reading of the rule merges them, tables as they are read back."""

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from small_season import CLASSES, FILES, SECONDS, SmallSeason, small_season
from tymbal.errors import InputError
from tymbal.evaluate.calibration import read_calibration
from tymbal.files import write_json
from tymbal.models.card import ModelCard
from tymbal.predict import kept
from tymbal.predict.detections import Outputs, find_detections
from tymbal.predict.kept import Scores, read_files
from tymbal.predict.merge import Detections, merge_windows
from tymbal.tables import read_csv, write_csv

LEVELS = np.array([0.3, 0.5, 0.7])
TEXT = ("file", "class", "site", "recorded_at")


def merged(spans: list[tuple[float, float]], scores: list[float], level: float = 0.5) -> list[tuple[float, float]]:
    """Stretches of the detections of one class."""
    start_s, end_s = np.array(spans, float).T
    column = np.array(scores, np.float32)[:, None]
    found = merge_windows(start_s, end_s, column, column, np.array([level]))
    return list(zip(found.start_s.tolist(), found.end_s.tolist(), strict=True))


# --- merging ----------------------------------------------------------------------------------------------


@st.composite
def windows(draw):
    """Windows of a recording of whole samples, the last moved back; some are lost. Scores are about the thresholds."""
    size = draw(st.integers(1, 6))
    hop = draw(st.integers(1, size))
    n_samples = size + draw(st.integers(0, 40))
    starts = [*range(0, n_samples - size + 1, hop)]
    starts += [n_samples - size] if starts[-1] < n_samples - size else []
    held = draw(st.lists(st.booleans(), min_size=len(starts), max_size=len(starts)))
    start = np.array([at for at, here in zip(starts, held, strict=True) if here], dtype=np.int64)
    values = st.sampled_from([0.0, 0.29, 0.3, 0.31, 0.5, 0.7, 0.71, 1.0])
    cells = draw(st.lists(values, min_size=3 * len(start), max_size=3 * len(start)))
    return start, start + size, np.array(cells, np.float32).reshape(-1, 3), draw(st.sampled_from([3, 8000, 44100]))


@settings(deadline=None)
@given(windows())
def test_merged_windows_are_the_windows_that_reach_the_threshold(made):
    start, end, scores, rate = made
    found = merge_windows(start / rate, end / rate, scores, 1 - scores, LEVELS)
    rows = list(zip(*(column.tolist() for column in found), strict=True))
    assert rows == sorted(rows, key=lambda row: (row[1], row[0]))
    for c, level in enumerate(LEVELS):
        heard = [w for w in range(len(start)) if float(scores[w, c]) >= level]
        left = set(heard)
        own = [row for row in rows if row[0] == c]
        assert all(before[2] < after[1] for before, after in pairwise(own))  # none touches the next
        for _, start_s, end_s, score, probability, n_windows in own:
            inside = [w for w in heard if start_s <= start[w] / rate and end[w] / rate <= end_s]
            assert (inside[0], n_windows) == (min(left), len(inside))
            assert (start_s, end_s) == (start[inside[0]] / rate, end[inside[-1]] / rate)  # exact, at any rate
            assert score == max(scores[inside, c])
            assert probability == max((1 - scores)[inside, c])
            assert set(range(start[inside[0]], end[inside[-1]])) == {t for w in inside for t in range(start[w], end[w])}
            left -= set(inside)
        assert not left


@pytest.mark.parametrize(
    ("spans", "scores", "expected"),
    [
        ([(0, 2), (2, 4), (4, 6)], [0.9, 0.9, 0.1], [(0, 4)]),
        ([(0, 2), (2, 4), (4, 6)], [0.9, 0.1, 0.9], [(0, 2), (4, 6)]),
        ([(0, 2), (1, 3), (2, 4)], [0.9, 0.1, 0.9], [(0, 4)]),  # they touch, whatever lies over both
        ([(0, 2), (1, 3), (2, 4), (3, 5)], [0.9, 0.1, 0.1, 0.9], [(0, 2), (3, 5)]),
        ([(0, 2), (2, 4), (3.5, 5.5)], [0.1, 0.9, 0.9], [(2, 5.5)]),  # the last window is moved back
        ([(0, 2), (2, 4), (6, 8)], [0.9, 0.9, 0.9], [(0, 4), (6, 8)]),  # nothing is known of what lies between
        ([(0, 0.4)], [0.5], [(0, 0.4)]),
        ([(0, 2)], [0.4], []),
    ],
)
def test_what_is_merged(spans, scores, expected):
    assert merged(spans, scores) == expected


def test_thresholds_are_compared_in_float64():
    score = np.float32(0.7)  # a little below 0.7
    assert merged([(0, 1)], [score], 0.7) == []
    assert merged([(0, 1)], [score], float(score)) == [(0, 1)]


# --- a season ---------------------------------------------------------------------------------------------


def card(path: Path, sample_rate: int = 16000) -> Path:
    net = {"arch": "cnn", "n_frames": 16}
    scale = {"mean": -4.5, "std": 2.0, "padding": "mean"}
    frontend = {"sample_rate": sample_rate}
    told = ModelCard(
        net, 32, CLASSES, **scale, frontend=frontend, long_clips="cut", loss="bce", corpus={}, provenance={}
    )
    write_json(path, vars(told))
    return path


def find(season: SmallSeason) -> Outputs:
    folder = season.folder
    made = Outputs(folder / "detections.csv", folder / "raven", folder / "audacity", folder / "activity.csv")
    names = ("scores.parquet", "files.csv", "thresholds.json", "calibration.json")
    find_detections(*(folder / name for name in names), card(folder / "model.json"), "mix", made)
    return made


def expected(season: SmallSeason) -> dict[str, Detections]:
    apply = read_calibration(season.folder / "calibration.json").apply
    return {
        file: merge_windows(start_s, end_s, scores, apply(scores), np.full(3, 0.4))
        for file, start_s, end_s, scores in Scores(season.folder / "scores.parquet").by_file()
    }


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_the_table_tells_every_detection(tmp_path, loss):
    season = small_season(tmp_path, loss=loss)
    table = read_csv(find(season).detections, TEXT)
    columns = ["file", "class", "start_s", "end_s", "score", "probability", "n_windows", "site", "recorded_at"]
    assert list(table) == columns
    told = expected(season)
    assert list(table["file"].unique()) == list(told)  # in the order of the recordings
    for file, rows in table.groupby("file"):
        found = told[file]
        assert rows["class"].tolist() == [CLASSES[label] for label in found.label]
        for name in ("start_s", "end_s", "n_windows"):
            np.testing.assert_array_equal(rows[name], getattr(found, name))
        for name in ("score", "probability"):
            np.testing.assert_array_equal(rows[name].astype(np.float32), getattr(found, name))
    assert set(table.loc[table["file"].str.startswith("A/"), "site"]) == {"A"}


def test_a_detection_is_dated_as_far_as_its_recording_is(tmp_path):
    files = {
        "night.wav": (8000, "A", "2023-12-31T23:59:57"),
        "day.wav": (8000, "A", "2024-01-05"),
        "some day.wav": (8000, "", ""),
    }
    table = read_csv(find(small_season(tmp_path, files)).detections, TEXT)
    dated = {file: set(zip(rows["start_s"], rows["recorded_at"], strict=True)) for file, rows in table.groupby("file")}
    midnight = np.datetime64("2023-12-31T23:59:57")
    assert dated["night.wav"] == {(s, str(midnight + np.timedelta64(int(s), "s"))) for s, _ in dated["night.wav"]}
    assert {told[:10] for _, told in dated["night.wav"]} == {"2023-12-31", "2024-01-01"}
    assert {told for _, told in dated["day.wav"]} == {"2024-01-05"}
    assert {told for _, told in dated["some day.wav"]} == {""}


def test_text_files_are_of_recordings_with_detections(tmp_path):
    season = small_season(tmp_path)
    thresholds = {CLASSES[0]: 1.0, CLASSES[1]: 1.0, CLASSES[2]: 1.0}
    write_json(season.folder / "thresholds.json", thresholds)
    made = find(season)
    assert read_csv(made.detections, TEXT).empty
    assert made.raven.is_dir() and not list(made.raven.iterdir())
    assert made.audacity.is_dir() and not list(made.audacity.iterdir())
    activity = read_csv(made.activity, ("site", "date", "class"))
    assert activity["minutes_recorded"].sum() / len(CLASSES) == pytest.approx(len(FILES) * SECONDS / 60)
    assert not activity["detections"].any()


def test_a_season_in_which_nothing_could_be_predicted(tmp_path):
    made = find(small_season(tmp_path, {}))
    assert read_csv(made.detections, TEXT).empty
    assert read_csv(made.activity, ("site", "date", "class")).empty


def test_text_files_of_an_earlier_run_do_not_stay(tmp_path):
    season = small_season(tmp_path)
    (season.folder / "raven").mkdir()
    (season.folder / "raven" / "old.selections.txt").write_text("")
    names = sorted(path.relative_to(season.folder).as_posix() for path in find(season).raven.rglob("*.txt"))
    assert names == [f"raven/{file}.selections.txt" for file in sorted(expected(season))]


def test_thresholds_of_other_classes_are_refused_and_nothing_is_written(tmp_path):
    season = small_season(tmp_path)
    write_json(season.folder / "thresholds.json", {"Owl": 0.5, "Frog": 0.5})
    with pytest.raises(InputError, match="'Frog': not one of the model's"):
        find(season)
    assert not (season.folder / "detections.csv").exists()


def test_the_same_season_gives_the_same_bytes(tmp_path):
    season = small_season(tmp_path)
    first = find(season).detections.read_bytes()
    assert find(season).detections.read_bytes() == first


def test_memory_does_not_grow_with_the_season(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "GROUP_ROWS", 1000)

    def peak(n_files: int) -> int:
        season = small_season(tmp_path / str(n_files), {"a.wav": (8000, "A", "2024-01-05T05:30:00")})
        files = read_files(season.folder / "files.csv").iloc[[0] * n_files].assign(n_windows=1000, seconds=1000.0)
        files["file"] = names = [f"{i}.wav" for i in range(n_files)]
        write_csv(files, season.folder / "files.csv")
        start_s = np.arange(1000.0)
        scores = np.linspace(0, 0.4, 3000, dtype=np.float32).reshape(1000, 3)
        with kept.ScoresWriter(season.folder / "scores.parquet", kept.About(CLASSES, "model", 1.0, 1.0)) as writer:
            for name in names:
                writer.add(name, start_s, start_s + 1, scores)
        tracemalloc.start()
        find(season)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)  # what is imported and kept at first use
    assert peak(160) < peak(20) + 1e6  # the scores alone are 1.7 MB more
