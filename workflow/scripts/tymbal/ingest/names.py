"""What a file's name tells: its recording, site, date, time and segment, by the patterns in the settings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time

from tymbal.config.data import NAMED

_DATE = re.compile(r"(\d{4})(-?)(\d\d)\2(\d\d)|(\d\d)(\d\d)(\d\d)")
_TIME = re.compile(r"(\d\d)(-?)(\d\d)(?:\2(\d\d))?")


@dataclass(frozen=True, slots=True)
class Named:
    """What one name tells.

    Attributes:
        pattern: position in `name_patterns` of the one that matched, from 0.
        recording: all clips of one recording have the same.
        site: empty if the pattern has no such group, as is `segment`.
        recorded_at: local time of the recording, `2024-01-05T05:30:00`; `2024-01-05` if only the date is named; empty
            without a date.
        segment: as written in the name.
        columns: groups of the pattern beyond the standard ones.
        problem: why recording, date or time cannot be; empty if they can.
    """

    pattern: int
    recording: str
    site: str
    recorded_at: str
    segment: str
    columns: Mapping[str, str]
    problem: str


class Names:
    """Reads names by the first pattern that matches the whole of a stem, or of folders and stem if it holds a `/`."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._of_paths = ["/" in pattern for pattern in patterns]
        self._extra = [sorted(set(pattern.groupindex) - set(NAMED)) for pattern in self._patterns]

    def read(self, parts: Sequence[str]) -> Named | None:
        """What a file's folders and stem (its name without extension) tell; None if no pattern matches."""
        for i, pattern in enumerate(self._patterns):
            if match := pattern.fullmatch("/".join(parts) if self._of_paths[i] else parts[-1]):
                groups = match.groupdict(default="")
                recorded_at, problem = _recorded_at(groups.get("date", ""), groups.get("time", ""))
                if not groups["recording"]:
                    problem = "the name of the recording is empty"
                return Named(
                    pattern=i,
                    recording=groups["recording"],
                    site=groups.get("site", ""),
                    recorded_at=recorded_at,
                    segment=groups.get("segment", ""),
                    columns={name: groups[name] for name in self._extra[i]},
                    problem=problem,
                )
        return None


def _recorded_at(day: str, clock: str) -> tuple[str, str]:
    """ISO text, and what is wrong with it."""
    try:
        parts = [_date(day)] if day else []
        parts += [_time(clock)] if clock else []
    except ValueError as error:
        return "", str(error)
    return "T".join(parts) if day else "", ""


def _date(text: str) -> str:
    match = _DATE.fullmatch(text)
    if not match:
        raise ValueError(f"date {text!r} is not YYYYMMDD, YYYY-MM-DD or YYMMDD")
    year, _, month, day, short_year, short_month, short_day = match.groups()
    try:
        if year:
            return date(int(year), int(month), int(day)).isoformat()
        return date(2000 + int(short_year), int(short_month), int(short_day)).isoformat()
    except ValueError as error:
        raise ValueError(f"date {text!r} cannot be ({error})") from None


def _time(text: str) -> str:
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError(f"time {text!r} is not HHMMSS, HH-MM-SS or HHMM")
    hour, _, minute, second = match.groups(default="0")
    try:
        return time(int(hour), int(minute), int(second)).isoformat()
    except ValueError as error:
        raise ValueError(f"time {text!r} cannot be ({error})") from None
