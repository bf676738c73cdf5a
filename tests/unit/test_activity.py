"""Activity: counts and effort by hour, as counted second by second."""

from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.evaluate.tables import write_table
from tymbal.predict.activity import Activity
from tymbal.predict.merge import Detections
from tymbal.tables import read_csv

CLASSES = ("Owl", "NA")


def files(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["site", "recorded_at", "seconds"])


def found(*rows: tuple[int, float, float]) -> Detections:
    label, start_s, end_s = (np.array(column) for column in zip(*rows, strict=True))
    ones = np.ones(len(rows))
    return Detections(label, start_s, end_s, ones, ones, ones)


def table(activity: Activity) -> dict[tuple[str, str, int | None, str], tuple[float, int, float]]:
    """(site, date, hour, class) -> minutes, detections, seconds."""
    rows = activity.table().itertuples(index=False)
    return {(*row[:2], None if pd.isna(row[2]) else row[2], row[3]): row[4:] for row in rows}


def test_over_midnight_and_the_new_year():
    activity = Activity(files(("A", "2023-12-31T23:59:30", 90.0)), CLASSES)
    activity.add(0, found((0, 20.0, 50.0), (1, 30.0, 45.0)))
    assert table(activity) == {
        ("A", "2023-12-31", 23, "Owl"): (0.5, 1, 10.0),
        ("A", "2023-12-31", 23, "NA"): (0.5, 0, 0.0),
        ("A", "2024-01-01", 0, "Owl"): (1.0, 0, 20.0),  # counted where it starts
        ("A", "2024-01-01", 0, "NA"): (1.0, 1, 15.0),  # it starts at midnight
    }


def test_a_recording_of_a_day_has_every_hour():
    activity = Activity(files(("A", "2024-02-28T12:00:00", 86400.0)), CLASSES)
    activity.add(0, found((0, 0.0, 86400.0)))
    made = activity.table()
    assert (made["minutes_recorded"] == 60).all()
    owl = made[made["class"] == "Owl"]
    assert owl["hour"].tolist() == [*range(12, 24), *range(12)]
    assert owl["date"].tolist() == 12 * ["2024-02-28"] + 12 * ["2024-02-29"]
    assert (owl["detected_s"] == 3600).all()
    assert owl["detections"].tolist() == [1] + 23 * [0]


def test_without_a_time_it_counts_for_the_date_and_without_a_date_for_none():
    activity = Activity(files(("A", "2024-01-05", 7200.0), ("A", "", 60.0), ("", "", 30.0)), CLASSES)
    activity.add(0, found((0, 3599.0, 3602.0)))  # no hour ends here that is known of
    activity.add(2, found((0, 0.0, 30.0)))
    made = table(activity)
    assert made["A", "2024-01-05", None, "Owl"] == (120, 1, 3)
    assert made["A", "", None, "Owl"] == (1, 0, 0)
    assert made["", "", None, "Owl"] == (0.5, 1, 30)
    assert len(made) == 3 * len(CLASSES)


def test_effort_is_what_was_predicted():
    told = files(
        ("A", "2024-01-05T05:30:00", 60.0),
        ("A", "2024-01-05T05:45:00", 12.0),  # damaged after 12 s
        ("A", "2024-01-05T05:50:00", np.nan),
        ("B", "2024-01-05T05:50:00", 0.0),
    )
    made = table(Activity(told, CLASSES))
    assert made == {("A", "2024-01-05", 5, name): (1.2, 0, 0) for name in CLASSES}


def test_nothing_predicted_gives_a_table_without_rows(tmp_path):
    write_table(Activity(files(("A", "", np.nan)), CLASSES).table(), tmp_path / "activity.csv")
    header = "site,date,hour,class,minutes_recorded,detections,detected_s\n"
    assert (tmp_path / "activity.csv").read_text() == header


def test_the_table_is_read_back(tmp_path):
    told = files(("1", "2024-01-05T05:30:00", 20.0), ("NA", "2024-01-05", 20.0), ("1", "2024-01-04T22:00:00", 20.0))
    activity = Activity(told, CLASSES)
    activity.add(1, found((1, 0.0, 1.5)))
    write_table(activity.table(), tmp_path / "activity.csv")
    made = read_csv(tmp_path / "activity.csv", ("site", "date", "class"))
    assert made["site"].tolist() == ["1", "1", "1", "1", "NA", "NA"]
    assert made["date"].tolist() == 2 * ["2024-01-04"] + 4 * ["2024-01-05"]
    assert made["hour"].fillna(-1).tolist() == [22, 22, 5, 5, -1, -1]
    assert made["class"].tolist() == 3 * list(CLASSES)
    assert made["detected_s"].tolist() == [0, 0, 0, 0, 0, 1.5]
    assert ",22,Owl,0.333333333,0,0\n" in (tmp_path / "activity.csv").read_text()


@st.composite
def seasons(draw):
    """Recordings of whole seconds up to a few hours about midnight, each with a few detections."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        at = datetime(2024, 2, 28, 21) + timedelta(seconds=draw(st.integers(0, 6 * 3600)))
        told = draw(st.sampled_from([at.isoformat(), at.isoformat(), at.date().isoformat(), ""]))
        seconds = draw(st.one_of(st.just(0), st.integers(1, 3 * 3600)))
        stretches = st.tuples(st.integers(0, 1), st.integers(0, max(0, seconds - 1)), st.integers(1, 7200))
        own = draw(st.lists(stretches, max_size=4 if seconds else 0))
        made.append((draw(st.sampled_from(["A", "B", ""])), told, seconds, own))
    return made


@settings(deadline=None, max_examples=50)
@given(seasons())
def test_as_counted_second_by_second(season):
    activity = Activity(files(*(row[:3] for row in season)), CLASSES)
    recorded, started, detected = Counter(), Counter(), Counter()
    for i, (site, told, seconds, own) in enumerate(season):
        at = datetime.fromisoformat(told) if "T" in told else None
        cells = [
            (site, moment.date().isoformat(), moment.hour) if at else (site, told, None)
            for moment in ((at or datetime.min) + timedelta(seconds=t) for t in range(seconds))
        ]
        recorded.update(cells)
        stretches = [(c, start, min(start + length, seconds)) for c, start, length in own]
        for c, start, end in stretches:
            started[*cells[start], CLASSES[c]] += 1
            detected.update((*cell, CLASSES[c]) for cell in cells[start:end])
        if stretches:
            activity.add(i, found(*stretches))
    expected = {
        (*cell, name): (pytest.approx(n / 60), started[*cell, name], detected[*cell, name])
        for cell, n in recorded.items()
        for name in CLASSES
    }
    assert table(activity) == expected
