"""Parts of the test clips that figures are told of one by one: how much goes on in a clip, where, when, how loud."""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tymbal.groups import text

log = logging.getLogger(__name__)

MONTHS = {"Dec-Feb": (12, 1, 2), "Mar-May": (3, 4, 5), "Jun-Aug": (6, 7, 8), "Sep-Nov": (9, 10, 11)}
# Levels that are not told in the order of their names.
ORDER = {"season": tuple(MONTHS), "signal_level": ("low", "middle", "high"), "known_site": ("known", "new")}
MOST_LEVELS = 100  # of a slice; what has more tells clips apart, not kinds of clips
MOST_CLASSES = 4  # clips with more classes at a time are one level


@dataclass(frozen=True)
class Clips:
    """What slices are made from.

    Args:
        rows: of the manifest, N test clips.
        labels: soft, [N, C].
        mean_log_mel: gives the mean of each clip's true frames and bins, natural log, [N].
        known_sites: sites of the clips that were trained on.
    """

    rows: pd.DataFrame
    labels: np.ndarray
    mean_log_mel: Callable[[], np.ndarray]
    known_sites: frozenset[str]


def slices(clips: Clips, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The level of each clip in each slice.

    Args:
        clips: N.
        names: `polyphony` (classes with a label above 0, whatever the target rule), `site`, `hour` (of the time
            in the file's name, moved by where in the file the clip begins; files that are segments of a recording bear
            the time at which the recording began), `season` (quarters of the year), `signal_level` (thirds of the
            test clips by mean log-mel), `known_site` (whether clips of the site were trained on), or columns of the
            manifest.

    Returns:
        Slice -> levels [N], "" where a clip's is not known. Slices in which no level is known, or more than 100, are
        left out, and the log says so.
    """
    found = {}
    for name in names:
        levels = _levels(clips, name)
        known = len(set(levels) - {""})
        if known > MOST_LEVELS:
            log.warning("slice %s is left out: it has %d levels, more than %d", name, known, MOST_LEVELS)
        elif known:  # one level: other folds may have others
            found[name] = levels
        else:
            log.info("slice %s is left out: not known", name)
    return found


def sorted_levels(name: str, levels: Iterable[str]) -> list[str]:
    """The levels of a slice in the order to tell them in, numbers in names by their value; "" is none."""
    order = {level: i for i, level in enumerate(ORDER.get(name, ()))}

    def place(level: str) -> tuple[int, list[str | int], str]:
        words = re.split(r"([0-9]+)", level)  # every second one is a number
        return order.get(level, len(order)), [int(w) if i % 2 else w for i, w in enumerate(words)], level

    return sorted(set(levels) - {""}, key=place)


def _levels(clips: Clips, name: str) -> np.ndarray:
    rows = clips.rows
    if name == "polyphony":
        n = (clips.labels > 0).sum(axis=1)
        return np.where(n < MOST_CLASSES, n.astype(str), f"{MOST_CLASSES}+")
    if name == "hour":
        timed = text(rows["recorded_at"]).where(lambda told: told.str.len() > len("2024-01-05"), None)
        begin = pd.to_datetime(timed, format="ISO8601") + pd.to_timedelta(rows["start_s"], unit="s")
        return begin.dt.strftime("%H").fillna("").to_numpy(dtype=str)
    if name == "season":
        season = {f"{month:02d}": quarter for quarter, months in MONTHS.items() for month in months}
        return text(rows["recorded_at"]).str[5:7].map(season).fillna("").to_numpy(dtype=str)
    if name == "signal_level":
        level = clips.mean_log_mel()
        return np.array(ORDER[name])[np.searchsorted(np.quantile(level, [1 / 3, 2 / 3]), level, side="right")]
    if name == "known_site":
        site = text(rows["site"])
        return np.where(site == "", "", np.where(site.isin(list(clips.known_sites)), *ORDER[name]))
    return text(rows[name]).to_numpy(dtype=str) if name in rows else np.full(len(rows), "")
