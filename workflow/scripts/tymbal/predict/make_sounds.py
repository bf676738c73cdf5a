"""Picking what a page of a season lets one see and hear."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch

from tymbal.audio import decode
from tymbal.errors import InputError
from tymbal.evaluate.calibration import Calibration, read_calibration
from tymbal.evaluate.examples import padded
from tymbal.evaluate.sounds import LONGEST_S, RATES, Sound, mp3
from tymbal.evaluate.tables import write_table
from tymbal.evaluate.thresholds import read_thresholds
from tymbal.fbank import BACKENDS
from tymbal.files import atomic
from tymbal.models.card import read_model_card
from tymbal.predict.kept import FileScores, Scores, read_files
from tymbal.predict.sounds import Kept
from tymbal.spectrogram import FeatureState

log = logging.getLogger(__name__)

N_BEST = 3  # windows of a class, each of another recording
STRIP_S = 180  # of a recording that is shown with its scores
STRIP_CLASSES = 6  # at most
COLUMNS = ["class", "rank", "file", "start_s", "end_s", "score", "probability", "detected"]


@dataclass(frozen=True)
class Inputs:
    """Files that a season's sounds are picked by."""

    scores: Path
    files: Path
    thresholds: Path
    calibration: Path
    card: Path


@dataclass(frozen=True)
class Outputs:
    """Files that are written."""

    table: Path  # CSV: class, rank, file, start_s, end_s, score, probability, detected, site, recorded_at
    arrays: Path  # NPZ, see `sounds.Kept`


class Recordings(NamedTuple):
    """How recordings are read: as the model reads them."""

    root: Path  # that names of files are relative to
    channel: Literal["mix"] | int
    state: FeatureState

    def frames(self, file: str, start_s: float, end_s: float) -> np.ndarray:
        """Log-mel features of a stretch, [T, F] float16.

        Raises:
            InputError: it cannot be decoded, or is too short for a frame.
        """
        rate = self.state.sample_rate
        samples = decode(self.root / file, rate, start_s, end_s - start_s, self.channel)
        frames = BACKENDS[self.state.backend](torch.from_numpy(samples), rate, self.state.n_mels)
        return frames.numpy().astype(np.float16)

    def sound(self, file: str, start_s: float, end_s: float) -> Sound:
        """A stretch as MP3: one channel at up to 16 kHz, up to 30 s, all equally loud.

        Raises:
            InputError: it cannot be decoded.
        """
        rate = next((rate for rate in RATES if rate >= self.state.sample_rate), RATES[-1])
        samples = decode(self.root / file, rate, start_s, min(end_s - start_s, LONGEST_S), self.channel)
        whole = end_s - start_s <= LONGEST_S
        return Sound(mp3(samples, rate), "" if whole else f"the first {LONGEST_S} s of {end_s - start_s:g} s")


def pick_sounds(root: Path, channel: Literal["mix"] | int, inputs: Inputs, outputs: Outputs) -> None:
    """Pick the windows of highest score of each class, and the stretch of a recording in which most happens.

    Of a class that is detected they are up to three, each of another recording; of one that is not, the one nearest to
    its threshold. A recording that cannot be read any more is told in a note: a page can do without its sound.

    Args:
        root: that names of files are relative to.
        channel: of the recordings, as in `audio.decode`.
        inputs: what to read.
        outputs: what to write.
    """
    scores = Scores(inputs.scores)
    limits = np.array([each.threshold for each in read_thresholds(inputs.thresholds, scores.classes).values()])
    card, _ = read_model_card(inputs.card)
    recordings = Recordings(root, channel, FeatureState.from_json(card.frontend))

    best, strip = _Best(scores.classes, read_calibration(inputs.calibration)), _Strip()
    for recording in scores.by_file():
        best.add(recording)
        strip.add(recording, limits)
    places = read_files(inputs.files).set_index("file")[["site", "recorded_at"]]
    table = best.table(limits).join(places, on="file")
    write_table(table, outputs.table)
    clips = [_clip(recordings, row) for row in table.itertuples()]
    fbank, n_frames = padded([frames for frames, _ in clips])
    kept = Kept(
        fbank=fbank,
        n_frames=n_frames,
        audio=np.frombuffer(b"".join(sound.mp3 for _, sound in clips), dtype=np.uint8),
        audio_offsets=np.cumsum([0, *(len(sound.mp3) for _, sound in clips)]),
        audio_note=np.array([sound.note for _, sound in clips], dtype=np.str_),
        **strip.arrays(recordings, scores.classes, limits),
    )
    with atomic(outputs.arrays) as partial:
        np.savez_compressed(partial, allow_pickle=False, **vars(kept))


class _Best:
    """The windows of highest score of each class, each of another recording, of those seen so far."""

    def __init__(self, classes: tuple[str, ...], calibration: Calibration) -> None:
        self._classes, self._calibration = classes, calibration
        self._rows: list[list[dict[str, Any]]] = [[] for _ in classes]
        self._least = np.full(len(classes), -np.inf)  # score to be beaten

    def add(self, recording: FileScores) -> None:
        first = recording.scores.argmax(axis=0)
        score = recording.scores[first, np.arange(len(first))]
        for c in np.flatnonzero(score > self._least).tolist():
            i, rows = first[c], self._rows[c]
            times = {"start_s": recording.start_s[i], "end_s": recording.end_s[i]}
            probability = self._calibration.apply(recording.scores[i : i + 1])[0, c]
            rows.append({"file": recording.file, **times, "score": score[c], "probability": probability})
            rows.sort(key=lambda row: -row["score"])
            del rows[N_BEST:]
            if len(rows) == N_BEST:
                self._least[c] = rows[-1]["score"]

    def table(self, limits: np.ndarray) -> pd.DataFrame:
        """The rows of all classes, the best of each first: where a page has no room, the later ones are left out."""
        found = []
        for name, rows, limit in zip(self._classes, self._rows, limits, strict=True):
            detected = [row for row in rows if row["score"] >= limit]
            told = {"class": name, "detected": int(bool(detected))}
            found += [{**told, "rank": rank, **row} for rank, row in enumerate(detected or rows[:1], start=1)]
        return pd.DataFrame(found, columns=COLUMNS).sort_values("rank", kind="stable", ignore_index=True)


@dataclass
class _Strip:
    """The stretch, of those seen so far, in which detections begin and end most often; then that with most of them."""

    busiest: tuple[int, int] = (-1, -1)
    windows: FileScores | None = None

    def add(self, recording: FileScores, limits: np.ndarray) -> None:
        detected = recording.scores.astype(np.float64) >= limits  # [n, C]
        changes = np.append(0, (detected[1:] != detected[:-1]).sum(axis=1))
        ends = np.searchsorted(recording.end_s, recording.start_s + STRIP_S, side="right")
        starts = np.arange(len(ends))
        ends = np.maximum(ends, starts + 1)  # a window may be longer
        n_changes = _between(changes, starts + 1, ends)
        n_detected = _between(detected.sum(axis=1), starts, ends)
        first = int(np.lexsort((-n_detected, -n_changes))[0])
        busy = int(n_changes[first]), int(n_detected[first])
        if busy > self.busiest:
            rows = slice(first, ends[first])
            self.busiest = busy
            self.windows = FileScores(
                recording.file, recording.start_s[rows], recording.end_s[rows], recording.scores[rows]
            )

    def arrays(self, recordings: Recordings, classes: tuple[str, ...], limits: np.ndarray) -> dict[str, np.ndarray]:
        """The part of `Kept` that is about the strip."""
        none = np.zeros(0)
        windows = self.windows or FileScores("", none, none, np.zeros((0, len(classes)), np.float32))
        span = (windows.start_s[0], windows.end_s[-1]) if len(windows.start_s) else (0.0, 0.0)
        frames = np.zeros((0, recordings.state.n_mels), np.float16)
        if windows.file:
            try:
                frames = recordings.frames(windows.file, *span)
            except (InputError, OSError) as error:
                log.warning("no spectrogram of %s: %s", windows.file, error)
        detected = (windows.scores.astype(np.float64) >= limits).sum(axis=0)
        highest = windows.scores.max(axis=0, initial=0)
        shown = np.sort(np.lexsort((-highest, -detected))[:STRIP_CLASSES])
        return {
            "sample_rate": np.array(recordings.state.sample_rate),
            "strip_fbank": frames,
            "strip_file": np.array(windows.file, dtype=np.str_),
            "strip_span": np.array(span),
            "strip_start_s": windows.start_s,
            "strip_end_s": windows.end_s,
            "strip_scores": windows.scores[:, shown],
            "strip_classes": np.array(classes, dtype=np.str_)[shown],
            "strip_thresholds": limits[shown],
        }


def _between(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums of stretches of values; 0 where one is empty."""
    sums = np.append(0, np.cumsum(values))
    return sums[np.maximum(ends, starts)] - sums[starts]


def _clip(recordings: Recordings, row: Any) -> tuple[np.ndarray, Sound]:
    """Features and sound of a row of the table."""
    try:
        frames = recordings.frames(row.file, row.start_s, row.end_s)
        return frames, recordings.sound(row.file, row.start_s, row.end_s)
    except (InputError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        log.warning("no sound of %s: %s", row.file, why)
        return np.zeros((0, recordings.state.n_mels), np.float16), Sound(b"", f"no sound: {why}")
