"""What file names tell by the patterns in the settings."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.config.data import ANY_NAME, SOUNDSCAPE_NAME
from tymbal.ingest.names import Named, Names

DEFAULT = Names([SOUNDSCAPE_NAME, ANY_NAME])


def named(**told: Any) -> Named:
    empty = {"pattern": 0, "site": "", "recorded_at": "", "segment": "", "columns": {}, "problem": ""}
    return Named(**(empty | told))


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        (
            "SITE01_20240105_053000_10",
            named(recording="SITE01_20240105_053000", site="SITE01", recorded_at="2024-01-05T05:30:00", segment="10"),
        ),
        ("20240515_221000", named(recording="20240515_221000", recorded_at="2024-05-15T22:10:00")),
        (
            "North_Ridge_20240105_053000",
            named(recording="North_Ridge_20240105_053000", site="North_Ridge", recorded_at="2024-01-05T05:30:00"),
        ),
        ("蛙_3", named(pattern=1, recording="蛙", segment="3")),
        ("1-100032-A-0", named(pattern=1, recording="1-100032-A-0")),
        ("SITE01_20240105_053000_call", named(pattern=1, recording="SITE01_20240105_053000_call")),
    ],
)
def test_the_first_pattern_that_matches_the_whole_stem(stem: str, expected: Named) -> None:
    assert DEFAULT.read((stem,)) == expected


def test_a_name_that_no_pattern_matches() -> None:
    assert Names([SOUNDSCAPE_NAME]).read(("field trip",)) is None


def test_other_groups_are_columns() -> None:
    names = Names([r"(?P<recording>(?P<speaker>[a-z]+)-(?P<take>\d))(?:_(?P<mic>\w))?"])
    found = names.read(("ann-2",))
    assert found is not None
    assert found.columns == {"mic": "", "speaker": "ann", "take": "2"}


@pytest.mark.parametrize(
    ("date", "time", "told"),
    [
        ("20240105", "053000", "2024-01-05T05:30:00"),
        ("2024-01-05", "05-30-00", "2024-01-05T05:30:00"),
        ("240105", "0530", "2024-01-05T05:30:00"),
        ("20240105", "", "2024-01-05"),
        ("", "053000", ""),
    ],
)
def test_ways_of_writing_date_and_time(date: str, time: str, told: str) -> None:
    found = Names([r"(?P<recording>r)(?P<date>[\d-]*)x(?P<time>[\d-]*)"]).read((f"r{date}x{time}",))
    assert found is not None
    assert (found.recorded_at, found.problem) == (told, "")


@pytest.mark.parametrize(
    ("date", "time", "why"),
    [
        ("20241332", "053000", "date '20241332' cannot be"),
        ("20230229", "053000", "date '20230229' cannot be"),
        ("05012024", "053000", "date '05012024' cannot be"),  # day first
        ("20240105", "246000", "time '246000' cannot be"),
        ("2024-0105", "053000", "date '2024-0105' is not YYYYMMDD, YYYY-MM-DD or YYMMDD"),
        ("20240105", "5", "time '5' is not HHMMSS, HH-MM-SS or HHMM"),
    ],
)
def test_dates_and_times_that_cannot_be_are_told(date: str, time: str, why: str) -> None:
    found = Names([r"(?P<recording>r)(?P<date>[\d-]*)x(?P<time>[\d-]*)"]).read((f"r{date}x{time}",))
    assert found is not None
    assert found.recorded_at == ""
    assert why in found.problem


def test_an_empty_recording_is_told() -> None:
    found = Names([r"(?P<recording>[a-z]*)\d*"]).read(("12",))
    assert found is not None
    assert found.problem


@settings(deadline=None, max_examples=100)
@given(
    site=st.from_regex(r"[A-Za-z蛙][A-Za-z0-9蛙-]{0,8}", fullmatch=True),
    moment=st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),
    segment=st.none() | st.integers(1, 999),
)
def test_round_trip(site: str, moment: datetime, segment: int | None) -> None:
    recording = f"{site}_{moment:%Y%m%d_%H%M%S}"
    found = DEFAULT.read(("folder", recording if segment is None else f"{recording}_{segment}"))
    assert found == named(
        recording=recording,
        site=site,
        recorded_at=moment.isoformat(),
        segment="" if segment is None else str(segment),
    )


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=30))
def test_any_name_is_read_or_refused_without_an_exception(stem: str) -> None:
    found = DEFAULT.read((stem,))
    assert found is None or found.recording or found.problem


def test_a_pattern_with_a_slash_is_of_folders_too():
    """Recorders that name files by the time alone lie in a folder a site."""
    names = Names([r"(.*/)?(?P<site>[^/]+)/(?P<recording>(?P<date>\d{8})_(?P<time>\d{6}))", r"(?P<recording>.+)"])
    found = names.read(("2024", "North", "20240105_053000"))
    assert (found.site, found.recording, found.recorded_at) == ("North", "20240105_053000", "2024-01-05T05:30:00")
    assert names.read(("20240105_053000",)).pattern == 1
