"""The page of a season: it says what the tables say, stands alone, and holds whatever names and seasons there are."""

import re
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pages import Page
from small_prediction import small_model
from small_season import CLASSES, FILES, small_season
from tymbal.evaluate.thresholds import Threshold, write_thresholds
from tymbal.predict import detections, drift, make_sounds
from tymbal.predict.reference import Reference
from tymbal.report import document, season_figures, season_page
from tymbal.report.season_page import Season, write_season_page
from tymbal.tables import read_csv, write_csv

NASTY = '<script>alert("x")</script> & 夜'
WHY = "the data that the model was trained on are not beside it"


def known(seed=0) -> Reference:
    rng = np.random.default_rng(seed)
    return Reference(
        why=np.array(""),
        embeddings=rng.normal(size=(80, 16)).astype(np.float16),
        scores=rng.beta(0.3, 0.6, (80, 3)).astype(np.float32),
        log_mel_mean=rng.normal(-7.5, 0.4, 80).astype(np.float32),
        recording=np.array([f"r{i // 5}" for i in range(80)]),
        site=np.full(80, "S1"),
        prevalence=np.array([0.1, 0.2, 0.3]),
        n_train=np.array(300),
    )


@pytest.fixture(scope="module")
def card(tmp_path_factory) -> Path:
    return small_model(tmp_path_factory.mktemp("model")) / "model.json"


def written(root: Path, card: Path, files=FILES, reference=None, threshold=0.4) -> Path:
    """Folder of a season with all that its page is made of, and the page."""
    season = small_season(root / "results/2024 春", files)
    folder = season.folder
    write_thresholds(folder / "thresholds.json", {name: Threshold(threshold=threshold) for name in CLASSES})
    (reference or known()).write(folder / "reference.npz")
    at = {name: folder / name for name in ("scores.parquet", "files.csv", "thresholds.json", "calibration.json")}
    scores, table, thresholds, calibration = at.values()
    found = detections.Outputs(*(folder / name for name in ("detections.csv", "raven", "audacity", "activity.csv")))
    detections.find_detections(scores, table, thresholds, calibration, card, "mix", found)
    compared = drift.Outputs(folder / "drift.csv", folder / "class_shares.csv")
    drift.compare_with_training(
        scores, folder / "embeddings.npy", table, thresholds, folder / "reference.npz", compared
    )
    picked = make_sounds.Outputs(folder / "top_clips.csv", folder / "sounds.npz")
    make_sounds.pick_sounds(season.root, "mix", make_sounds.Inputs(*at.values(), card), picked)
    write_season_page(folder, folder / "index.html")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory, card) -> Path:
    return written(tmp_path_factory.mktemp("season"), card)


@pytest.fixture(scope="module")
def page(folder) -> Page:
    return Page(folder / "index.html")


def test_it_fetches_nothing_and_its_links_lead_somewhere(page):
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= {*page.ids, "content"}
    assert "http" not in re.sub(r'"data:[^"]*"', "", page.source).replace("http-equiv", "")
    assert {*page.run_together()} <= {"1.WAV"}  # a file


def test_it_tells_what_the_tables_hold(page, folder):
    found = read_csv(folder / "detections.csv", ("file", "class", "site", "recorded_at"))
    rows = {row[0]: row[1:] for row in page.table("Classes")[1:]}
    assert {*rows} == {*CLASSES}
    for name, mine in found.groupby("class"):
        assert rows[name][0] == str(len(mine))
        assert rows[name][2:4] == [str(mine["file"].nunique()), str(mine["site"].nunique())]
    assert list(rows) == sorted(rows, key=lambda name: -int(rows[name][0]))
    sites = {row[0]: row[1:] for row in page.table("Sites")[1:]}
    assert {"A", "B", "(site not known)"} <= {*sites}
    assert sum(int(row[0]) for row in sites.values()) == len(FILES)


def test_files_with_problems_are_listed(page):
    assert ["lost.wav", "not readable as audio", "0"] in page.table("Files")
    assert "1 file has a problem" in page.text


def test_every_class_can_be_heard(page, folder):
    clips = pd.read_csv(folder / "top_clips.csv")
    assert page.tags.count("audio") == len(clips)
    for file in clips["file"].unique():
        assert escape(file, quote=True) in page.source or file in page.text


def test_the_same_tables_give_the_same_page(folder, tmp_path):
    write_season_page(folder, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (folder / "index.html").read_bytes()


def test_names_are_text_whatever_they_hold(tmp_path, card):
    files = {f"{i} & 夜'.wav": (8000, NASTY if i else "S<1>", f"2024-01-0{i + 1}T05:30:00") for i in range(2)}
    made = Page(written(tmp_path, card, files) / "index.html")
    assert made.tags.count("script") == 1  # the page's own
    assert NASTY in [row[0] for row in made.table("Sites")]


def test_without_a_reference_it_says_why(tmp_path, card):
    made = Page(written(tmp_path, card, reference=Reference.absent(WHY, 3)) / "index.html")
    assert f"Not compared with the training data: {WHY}" in made.text
    assert "Sites, the most unlike first" not in made.captions


def test_a_site_that_is_unlike_is_named_at_the_top(tmp_path, card):
    files = {f"{site}/{k}.wav": (8000, site, "") for site in ("山", "B") for k in range(3)}
    folder = written(tmp_path, card, files)
    table = drift.read_drift(folder / "drift.csv")
    table.loc[(table["site"] == "山") & (table["measure"] == drift.DISTANCE), "verdict"] = drift.UNLIKE
    write_csv(table, folder / "drift.csv")
    write_season_page(folder, folder / "index.html")
    made = Page(folder / "index.html")
    assert "山 does not look like the training data." in made.text
    assert ["山", "does not look like the training data"] in [
        row[:2] for row in made.table("Sites, the most unlike first")
    ]


def test_nothing_detected_and_no_time_known(tmp_path, card):
    made = Page(written(tmp_path, card, {"a.wav": (8000, "", "")}, threshold=1.0) / "index.html")
    assert "No class reached its threshold" in made.text
    assert "3 classes" in made.text
    assert "1 recording has no time" in made.text


def test_detected_but_without_dates(tmp_path, card):
    made = Page(written(tmp_path, card, {"a.wav": (8000, "S", "")}) / "index.html")
    assert "no maps of activity" in made.text


def test_what_has_no_room_is_left_out(folder, tmp_path, monkeypatch):
    """Figures come first, then the best window of each class, then the others."""
    whole = Page(folder / "index.html")
    limit = sum(len(address) for address in whole.addresses if address.startswith("data:")) - 20_000
    monkeypatch.setattr(season_page, "Page", lambda out: document.Page(out, limit))
    write_season_page(folder, tmp_path / "full.html")
    full = Page(tmp_path / "full.html")
    assert {"Effort", "Hours of the day", "How frequent classes are"} <= {*full.images}
    assert full.tags.count("audio") < whole.tags.count("audio")
    assert "this page is full" in full.text.lower()


@pytest.mark.parametrize(
    ("days", "what"), [(1, "day"), (62, "day"), (63, "week"), (430, "week"), (435, "month"), (1800, "month")]
)
def test_maps_have_few_columns_however_long_a_season_is(days, what):
    dates = pd.Series(pd.date_range("2023-12-20", periods=days).strftime("%Y-%m-%d"))
    periods, name = season_figures._periods(dates.sample(frac=1, random_state=0))
    assert name == what
    assert len(periods) <= season_figures.MOST_COLUMNS
    assert set(pd.PeriodIndex(dates, freq=periods.freq)) == set(periods)


def test_long_seasons_are_drawn(folder):
    season = Season.read(folder)
    dates = pd.date_range("2023-12-20", periods=300, freq="3D").strftime("%Y-%m-%d")
    rows = [(site, date, 5, name, 60.0, 3, 9.0) for site in "AB" for date in dates for name in CLASSES]
    activity = pd.DataFrame(rows, columns=season.activity.columns)
    figures = {figure.key: figure.svg for figure in season_page.draw_season(replace(season, activity=activity))}
    assert figures.keys() >= {"effort", "hours", "hours:A", "hours:B", "dates"}


def test_rates_are_detections_per_recorded_hour(folder):
    """Effort counts once, not once a class; an hour that was not recorded has no rate, which is not 0."""
    rows = [("A", "2024-01-01", 5, "Owl", 30.0, 3, 9.0), ("A", "2024-01-01", 5, "蟬", 30.0, 0, 0.0)]
    rows += [("B", "2024-01-02", 5, "Owl", 90.0, 1, 9.0), ("B", "2024-01-02", 5, "蟬", 90.0, 0, 0.0)]
    activity = pd.DataFrame(rows, columns=Season.read(folder).activity.columns)
    effort = season_figures._effort(activity, "hour").reindex(range(24), fill_value=0)
    rates = season_figures._rates(activity, "hour", ["蟬", "Owl"], effort)
    assert effort[5] == 120
    assert rates[:, 5].tolist() == [0, 2]
    assert np.isnan(np.delete(rates, 5, axis=1)).all()
