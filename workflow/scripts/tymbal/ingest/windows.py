"""Recordings cut into clips of one length, with the labels of each clip.

All times are whole milliseconds inside, so that a recording of many hours gives exactly the clips that it should.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tymbal.config.data import Windows
from tymbal.ingest.records import Event, Record

TOLERANCE_S = 0.1001  # annotation programs round the end of a file
MIN_LEFTOVER_MS = 25  # one frame of the front end; less is the inexact end of a file, not a clip


class Window(NamedTuple):
    """One clip of a file.

    Attributes:
        start_s: from the start of the file.
        length_s: shorter than `Windows.length_s` only for what is left over at the end.
        labels: class -> weight; empty if none of the classes is in it, None if it is not known.
    """

    start_s: float
    length_s: float
    labels: Mapping[str, float] | None


def cut(record: Record, duration_s: float, windows: Windows) -> list[Window]:
    """Cut one file into clips.

    A file shorter than one clip gives none with `last: drop`. With `labels: events` a clip has the label of an event
    if they share `min_overlap_s`, or else the whole of the shorter of the two; of several events with one label the
    largest weight counts. A clip without events has no labels, as the file was listened to.

    Args:
        record: the file, with labels or events. A file of which no events are told keeps its labels.
        duration_s: the file's length, seconds.
        windows: length, hop and label scope.

    Returns:
        The clips, in order of time.
    """
    duration = _floor_ms(duration_s)
    spans = _spans(duration, windows)
    if windows.labels == "recording" or record.events is None:
        return [Window(start / 1000, length / 1000, record.labels) for start, length in spans]
    labels: list[dict[str, float]] = [{} for _ in spans]
    for event in record.events:
        for i in _heard_in(event, duration, spans, windows):
            for name, weight in event.labels.items():
                labels[i][name] = max(weight, labels[i].get(name, 0.0))
    return [Window(start / 1000, length / 1000, own) for (start, length), own in zip(spans, labels, strict=True)]


def in_no_clip(record: Record, duration_s: float, windows: Windows) -> list[Event]:
    """Events that no clip has: short ones across a border, in a gap, or in what was left over at the end."""
    duration = _floor_ms(duration_s)
    spans = _spans(duration, windows)
    return [event for event in record.events or () if not _heard_in(event, duration, spans, windows)]


def beyond_end(record: Record, duration_s: float) -> list[Event]:
    """Events that begin at the end of the file or later: the file is cut short, or it is another one.

    Events that only end later are of programs that pad the last piece of a file, such as BirdNET-Analyzer.
    """
    return [event for event in record.events or () if event.start_s >= duration_s]


def past_end(record: Record, duration_s: float) -> list[Event]:
    """Events that begin before the end of the file and end after it, by more than a tenth of a second."""
    return [
        event for event in record.events or () if event.start_s < duration_s and event.end_s - duration_s > TOLERANCE_S
    ]


def _spans(duration: int, windows: Windows) -> list[tuple[int, int]]:
    """Start and length of each clip."""
    length, hop = _ms(windows.length_s), _hop(windows)
    n_whole = (duration - length) // hop + 1 if duration >= length else 0
    spans = [(i * hop, length) for i in range(n_whole)]
    start, covered = n_whole * hop, sum(spans[-1]) if spans else 0
    if windows.last == "keep" and duration - max(start, covered) >= MIN_LEFTOVER_MS:
        spans.append((start, duration - start))
    return spans


def _heard_in(event: Event, duration: int, spans: Sequence[tuple[int, int]], windows: Windows) -> list[int]:
    """Positions of the clips that have an event."""
    length, hop, enough = _ms(windows.length_s), _hop(windows), _ms(windows.min_overlap_s)
    start, end = (_ms(min(time_s, duration / 1000)) for time_s in (event.start_s, event.end_s))
    end = min(max(end, start + 1), duration)
    if start >= end:
        return []
    # Only these clips end after the event starts and start before it ends.
    touched = range(max(0, (start - length) // hop + 1), min(len(spans), (end - 1) // hop + 1))
    return [
        i for i in touched if min(end, sum(spans[i])) - max(start, spans[i][0]) >= min(enough, end - start, spans[i][1])
    ]


def _hop(windows: Windows) -> int:
    return _ms(windows.length_s if windows.hop_s is None else windows.hop_s)


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def _floor_ms(seconds: float) -> int:
    """Never past the end of a file; the small term because 0.57 * 1000 is 569.99... in floating point."""
    return int(1000 * seconds + 1e-6)
