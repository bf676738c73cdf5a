"""The recordings of a season: which there are, what headers and names tell, and in which parts they are predicted."""

import io
import logging
import math
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from tymbal.audio import opened
from tymbal.config.predict import Predict
from tymbal.errors import InputError, some
from tymbal.files import write_text
from tymbal.ingest.lookup import SUFFIXES, key, list_files
from tymbal.ingest.measure import BATCH, LONGEST
from tymbal.ingest.names import Names
from tymbal.ingest.records import read_table
from tymbal.ingest.text import read_text
from tymbal.predict.kept import RECORDINGS
from tymbal.progress import Progress
from tymbal.roots import DATA
from tymbal.tables import read_csv, write_csv

log = logging.getLogger(__name__)

# Sound that nothing here can read. In a season it is told of, not taken for something else than a recording.
UNSUPPORTED = frozenset({".m4a", ".aac", ".mp4", ".wma", ".wac", ".amr", ".webm", ".ape", ".wv", ".mka", ".3gp"})


class Header(NamedTuple):
    """What a file tells of itself before it is decoded."""

    duration_s: float = 0.0
    sample_rate: int = 0  # Hz
    channels: int = 0
    problem: str = ""  # why it cannot be predicted; empty if nothing is known against it
    n_bytes: int = 0  # of the file


@dataclass(frozen=True)
class Outputs:
    """What is written.

    Attributes:
        recordings: the table of all recordings, in the order in which their windows will be.
        shards: folder with a list for each part: file, duration_s, bytes. Lists of parts whose files are the same and
            as large as they were are not touched.
    """

    recordings: Path
    shards: Path


def list_recordings(files: Sequence[str], root: Path, settings: Predict, outputs: Outputs, threads: int) -> None:
    """Look at headers and names of recordings, and put them into parts.

    Only headers are read. A file that cannot be opened, or is no audio, has a row with the reason and is in no part.

    Args:
        files: the recordings, each once, as `find_recordings` gives them.
        root: folder that they are relative to.
        settings: name patterns, and how many hours a part has.
        outputs: to write.
        threads: files opened at a time.

    Raises:
        InputError: none of them can be read.
    """
    table = pd.DataFrame(_headers(root, files, threads), index=pd.Index(files, name="file"))
    table = table.join(_named(files, settings.name_patterns))
    usable = table["problem"] == ""
    if not usable.any():
        told = [f"{file}: {problem}" for file, problem in table["problem"].items()]
        raise InputError.listing(f"no recording in {root} can be read", told, "name other recordings")
    seconds: dict[str, float] = dict(zip(table.index[usable], table.loc[usable, "duration_s"].tolist(), strict=True))
    shards = into_shards(seconds, _read_shards(outputs.shards), 3600 * settings.job_hours)
    log.info("%d recordings, %.1f hours, in %d parts", len(seconds), sum(seconds.values()) / 3600, len(shards))
    if not usable.all():
        log.warning("%d files cannot be predicted: %s", (~usable).sum(), some(list(table.index[~usable])))
    facts = table[["duration_s", "n_bytes"]].rename(columns={"n_bytes": "bytes"})
    _write_shards({shard: facts.loc[names] for shard, names in shards.items()}, outputs.shards)
    table["shard"] = pd.Series({file: shard for shard, names in shards.items() for file in names})
    order = [file for names in shards.values() for file in names] + list(table.index[~usable])
    write_csv(table.fillna({"shard": ""}).loc[order].reset_index()[[*RECORDINGS]], outputs.recordings)


def find_recordings(recordings: Path, root: Path, folders: Mapping[str, Path]) -> list[str]:
    """The files that are meant, each once: POSIX paths relative to `root`, absolute where they lie elsewhere.

    Args:
        recordings: a folder, searched with its sub-folders; a list (.txt), one path a line; or a table (.csv), with
            a column `file` or `path`, and in manifests of data sets `root`.
        root: the folder, or that of the list or table, which paths in it may be relative to.
        folders: root -> folder.

    Raises:
        InputError: there are none, none that are named is there, or a list names one twice.
    """
    if recordings.is_dir():
        if files := list_files(recordings, SUFFIXES | UNSUPPORTED):
            return files
        raise InputError(f"{recordings} holds no audio files, nor does a folder in it; is it the right folder?")
    if recordings.suffix.lower() == ".txt":
        named, _ = read_text(recordings, lambda text: _there(recordings, root, _lines(text)))
        if twice := sorted(file for file, n in Counter(named).items() if n > 1):
            raise InputError.listing(f"{recordings} names recordings twice", twice, "leave each in it once")
        return named
    table = read_table(recordings, {})
    columns = [name for name in ("file", "path") if name in table.columns]
    if not columns:
        raise InputError(
            f"{recordings} has no column 'file' or 'path', which names the recordings; "
            f"found {', '.join(map(repr, table.columns))}."
        )
    cells = [row.cells for row in table.rows]
    if "root" not in table.columns:
        named = [each[columns[0]] for each in cells]
    else:
        if unknown := sorted({each["root"] or DATA for each in cells} - set(folders)):
            told = ", ".join(map(repr, unknown))
            raise InputError(f"{recordings}: no root {told} is in the configuration's `roots`.")
        named = [str((folders[each["root"] or DATA] / each[columns[0]]).absolute()) for each in cells]
    # A row may be a clip, and paths be written in several ways.
    return list(dict.fromkeys(_there(recordings, root, list(dict.fromkeys(named)))))


def into_shards(
    seconds: Mapping[str, float], before: Mapping[str, Sequence[str]], most_s: float
) -> dict[str, list[str]]:
    """Put files into parts, each a job: as many as fit one after another, at least one.

    Files stay in the part that they were in, so that recordings which are added make new parts and leave those that
    are predicted as they are; unless the part has become too long.

    Args:
        seconds: file -> length, in their order.
        before: part -> its files, as they were put before; none at first.
        most_s: seconds of a part.

    Returns:
        Part -> its files; parts are numbers of four digits or more.
    """
    shards: dict[str, list[str]] = {}
    for shard, files in before.items():
        held = [file for file in files if file in seconds]
        if held and (len(held) == 1 or sum(seconds[file] for file in held) <= most_s):
            shards[shard] = held
    placed = {file for files in shards.values() for file in files}
    last, held_s = max(map(int, before), default=0), math.inf
    for file, length in seconds.items():
        if file in placed:
            continue
        if held_s + length > most_s:
            last, held_s = last + 1, 0.0
        shards.setdefault(f"{last:04d}", []).append(file)
        held_s += length
    return shards


def read_shard(path: Path) -> list[str]:
    """The files of a part."""
    files: list[str] = read_csv(path, ("file",))["file"].tolist()
    return files


def _read_shards(folder: Path) -> dict[str, list[str]]:
    return {path.stem: read_shard(path) for path in sorted(folder.glob("*.csv"))}


def _write_shards(shards: Mapping[str, pd.DataFrame], folder: Path) -> None:
    for path in folder.glob("*.csv"):
        if path.stem not in shards:
            path.unlink()
    for shard, files in shards.items():
        path, text = folder / f"{shard}.csv", files.to_csv(lineterminator="\n")
        if not path.exists() or path.read_bytes() != text.encode():
            write_text(path, text)


# --- files ------------------------------------------------------------------------------------------------


def _lines(text: str) -> list[str]:
    """Paths in a list; other blanks than these may be part of a name."""
    lines = [line.strip(" \t\r\n") for line in io.StringIO(text, newline=None)]
    # A file manager copies paths with quotes.
    return [line[1:-1] if len(line) > 1 and line[0] == line[-1] == '"' else line for line in lines if line]


def _there(source: Path, root: Path, named: Sequence[str]) -> list[str]:
    """What `from_root` gives, if any of the files is there: in another encoding, names would be others."""
    if not named:
        raise InputError(f"{source} names no file; expected one path a line, or a row.")
    if not any((root / name).is_file() for name in named):
        raise InputError(
            f"none of the {len(named)} files that {source} names is there, such as {root / named[0]}; expected "
            f"absolute paths, or paths from {root}."
        )
    return from_root(root, named)


def from_root(root: Path, named: Iterable[str | Path]) -> list[str]:
    """The same files, as POSIX paths relative to a folder where they are in it, absolute where they are not."""
    here, files = os.path.abspath(root), []  # noqa: PTH100 - symbolic links are followed only to open files
    for name in named:
        whole = Path(os.path.abspath(root / name))  # noqa: PTH100
        files.append((whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix())
    return files


# --- headers and names ------------------------------------------------------------------------------------


def _headers(root: Path, files: Sequence[str], threads: int) -> Iterator[Header]:
    progress = Progress("reading headers", len(files), "files")
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(files), BATCH):
            for header in pool.map(lambda file: _header(root / file), files[start : start + BATCH]):
                yield header
                progress.add()


def _header(path: Path) -> Header:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            return Header(problem="is no file")
        with path.open("rb", buffering=0) as data:
            if not (n_bytes := os.fstat(data.fileno()).st_size):
                return Header(problem="is empty: 0 bytes")
            with opened(data.fileno()) as sound:
                if sound.frames > LONGEST:
                    return Header(problem="does not tell its length; convert it to WAV or FLAC again")
                return Header(sound.frames / sound.samplerate, sound.samplerate, sound.channels, n_bytes=n_bytes)
    except OSError as error:
        return Header(problem=f"cannot be opened: {error.strerror}")
    except InputError as error:
        return Header(problem=str(error))


def _named(files: Sequence[str], patterns: Sequence[str]) -> pd.DataFrame:
    """Site and time by the names; blank where they do not tell."""
    names = Names(patterns)
    named = {file: names.read(key(file)) for file in files}
    if wrong := [f"{file}: {told.problem}" for file, told in named.items() if told and told.problem]:
        log.warning("%d names do not tell a time that can be: %s", len(wrong), some(wrong, between="; "))
    rows = [(told.site, told.recorded_at) if told else ("", "") for told in named.values()]
    return pd.DataFrame(rows, columns=["site", "recorded_at"], index=pd.Index(files, name="file"))
