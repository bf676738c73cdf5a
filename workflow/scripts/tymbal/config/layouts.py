"""Layouts of public data sets that have a reader: what configuration knows of each without reading a file."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """One way in which an archive unpacks.

    Attributes:
        tables: files or folders, relative to `source.audio`, that tell labels or parts; none if the folders do.
        columns: further columns of the manifest that it gives.
        folds: the data set's own division: `official` folds (1, 2, ...) or `given` parts (train, val, test).
        events: labels hold for stretches of a file, so that `windows` are needed.
    """

    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    folds: Literal["official", "given"] | None = None
    events: bool = False


# One more layout is its reader in `ingest/layouts/`, a line in `ingest/published.py` and one here.
LAYOUTS: dict[str, Layout] = {
    "speech-commands-v1": Layout(
        ("speech_commands_v0.01/validation_list.txt", "speech_commands_v0.01/testing_list.txt"), ("speaker",), "given"
    ),
    "speech-commands-v2": Layout(("validation_list.txt", "testing_list.txt"), ("speaker",), "given"),
    "fsdd": Layout(columns=("speaker",), folds="given"),
    "fsd50k": Layout(("FSD50K.ground_truth/dev.csv", "FSD50K.ground_truth/eval.csv"), folds="given"),
    "urban-sed": Layout(("annotations/train", "annotations/validate", "annotations/test"), folds="given", events=True),
    "audioset-20k": Layout(("labels/balanced_train_segments.csv", "labels/eval_segments.csv"), folds="given"),
    "audioset-2m": Layout(
        ("labels/unbalanced_train_segments.csv", "labels/balanced_train_segments.csv", "labels/eval_segments.csv"),
        folds="given",
    ),
    "spass-market": Layout(("1_MatrixLabelsMarket.csv",), folds="given"),
    "spass-park": Layout(("2_MatrixLabelsPark.csv",), folds="given"),
    "spass-square": Layout(("3_MatrixLabelsSquare.csv",), folds="given"),
    "spass-street": Layout(("4_MatrixLabelsStreet.csv",), folds="given"),
    "spass-waterfront": Layout(("5_MatrixLabelsWaterfront.csv",), folds="given"),
    "birdnet": Layout(),
}
