"""Bring together what the jobs of a season made: one table of scores, one array of embeddings, one table of files."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd

from tymbal.errors import InputError, some
from tymbal.files import atomic
from tymbal.predict.kept import (
    EMBEDDINGS,
    FILES,
    PLACE,
    RECORDINGS,
    SCORES,
    EmbeddingsWriter,
    Scores,
    ScoresWriter,
    read_embeddings,
    read_files,
)
from tymbal.tables import read_csv, write_csv


@dataclass(frozen=True)
class Outputs:
    """Files a season's results are written to."""

    scores: Path  # Parquet, a row a window
    embeddings: Path  # [N, D] float16, rows as in the scores
    embeddings_index: Path  # CSV: row, file, start_s, end_s
    files: Path  # CSV, a row a recording, those that cannot be read too
    scores_csv: Path | None = None  # the scores once more, as CSV


def collect(parts: Sequence[Path], recordings: Path, outputs: Outputs) -> None:
    """Write the results of a season, its recordings in the order in which they are listed.

    Args:
        parts: folders that `predict_part` wrote, named after the shards; one or more.
        recordings: the list, with the shard that each recording is in.
        outputs: what to write.

    Raises:
        InputError: the parts are not of these recordings, or of different models.
    """
    listed = read_csv(recordings, text=RECORDINGS)
    order = {shard: i for i, shard in enumerate(listed["shard"].unique())}
    parts = sorted(parts, key=lambda part: order.get(part.name, len(order)))
    told = pd.concat([read_files(part / FILES) for part in parts], ignore_index=True)
    if told["file"].tolist() != listed.loc[listed["shard"] != "", "file"].tolist():
        raise InputError(f"{parts[0].parent}: its parts are not those of {recordings}. Delete it and predict again.")
    write_csv(_files(listed, told), outputs.files)
    _write_scores([Scores(part / SCORES) for part in parts], outputs)
    with atomic(outputs.embeddings) as partial, EmbeddingsWriter(partial) as embeddings:
        for part in parts:
            embeddings.add(read_embeddings(part / EMBEDDINGS))


def _files(listed: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    table = listed.drop(columns="shard").merge(told, how="left", on="file", suffixes=("_of_header", ""))
    of_header = table.pop("problem_of_header")
    table["problem"] = table.pop("problem").fillna("").where(lambda problem: problem != "", of_header)
    return table.fillna({"n_windows": 0, "seconds": 0.0}).astype({"n_windows": int})


def _write_scores(parts: Sequence[Scores], outputs: Outputs) -> None:
    about = parts[0].about
    if others := [str(part.path) for part in parts if part.about != about]:
        raise InputError(
            f"{parts[0].path} and {some(others)} are of different models or windows. Delete {parts[0].path.parents[1]} "
            "and predict again."
        )
    with atomic(outputs.scores) as partial, ScoresWriter(partial, about) as writer:
        for part in parts:
            for group in part.groups():
                writer.add_group(group)
    scores = Scores(outputs.scores)
    places = scores.columns(PLACE)
    places.insert(0, "row", range(len(places)))
    write_csv(places, outputs.embeddings_index)
    if outputs.scores_csv is not None:
        with atomic(outputs.scores_csv) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            for i, group in enumerate(chain([scores.no_rows], scores.groups())):
                group.to_pandas().to_csv(file, index=False, header=i == 0, lineterminator="\n")
