"""What a model said of each window of many recordings, as files hold it and all that comes after reads it.

`scores.parquet` has a row a window: file, start_s, end_s and a column `score:<class>` for each class. The rows of a
file lie together, in one row group, so that a season is read file by file and needs the memory of one group.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tymbal.errors import InputError
from tymbal.evaluate.predictions import SCORE
from tymbal.tables import read_csv

GROUP_ROWS = 2**16  # after so many, the rows of a next file go into a next row group
TEXT = ("file", "shard", "site", "recorded_at", "problem")
SCORES, EMBEDDINGS, FILES = "scores.parquet", "embeddings.npy", "files.csv"  # in the folder of a part or of a season
PLACE = ("file", "start_s", "end_s")  # of a window, beside its scores
# Of `recordings.csv`. What prediction adds, in `files.csv`: n_windows, seconds, log_mel_mean, log_mel_std.
RECORDINGS = ("file", "shard", "site", "recorded_at", "duration_s", "sample_rate", "channels", "problem")


@dataclass(frozen=True)
class About:
    """What the scores of a file of scores have in common."""

    classes: tuple[str, ...]
    model: str  # which one made them
    length_s: float  # of a window
    hop_s: float  # from the start of a window to that of the next; the last one of a file may begin earlier


class FileScores(NamedTuple):
    """The windows of one recording, in the order of their starts."""

    file: str
    start_s: np.ndarray  # [n] float64, from the start of the file
    end_s: np.ndarray  # [n] float64
    scores: np.ndarray  # [n, C] float32


class Scores:
    """A file of scores, of which only as much is read as is asked for.

    Args:
        path: `scores.parquet`.

    Raises:
        InputError: it is another file, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
            told = json.loads(self._file.schema_arrow.metadata[b"tymbal"])
        except (pa.ArrowException, KeyError, TypeError) as error:
            raise InputError(f"{path} is no file of scores ({error!r}). Delete it and run its rule again.") from error
        self.about = About(**{**told, "classes": tuple(told["classes"])})
        self.n_windows: int = self._file.metadata.num_rows

    @property
    def classes(self) -> tuple[str, ...]:
        """C names, in the model's order."""
        return self.about.classes

    @property
    def no_rows(self) -> pa.Table:
        """The columns without a row."""
        return self._file.schema_arrow.empty_table()

    def by_file(self) -> Iterator[FileScores]:
        """The recordings that have windows, one after another."""
        for table in self.groups():
            file = table["file"].combine_chunks()
            start_s, end_s = (table[name].to_numpy() for name in ("start_s", "end_s"))
            scores = np.stack([table[SCORE + name].to_numpy() for name in self.classes], axis=1)
            begins = [0, *(np.flatnonzero(np.diff(file.indices.to_numpy())) + 1).tolist()]
            for begin, end in zip(begins, [*begins[1:], len(table)], strict=True):
                yield FileScores(file[begin].as_py(), start_s[begin:end], end_s[begin:end], scores[begin:end])

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Some columns of all rows; `file` is categorical."""
        return self._file.read(columns=list(names)).to_pandas()

    def groups(self) -> Iterator[pa.Table]:
        """The rows in groups, each of whole files."""
        for i in range(self._file.num_row_groups):
            yield self._file.read_row_group(i)


class ScoresWriter:
    """Writes a file of scores; to be used in a `with` block.

    Args:
        path: the file.
        about: its scores.
    """

    def __init__(self, path: Path, about: About) -> None:
        fields = [("file", pa.dictionary(pa.int32(), pa.string())), ("start_s", pa.float64()), ("end_s", pa.float64())]
        fields += [(SCORE + name, pa.float32()) for name in about.classes]
        told = json.dumps(asdict(about), ensure_ascii=False)
        self._schema = pa.schema(fields, {b"tymbal": told.encode()})
        # Scores and times differ in nearly every row, so that only of the files' names a dictionary saves anything.
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=["file"])
        self._waiting: list[pa.Table] = []
        self._n_waiting = 0

    def add(self, file: str, start_s: np.ndarray, end_s: np.ndarray, scores: np.ndarray) -> None:
        """All windows of one recording: [n], [n], [n, C]."""
        names = pa.DictionaryArray.from_arrays(np.zeros(len(start_s), np.int32), [file])
        self._waiting.append(pa.table([names, start_s, end_s, *scores.T.copy()], schema=self._schema))
        self._n_waiting += len(start_s)
        if self._n_waiting >= GROUP_ROWS:
            self._flush()

    def add_group(self, table: pa.Table) -> None:
        """A group that `Scores.groups` gave, as it is."""
        self._flush()
        self._writer.write_table(table.replace_schema_metadata(self._schema.metadata), len(table))

    def _flush(self) -> None:
        if self._n_waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).unify_dictionaries(), self._n_waiting)
        self._waiting, self._n_waiting = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._writer.close()


class EmbeddingsWriter:
    """Writes rows of float16 as NumPy reads them, without knowing how many there will be; to be used in a `with` block.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._n = self._dim = 0

    def add(self, rows: np.ndarray) -> None:
        """[n, D] float16."""
        if not self._n and len(rows):
            self._dim = rows.shape[1]
            self._header()
        rows.tofile(self._file)
        self._n += len(rows)

    def _header(self) -> None:
        # Of the same length whatever n is: NumPy leaves room for it.
        form = {"descr": "<f2", "fortran_order": False, "shape": (self._n, self._dim)}
        np.lib.format.write_array_header_1_0(self._file, form)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.seek(0)
        self._header()
        self._file.close()


def read_files(path: Path) -> pd.DataFrame:
    """Read a table of recordings: `recordings.csv`, or `files.csv` of a part or of a season; text stays text."""
    return read_csv(path, TEXT)


def read_embeddings(path: Path) -> np.ndarray:
    """Embeddings, [N, D] float16, a row a window as in the scores; mapped into memory."""
    embeddings: Any = np.load(path, mmap_mode="r")
    return embeddings
