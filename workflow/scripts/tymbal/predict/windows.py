"""Where a recording is cut into windows. All are whole, and together they hold every sample."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Windows:
    """How recordings are cut, at whatever rate they have."""

    length_s: float
    overlap: float  # share of a window that the next one has too

    @property
    def hop_s(self) -> float:
        """From the start of a window to that of the next."""
        return self.length_s * (1 - self.overlap)

    def at(self, rate: int) -> tuple[int, int]:
        """Length and hop in samples."""
        return max(1, round(self.length_s * rate)), max(1, round(self.hop_s * rate))


def cut(parts: Iterable[np.ndarray], size: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut what comes piece by piece; not much more than a window of it is held.

    Windows begin at 0, hop, 2 hop, ...; the last is moved back so that it ends with the recording. A recording that is
    shorter than a window is one window.

    Args:
        parts: [n] each, in order.
        size: of a window, in samples.
        hop: from start to start, at most `size`.

    Yields:
        First sample of a window, and its samples.
    """
    held: list[np.ndarray] = []  # samples from `first` up to `end`
    first = end = start = 0  # `start` is that of the next window
    for part in parts:
        held.append(part)
        end += len(part)
        if start + size > end:
            continue
        samples = np.concatenate(held)
        while start + size <= end:
            yield start, samples[start - first :][:size]
            start += hop
        held, first = [samples[end - size - first :]], end - size  # the last window may begin there
    last = max(0, end - size)
    if end and (start == 0 or last > start - hop):
        yield last, np.concatenate(held)[last - first :]
