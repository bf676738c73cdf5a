"""What a page of a season lets one see and hear: the best windows of each class, and a stretch of one recording."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from tymbal.tables import read_csv

TEXT = ("class", "file", "site", "recorded_at")


@dataclass(frozen=True)
class Kept:
    """Pictures and sounds of the K rows of the table, and a strip: a stretch of a recording with n windows.

    Args:
        fbank: [K, T, F] float16, zeros after a clip's end.
        n_frames: [K]; 0 where the recording could not be read.
        audio: MP3 of all clips, one after another, uint8.
        audio_offsets: [K + 1]; an empty stretch where there is no sound.
        audio_note: [K], what is to be said of it, empty if nothing.
        sample_rate: Hz, of what the model hears, [].
        strip_fbank: [T, F] float16; empty if there is no strip.
        strip_file: [] str.
        strip_span: start and end, s, [2].
        strip_start_s: of the windows, [n].
        strip_end_s: likewise.
        strip_scores: [n, k] float32.
        strip_classes: k names.
        strip_thresholds: [k].
    """

    fbank: np.ndarray
    n_frames: np.ndarray
    audio: np.ndarray
    audio_offsets: np.ndarray
    audio_note: np.ndarray
    sample_rate: np.ndarray
    strip_fbank: np.ndarray
    strip_file: np.ndarray
    strip_span: np.ndarray
    strip_start_s: np.ndarray
    strip_end_s: np.ndarray
    strip_scores: np.ndarray
    strip_classes: np.ndarray
    strip_thresholds: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the arrays."""
        with np.load(path) as file:
            return cls(**{name: file[name] for name in file.files})

    def clip(self, k: int) -> tuple[np.ndarray, bytes, str]:
        """Spectrogram [T, F] float32, MP3 and note of clip k."""
        begin, end = self.audio_offsets[k : k + 2]
        frames = self.fbank[k, : self.n_frames[k]].astype(np.float32)
        return frames, self.audio[begin:end].tobytes(), str(self.audio_note[k])


def read_top_clips(path: Path) -> pd.DataFrame:
    """Read the table of the best windows."""
    return read_csv(path, TEXT)
