"""Every byte of every file read: its length, rate, channels and hash, and whether it can be used whole."""

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from tymbal.audio import DamagedError, NotFiniteError, blocks, opened
from tymbal.config.data import Features
from tymbal.errors import InputError
from tymbal.ingest.containers import bytes_missing, lacks_last_page, tells_length
from tymbal.ingest.problems import NOT_FINITE, TOO_SHORT, TRUNCATED, UNREADABLE
from tymbal.progress import Progress
from tymbal.spectrogram import FRAME_LENGTH_MS, FRAME_SHIFT_MS
from tymbal.tables import read_csv, write_csv

log = logging.getLogger(__name__)

TEXT = ("file", "sha256", "problem")
LONGEST = 2**62  # samples; libsndfile gives more than these for a length that is not told
BATCH = 1000  # files handed to the threads at a time


class Measured(NamedTuple):
    """What is known of one file.

    Attributes:
        file: relative to the folder.
        sample_rate: Hz; of features, the rate of the audio they were computed from.
        channels: 1 for features.
        duration_s: of the whole file, seconds.
        n_samples: of each channel; of features, the number of frames without padding.
        sha256: of the whole file.
        size: of the whole file, bytes.
        mtime_ns: when it was last changed, nanoseconds since 1970.
        problem: kind and reason, separated by a colon; empty if the file can be used.
    """

    file: str
    sample_rate: int = 0
    channels: int = 0
    duration_s: float = 0.0
    n_samples: int = 0
    sha256: str = ""
    size: int = 0
    mtime_ns: int = 0
    problem: str = ""


def measure(folder: Path, files: Sequence[str], features: Features | None, threads: int) -> pd.DataFrame:
    """Read files from beginning to end.

    Args:
        folder: where they are.
        files: which, relative to `folder`.
        features: what is declared of `.pt` features; None for audio.
        threads: files read at a time.

    Returns:
        One row a file, in the order given, with the fields of `Measured`.
    """
    return pd.DataFrame(_each(folder, files, features, threads), columns=list(Measured._fields))


def complete(
    measured: pd.DataFrame, folder: Path, files: Sequence[str], features: Features | None, threads: int
) -> pd.DataFrame:
    """Bring what was measured up to date: read the files that are new, that changed since, or that had problems.

    Args:
        measured: what is known so far.
        folder: where the files are.
        files: all that are wanted, relative to `folder`.
        features: as for `measure`.
        threads: files read at a time.

    Returns:
        As `measure`, in any order.
    """
    now = _stamps(folder, files)
    known = zip(measured["file"], measured["size"], measured["mtime_ns"], measured["problem"], strict=True)
    # A file that is not wanted any more has no stamp.
    as_before = [not problem and now.get(file) == (size, mtime) for file, size, mtime, problem in known]
    fine = measured.loc[np.array(as_before, dtype=bool)]
    others = sorted(set(files) - set(fine["file"]))
    if not others:
        return fine
    log.info("%d of %d files are new, changed or had problems, and are read now", len(others), len(files))
    return pd.concat([fine, measure(folder, others, features, threads)], ignore_index=True)


def part_of(files: Sequence[str], shard: str) -> Sequence[str]:
    """The files of one of n parts of equal size, `1-of-n` to `n-of-n`."""
    i, n = map(int, shard.split("-of-"))
    return files[len(files) * (i - 1) // n : len(files) * i // n]


def write_measured(measured: pd.DataFrame, path: Path) -> None:
    """Write what was measured as CSV."""
    write_csv(measured, path)


def read_measured(paths: Sequence[Path]) -> pd.DataFrame:
    """Read what was measured, one table a shard."""
    tables = [read_csv(path, TEXT) for path in paths]
    # Shards without a file have no types to bring in.
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _stamps(folder: Path, files: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Size and time of each file that is there, folder by folder: a file server tells them with a folder's names."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        above, _, name = file.rpartition("/")
        wanted[above].add(name)
    found = {}
    for above, names in wanted.items():
        # What cannot be looked at is left out, and so read, which tells why.
        with suppress(OSError), os.scandir(folder / above) as entries:
            for entry in entries:
                if entry.name in names:
                    with suppress(OSError):
                        status = entry.stat()
                        found[f"{above}/{entry.name}" if above else entry.name] = (status.st_size, status.st_mtime_ns)
    return found


def _each(folder: Path, files: Sequence[str], features: Features | None, threads: int) -> Iterator[Measured]:
    progress = Progress("reading", len(files), "files")
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(files), BATCH):
            for one in pool.map(lambda file: _one(folder, file, features), files[start : start + BATCH]):
                yield one
                progress.add()


def _one(folder: Path, file: str, features: Features | None) -> Measured:
    try:
        with (folder / file).open("rb", buffering=0) as data:
            status = os.fstat(data.fileno())  # before reading, so that a change meanwhile is noticed next time
            sha256 = hashlib.file_digest(data, "sha256").hexdigest()
            if data.tell() == 0:
                return Measured(file, problem=f"{UNREADABLE}: 0 bytes")
            known = Measured(file, sha256=sha256, size=status.st_size, mtime_ns=status.st_mtime_ns)
            if features is not None:
                return _features(folder / file, features, known)
            data.seek(0)
            return _audio(data, known)
    except OSError as error:
        return Measured(file, problem=f"{UNREADABLE}: {error.strerror}")
    except NotFiniteError as error:
        return Measured(file, problem=f"{NOT_FINITE}: {error}")
    except DamagedError as error:
        return Measured(file, problem=f"{TRUNCATED}: {error}")
    except InputError as error:
        return Measured(file, problem=f"{UNREADABLE}: {error}")


def _audio(data: BinaryIO, known: Measured) -> Measured:
    # By the descriptor, because its position tells how much of the file was decoded.
    with opened(data.fileno()) as sound:
        rate, n_told = sound.samplerate, sound.frames
        if n_told > LONGEST:
            raise InputError("it does not tell its length, as if it came from a pipe; convert it to WAV or FLAC again")
        n_samples = sum(len(block) for block in blocks(sound))
        problem = cut_short(data, sound.format, n_samples, n_told)
        if not problem and n_samples * 1000 < rate * FRAME_LENGTH_MS:
            length = f"{n_samples} sample{'s' if n_samples != 1 else ''}, {1000 * n_samples / rate:.1f} ms"
            problem = f"{TOO_SHORT}: {length}, expected at least {FRAME_LENGTH_MS} ms"
        return known._replace(
            sample_rate=rate,
            channels=sound.channels,
            duration_s=n_samples / rate,
            n_samples=n_samples,
            problem=problem,
        )


def cut_short(data: BinaryIO, form: str, n_samples: int, n_told: int) -> str:
    """Why the samples decoded cannot be all that there were; empty if nothing says so."""
    position = data.tell()
    size = data.seek(0, 2)
    if form == "OGG" and lacks_last_page(data):
        return f"{TRUNCATED}: ends before the last page of its stream"
    if form == "MP3" and not tells_length(data):
        # The rest holds more than tags: the guess at the length was too short, and libsndfile stops there.
        if size - position > max(1024, size // 100):
            return f"{UNREADABLE}: an MP3 of varying bit rate that does not tell its length; save it as FLAC or WAV"
        return ""
    if n_samples < n_told:
        return f"{TRUNCATED}: {n_samples} of {n_told} samples"
    if missing := bytes_missing(data):
        return f"{TRUNCATED}: {missing} bytes of samples are missing at its end"
    return ""


def _features(path: Path, features: Features, known: Measured) -> Measured:
    from tymbal.imported import n_padding, read_features  # loads torch, of which audio needs nothing

    x = read_features(path, features)  # [T, F]
    n_frames = len(x) - n_padding(x, features.padding)
    if n_frames == 0:
        return known._replace(problem=f"{TOO_SHORT}: nothing but {len(x)} rows of padding")
    return known._replace(
        sample_rate=features.sample_rate,
        channels=1,
        duration_s=(FRAME_LENGTH_MS + (n_frames - 1) * FRAME_SHIFT_MS) / 1000,
        n_samples=n_frames,
    )
