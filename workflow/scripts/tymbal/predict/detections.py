"""From the scores of windows to what is counted and looked at: detections, text files for other tools, activity."""

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tymbal.evaluate.calibration import read_calibration
from tymbal.evaluate.tables import write_table
from tymbal.evaluate.thresholds import read_thresholds
from tymbal.files import atomic
from tymbal.models.card import read_model_card
from tymbal.predict.activity import Activity, has_time
from tymbal.predict.kept import Scores, read_files
from tymbal.predict.merge import Detections, merge_windows
from tymbal.predict.selections import AUDACITY, RAVEN, label_track, raven_table, write_beside
from tymbal.progress import track

log = logging.getLogger(__name__)

COLUMNS = ("file", "class", "start_s", "end_s", "score", "probability", "n_windows", "site", "recorded_at")


@dataclass(frozen=True)
class Outputs:
    """Files to write."""

    detections: Path
    raven: Path  # folder
    audacity: Path  # folder
    activity: Path


def find_detections(
    scores: Path,
    files: Path,
    thresholds: Path,
    calibration: Path,
    card: Path,
    channel: Literal["mix"] | int,
    outputs: Outputs,
) -> None:
    """Find the detections in many recordings, one recording after another.

    Args:
        scores: `scores.parquet`.
        files: `files.csv`, a row for each recording, whether it has scores or not.
        thresholds: for scores as they are.
        calibration: makes scores probabilities, which are told beside them.
        card: of the model.
        channel: that was predicted, for Raven; `mix` is told as the first.
        outputs: a table of all detections, text files for each recording that has any, and a table of activity.

    Raises:
        InputError: thresholds are missing or of other classes.
    """
    windows, recordings = Scores(scores), read_files(files)
    classes = windows.classes
    levels = np.array([each.threshold for each in read_thresholds(thresholds, classes).values()])
    probabilities = read_calibration(calibration).apply
    high_hz = read_model_card(card)[0].frontend["sample_rate"] / 2
    drawn_in = 1 if channel == "mix" else channel
    activity = Activity(recordings, classes)
    facts = recordings[["file", "site", "recorded_at"]].to_numpy().tolist()
    told = {file: (i, site, recorded_at) for i, (file, site, recorded_at) in enumerate(facts)}
    n_predicted, n_found, n_with = int((recordings["n_windows"] > 0).sum()), 0, 0
    with (
        atomic(outputs.detections) as table,
        atomic(outputs.raven) as raven,
        atomic(outputs.audacity) as audacity,
        table.open("w", encoding="utf-8", newline="") as stream,
    ):
        raven.mkdir()
        audacity.mkdir()
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(COLUMNS)
        for file, start_s, end_s, values in track(windows.by_file(), "detections", "recordings", n_predicted):
            found = merge_windows(start_s, end_s, values, probabilities(values), levels)
            if not len(found.label):
                continue
            recording, site, recorded_at = told[file]
            activity.add(recording, found)
            rows.writerows(_rows(file, found, classes, site, recorded_at))
            write_beside(raven, file, RAVEN, raven_table(file, found, classes, high_hz, drawn_in))
            write_beside(audacity, file, AUDACITY, label_track(found, classes))
            n_found += len(found.label)
            n_with += 1
    write_table(activity.table(), outputs.activity)
    log.info("%d detections in %d of %d recordings with scores", n_found, n_with, n_predicted)


def _rows(file: str, found: Detections, classes: Sequence[str], site: str, recorded_at: str) -> Iterator[Sequence[Any]]:
    names = [classes[label] for label in found.label.tolist()]
    times = (found.start_s.tolist(), found.end_s.tolist())
    scores = (found.score, found.probability)  # their numbers, unlike Python's, are told in as few digits as they take
    moments = _moments(recorded_at, found.start_s)
    return zip(repeat(file), names, *times, *scores, found.n_windows, repeat(site), moments, strict=False)


def _moments(recorded_at: str, start_s: np.ndarray) -> list[str]:
    """When detections start, to the second; no more than the date if no more is known of the recording."""
    if not has_time(recorded_at):
        return [recorded_at] * len(start_s)
    whole_s = np.floor(start_s).astype("timedelta64[s]")
    return np.datetime_as_string(np.datetime64(recorded_at, "s") + whole_s).tolist()
