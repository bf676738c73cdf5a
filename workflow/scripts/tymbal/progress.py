"""Progress of a long step: one line now and then with items done, rate and time left."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TextIO, TypeVar

log = logging.getLogger("tymbal.progress")
T = TypeVar("T")

# Set once by `smk.start`, which sends everything else to the rule's log file.
terminal: TextIO | None = None


class Progress:
    """Counts items and reports at most every `every_s` seconds, and once at the end.

    Example line: `fbank 480/1999 clips, 96.3/s, 16 s left`. A step that is resumed begins with items `done` before.
    """

    def __init__(self, what: str, total: int, unit: str, done: int = 0, every_s: float = 10.0) -> None:
        self.what, self.total, self.unit, self.every_s = what, total, unit, every_s
        self.done = self.done_before = done
        self.start = self.last = time.monotonic()

    def add(self, n: int = 1, note: str = "") -> None:
        """Count `n` more items; `note` is appended to the line if one is due (say, the epoch)."""
        self.done += n
        now = time.monotonic()
        if now - self.last >= self.every_s or self.done >= self.total:
            self.last = now
            rate = (self.done - self.done_before) / max(now - self.start, 1e-9)
            left = (self.total - self.done) / max(rate, 1e-9)
            when = f"{_clock(left)} left" if self.done < self.total else f"done in {_clock(now - self.start)}"
            line = f"{self.what} {self.done}/{self.total} {self.unit}, {rate:.1f}/s, {when}"
            _say(f"{line}, {note}" if note else line)


def track(items: Iterable[T], what: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `items` with progress lines."""
    if total is None:
        assert isinstance(items, Sized)
        total = len(items)
    progress = Progress(what, total, unit)
    for item in items:
        yield item
        progress.add()


def _clock(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _say(line: str) -> None:
    log.info(line)
    if terminal is not None and terminal is not sys.stderr:
        print(line, file=terminal, flush=True)
