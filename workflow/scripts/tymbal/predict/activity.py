"""How much of each class was detected in each hour of the clock, beside how much was listened to."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tymbal.predict.merge import Detections

HOUR = 3600  # seconds
UNKNOWN = -1  # hour of a recording whose name tells no time


def has_time(recorded_at: str) -> bool:
    """Whether the time of a recording is known, not its date alone or not even that."""
    return "T" in recorded_at


class Activity:
    """Sums detections and effort by site, date and hour.

    A recording counts as far as it was predicted, and where it lies: it is cut at every full hour, and so at midnight.
    One whose time is not known is not cut; it counts for its date, or for no date.

    Args:
        files: a row a recording: `site, recorded_at, seconds`, the last empty where nothing was predicted.
        classes: C names.
    """

    def __init__(self, files: pd.DataFrame, classes: Sequence[str]) -> None:
        self._classes = classes
        at = files["recorded_at"].to_numpy(dtype="datetime64[s]")
        timed = files["recorded_at"].map(has_time).to_numpy(dtype=bool)
        first_hour = at.astype("datetime64[h]")
        self._offset_s = np.where(timed, (at - first_hour).astype(np.int64), 0)
        seconds = files["seconds"].fillna(0).to_numpy()

        # Each recording in parts, of an hour or less.
        stretch, hour, part_s = _by_hour(self._offset_s, self._offset_s + seconds)
        self._first = np.searchsorted(stretch, np.arange(len(files) + 1))  # part of each recording
        moment = first_hour[stretch] + np.where(timed[stretch], hour, 0)
        day = moment.astype("datetime64[D]")
        clock = np.where(timed[stretch], (moment - day).astype(np.int64), UNKNOWN)
        date = np.where(np.isnat(day), "", np.datetime_as_string(day))
        site = files["site"].to_numpy()[stretch]

        parts = pd.DataFrame({"site": site, "date": date, "hour": clock, "seconds": part_s})
        by_hour = parts.groupby(["site", "date", "hour"])
        self._hour = by_hour.ngroup().to_numpy()  # of each part: which row of the effort it is in
        self._effort = by_hour["seconds"].sum().reset_index()

        shape = (len(self._effort), len(classes))
        self._detections, self._detected_s = np.zeros(shape, np.int64), np.zeros(shape)

    def add(self, recording: int, found: Detections) -> None:
        """Count detections where they start, and their seconds where they lie.

        Args:
            recording: its position in the table of recordings.
            found: its detections.
        """
        begin_s, end_s = (self._offset_s[recording] + seconds for seconds in (found.start_s, found.end_s))
        hours = self._hour[self._first[recording] : self._first[recording + 1]]  # one after another
        np.add.at(self._detections, (hours[(begin_s // HOUR).astype(np.int64)], found.label), 1)
        detection, hour, part_s = _by_hour(begin_s, end_s)
        np.add.at(self._detected_s, (hours[hour], found.label[detection]), part_s)

    def table(self) -> pd.DataFrame:
        """`site, date, hour, class, minutes_recorded, detections, detected_s`, by site, date and hour.

        Every class has a row in every hour listened to; the effort is that of the hour, the same in all of them.
        """
        n = len(self._classes)
        effort = self._effort.loc[self._effort.index.repeat(n)].reset_index(drop=True)
        return pd.DataFrame(
            {
                "site": effort["site"],
                "date": effort["date"],
                "hour": effort["hour"].astype("Int64").mask(effort["hour"] == UNKNOWN),
                "class": np.tile(np.array(self._classes, dtype=object), len(self._effort)),
                "minutes_recorded": effort["seconds"] / 60,
                "detections": self._detections.ravel(),
                "detected_s": self._detected_s.ravel(),
            }
        )


def _by_hour(begin_s: np.ndarray, end_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stretches cut at full hours; those without length vanish.

    Args:
        begin_s: [N] counted from a full hour.
        end_s: [N] counted from the same.

    Returns:
        Of each part its stretch, its hour (0 is the one counted from) and its seconds.
    """
    first = (begin_s // HOUR).astype(np.int64)
    n = np.where(end_s > begin_s, np.ceil(end_s / HOUR).astype(np.int64) - first, 0)
    stretch = np.repeat(np.arange(len(n)), n)
    hour = first[stretch] + np.arange(n.sum()) - (np.cumsum(n) - n)[stretch]
    part_s = np.minimum(end_s[stretch], (hour + 1) * HOUR) - np.maximum(begin_s[stretch], hour * HOUR)
    return stretch, hour, part_s
