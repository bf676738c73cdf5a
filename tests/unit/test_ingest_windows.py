"""Recordings cut into clips: which clips, and which of them have a label."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tymbal.config.data import Windows
from tymbal.ingest.records import Event, Record
from tymbal.ingest.windows import beyond_end, cut, in_no_clip, past_end


def windows(length_s: float = 3.0, **others: Any) -> Windows:
    return Windows(**({"length_s": length_s, "labels": "events"} | others))


def with_events(*events: tuple[float, float, str]) -> Record:
    return Record("a.wav", "a.txt", None, tuple(Event(start, end, {label: 1.0}) for start, end, label in events))


def test_clips_have_the_events_they_overlap_and_no_label_else() -> None:
    record = with_events((1.0, 4.0, "Bird"), (5.0, 5.2, "Frog"), (2.8, 3.0, "Frog"))
    assert cut(record, 9.5, windows()) == [
        (0.0, 3.0, {"Bird": 1.0, "Frog": 1.0}),
        (3.0, 3.0, {"Bird": 1.0, "Frog": 1.0}),
        (6.0, 3.0, {}),
    ]


def test_an_event_counts_where_it_overlaps_enough() -> None:
    record = with_events((2.51, 3.5, "Bird"))  # 490 ms in the first clip, 500 ms in the second
    assert [clip.labels for clip in cut(record, 6.0, windows())] == [{}, {"Bird": 1.0}]
    assert [clip.labels for clip in cut(record, 6.0, windows(min_overlap_s=0.49))] == [{"Bird": 1.0}] * 2


def test_a_short_event_must_lie_in_the_clip_whole() -> None:
    across = with_events((2.9, 3.1, "Bird"))
    assert [clip.labels for clip in cut(across, 6.0, windows())] == [{}, {}]
    assert in_no_clip(across, 6.0, windows()) == list(across.events or ())
    assert [clip.labels for clip in cut(across, 6.0, windows(hop_s=1.5))] == [{}, {"Bird": 1.0}, {}]
    assert in_no_clip(across, 6.0, windows(hop_s=1.5)) == []


def test_the_largest_weight_counts() -> None:
    events = tuple(Event(0, 1, {"Bird": weight}) for weight in (0.3, 0.6, 0.5))
    assert [clip.labels for clip in cut(Record("a", "", None, events), 3.0, windows())] == [{"Bird": 0.6}]


def test_the_leftover_is_dropped_or_kept_as_asked() -> None:
    record = with_events((6.1, 9.0, "Bird"))
    assert [clip[:2] for clip in cut(record, 6.4, windows())] == [(0.0, 3.0), (3.0, 3.0)]
    # All of the leftover is the bird's, though it is shorter than the least overlap.
    assert cut(record, 6.4, windows(last="keep"))[2:] == [(6.0, 0.4, {"Bird": 1.0})]
    assert [clip[:2] for clip in cut(record, 6.4, windows(last="keep", hop_s=2.0))] == [
        (0.0, 3.0),
        (2.0, 3.0),
        (4.0, 2.4),
    ]


def test_what_is_left_of_an_inexact_end_is_no_clip() -> None:
    assert len(cut(with_events(), 60.012, windows(6.0, last="keep"))) == 10


def test_a_file_shorter_than_a_clip() -> None:
    record = with_events((0.0, 1.0, "Bird"))
    assert cut(record, 2.0, windows()) == []
    assert in_no_clip(record, 2.0, windows()) == list(record.events or ())
    assert cut(record, 2.0, windows(last="keep")) == [(0.0, 2.0, {"Bird": 1.0})]


def test_no_leftover_in_the_gap_between_clips() -> None:
    assert [clip[:2] for clip in cut(with_events(), 9.0, windows(hop_s=10.0, last="keep"))] == [(0.0, 3.0)]
    assert [clip[:2] for clip in cut(with_events(), 11.0, windows(hop_s=10.0, last="keep"))] == [
        (0.0, 3.0),
        (10.0, 1.0),
    ]


@pytest.mark.parametrize("labels", [{"Bird": 0.6}, {}, None])
def test_labels_of_the_recording_on_every_clip(labels: dict[str, float] | None) -> None:
    clips = cut(Record("a", "", labels), 6.0, windows(labels="recording"))
    assert [clip.labels for clip in clips] == [labels, labels]


def test_a_file_that_nobody_listened_to_stays_unlabelled() -> None:
    assert [clip.labels for clip in cut(Record("a", "", None), 3.0, windows())] == [None]


def test_events_beyond_and_past_the_end_are_told() -> None:
    record = with_events((5.0, 6.1, "Bird"), (5.0, 6.2, "Frog"), (7.0, 1e308, "Owl"))
    _, frog, owl = record.events or ()
    assert beyond_end(record, 6.0) == [owl]
    assert past_end(record, 6.0) == [frog]
    assert [clip.labels for clip in cut(record, 6.0, windows())] == [{}, {"Bird": 1.0, "Frog": 1.0}]


def test_an_event_that_ends_just_beyond_the_end_lies_in_the_last_clip() -> None:
    assert [clip.labels for clip in cut(with_events((5.95, 6.05, "Bird")), 6.0, windows())] == [{}, {"Bird": 1.0}]


@pytest.mark.parametrize("key", ["length_s", "hop_s", "min_overlap_s"])
def test_lengths_are_whole_milliseconds(key: str) -> None:
    with pytest.raises(ValidationError, match="whole number of milliseconds"):
        windows(**{key: 1.0004})
    assert getattr(windows(**{key: 0.57}), key) == 0.57


def test_a_day_at_three_seconds() -> None:
    clips = cut(with_events((86397.2, 86399.9, "Bird")), 86400.0, windows())
    assert len(clips) == 28800
    assert clips[-1] == (86397.0, 3.0, {"Bird": 1.0})
    assert {len(clip.labels or ()) for clip in clips[:-1]} == {0}


MS = st.integers(1, 20_000)


@settings(deadline=None, max_examples=200)
@given(n_ms=st.integers(1, 200_000), length=st.integers(100, 20_000), hop=st.integers(100, 20_000), keep=st.booleans())
def test_which_clips(n_ms: int, length: int, hop: int, keep: bool) -> None:
    setting = windows(length / 1000, hop_s=hop / 1000, last="keep" if keep else "drop")
    spans = [(round(1000 * start), round(1000 * size)) for start, size, _ in cut(with_events(), n_ms / 1000, setting)]
    whole = [(start, length) for start in range(0, n_ms - length + 1, hop)]
    assert spans[: len(whole)] == whole
    leftover = spans[len(whole) :]
    if not keep:
        assert leftover == []
    for start, size in leftover:
        assert len(leftover) == 1
        assert start == len(whole) * hop
        assert start + size == n_ms
        assert 25 <= size < length
    covered = {ms for start, size in spans for ms in range(start, start + size)}
    if keep and hop <= length:
        assert n_ms - len(covered) < 25
    if hop >= length:
        assert len(covered) == sum(size for _, size in spans)  # no overlap


@settings(deadline=None, max_examples=200)
@given(
    n_ms=st.integers(1000, 40_000),
    length=st.integers(500, 5000),
    hop=st.integers(200, 6000),
    least=st.integers(1, 3000),
    keep=st.booleans(),
    stretches=st.lists(st.tuples(st.integers(0, 41_000), st.integers(1, 9000)), max_size=5),
)
def test_an_event_is_in_exactly_the_clips_that_it_overlaps_enough(
    n_ms: int, length: int, hop: int, least: int, keep: bool, stretches: list[tuple[int, int]]
) -> None:
    setting = windows(length / 1000, hop_s=hop / 1000, min_overlap_s=least / 1000, last="keep" if keep else "drop")
    record = with_events(*((start / 1000, (start + size) / 1000, str(i)) for i, (start, size) in enumerate(stretches)))
    clips = cut(record, n_ms / 1000, setting)
    landed = set()
    for clip in clips:
        a, b = (Fraction(round(1000 * t)) for t in (clip.start_s, clip.start_s + clip.length_s))
        expected = set()
        for i, (start, size) in enumerate(stretches):
            end = min(start + size, n_ms)
            overlap = min(end, b) - max(start, a)
            if overlap > 0 and overlap >= min(least, end - start, b - a):
                expected.add(str(i))
        assert set(clip.labels or ()) == expected
        landed |= expected
    lost = {label for event in in_no_clip(record, n_ms / 1000, setting) for label in event.labels}
    assert lost == {str(i) for i in range(len(stretches))} - landed


@settings(deadline=None, max_examples=20)
@given(n_ms=st.integers(3_600_000, 260_000_000), length=st.integers(1000, 60_000), hop=st.integers(5000, 60_000))
def test_hours_and_days_give_no_clip_too_many_or_too_few(n_ms: int, length: int, hop: int) -> None:
    clips = cut(with_events(), n_ms / 1000, windows(length / 1000, hop_s=hop / 1000))
    assert len(clips) == (n_ms - length) // hop + 1
    assert round(1000 * clips[-1].start_s) == (len(clips) - 1) * hop
