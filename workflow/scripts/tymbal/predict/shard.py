"""Predict the recordings of one job."""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tymbal.config.predict import Predict
from tymbal.errors import InputError
from tymbal.evaluate.predictions import check_finite
from tymbal.files import atomic
from tymbal.predict.kept import EMBEDDINGS, FILES, SCORES, About, EmbeddingsWriter, ScoresWriter
from tymbal.predict.model import Predictor
from tymbal.predict.stream import Window, read_windows
from tymbal.predict.windows import Windows
from tymbal.progress import Progress
from tymbal.tables import write_csv

Batch = list[tuple[str, Window]]


class Row(NamedTuple):
    """A window that was predicted."""

    file: str
    start_s: float
    end_s: float
    scores: np.ndarray  # [C]
    log_mel: np.ndarray  # [3], as of `Predicted`


def predict_part(files: Sequence[str], root: Path, predictor: Predictor, settings: Predict, out: Path) -> None:
    """Predict recordings window by window.

    Args:
        files: the recordings, each once, relative to `root` or absolute.
        root: folder.
        predictor: the model.
        settings: how to cut, which channel, how many windows at a time.
        out: folder to write, whole or not at all: `scores.parquet`, `embeddings.npy` with a row for each of its rows,
            and `files.csv` with a row a recording: file, n_windows, seconds (that its windows cover), log_mel_mean,
            log_mel_std (of its frames), problem (empty if it could be read to its end).

    Raises:
        InputError: the settings do not suit the model, its scores are not finite, or its embeddings not within float16.
            What is wrong with a recording is told in `files.csv` instead.
    """
    windows = predictor.windows(settings)
    problems: dict[str, str] = {}
    batches = _batches(_windows(files, root, windows, predictor, settings, problems), settings.batch_size)
    told = {}
    for remains in out.parent.glob(f".{out.name}.*.partial"):  # of a job that was killed
        shutil.rmtree(remains)
    with atomic(out) as part:
        part.mkdir()
        about = About(predictor.classes, predictor.name, windows.length_s, windows.hop_s)
        with ScoresWriter(part / SCORES, about) as scores, EmbeddingsWriter(part / EMBEDDINGS) as embeddings:
            for file, group in groupby(_predicted(predictor, batches, embeddings), key=lambda row: row.file):
                rows = list(group)
                _, start_s, end_s, of_classes, log_mel = (np.array(column) for column in zip(*rows, strict=True))
                scores.add(file, start_s, end_s, of_classes)
                told[file] = (len(rows), end_s[-1], *_mean_and_std(log_mel))
        table = pd.DataFrame(
            [(file, *told.get(file, (0, 0.0, np.nan, np.nan)), problems.get(file, "")) for file in files],
            columns=["file", "n_windows", "seconds", "log_mel_mean", "log_mel_std", "problem"],
        )
        write_csv(table, part / FILES)


def _windows(
    files: Sequence[str],
    root: Path,
    windows: Windows,
    predictor: Predictor,
    settings: Predict,
    problems: dict[str, str],
) -> Iterator[tuple[str, Window]]:
    """The windows of all recordings, one after another; what is wrong with one goes into `problems`."""
    progress = Progress("predicting", len(files), "recordings")
    for file in files:
        try:
            for window in read_windows(root / file, windows, predictor.frontend.sample_rate, settings.channel):
                yield file, window
        except InputError as error:
            problems[file] = str(error)
        except OSError as error:  # a disk that fails within the file
            problems[file] = f"cannot be read: {error.strerror}"
        progress.add()


def _batches(windows: Iterator[tuple[str, Window]], size: int) -> Iterator[Batch]:
    """Batches across recordings; the next is read while one is used."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(lambda: list(islice(windows, size)))
        while batch := coming.result():
            coming = reader.submit(lambda: list(islice(windows, size)))
            yield batch


def _predicted(predictor: Predictor, batches: Iterator[Batch], embeddings: EmbeddingsWriter) -> Iterator[Row]:
    for batch in batches:
        made = predictor([window.waveform for _, window in batch])
        check_finite(made.scores)
        finite = np.isfinite(made.embeddings).all(axis=1)
        if not finite.all():
            raise InputError(
                f"{batch[int(finite.argmin())][0]}: embeddings are beyond {np.finfo(np.float16).max:.0f}, the largest "
                "number of float16: the model's weights have diverged. Lower train.optimizer.lr, and train again."
            )
        embeddings.add(made.embeddings)
        for (file, window), scores, log_mel in zip(batch, made.scores, made.log_mel, strict=True):
            yield Row(file, window.start_s, window.end_s, scores, log_mel)


def _mean_and_std(log_mel: np.ndarray) -> tuple[float, float]:
    """Of all log-mel values, by the sums of each window."""
    n, total, squares = log_mel.sum(axis=0)
    return total / n, max(0.0, squares / n - (total / n) ** 2) ** 0.5
