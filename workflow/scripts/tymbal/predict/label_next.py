"""Clips to label next, cut from their recordings, with a tag table to fill in and the data set's settings.

The folder belongs to whoever fills in the table: what a person changed is never overwritten.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
import soundfile
import yaml

from tymbal.audio import decode
from tymbal.config.data import TagSource
from tymbal.config.predict import Predict
from tymbal.errors import InputError, some
from tymbal.evaluate.calibration import read_calibration
from tymbal.evaluate.thresholds import read_thresholds
from tymbal.files import atomic, fingerprint, read_json, sha256, write_json
from tymbal.ingest.lookup import SUFFIXES
from tymbal.predict.activity import has_time
from tymbal.predict.kept import Scores, read_embeddings, read_files
from tymbal.predict.selections import LONGEST
from tymbal.predict.uncertain import choose
from tymbal.tables import write_csv

log = logging.getLogger(__name__)

NAME = "label-next"  # of the data set
TAGS, SETTINGS, AUDIO, MADE = "tags.csv", "dataset.yaml", "audio", ".made.json"
SOURCE = TagSource(format="tags", table=f"{NAME}:{TAGS}", audio=f"{NAME}:{AUDIO}")
LONGEST_STEM = LONGEST - len("@20240105_053000.000.wav")  # bytes
PLACE = ["file", "start_s", "end_s"]
COLUMNS = ["rank", "clip", "class", "score", "threshold", "distance", *PLACE, "site", "recorded_at"]

HEAD = f"""\
# Clips to label: put 1 into {TAGS} where a class is heard, into MainTag_ columns, or SubTag_ for background sounds.
# A clip without any tag counts as not labelled. Then read them, beside your own configuration:
#   snakemake --profile local results/{NAME}/manifest.csv --configfile <yours> <this file>
# `roots` says where this folder is; change it if you move the folder. To add the clips to a data set that you have,
# copy {AUDIO}/ into its folder, add the rows to its table, and put these name_patterns before its own.
"""


@dataclass(frozen=True)
class Inputs:
    """A season, and what its model's scores mean."""

    scores: Path
    embeddings: Path
    files: Path
    thresholds: Path
    calibration: Path


@dataclass(frozen=True)
class Outputs:
    """What is written: a table of the clips, and the folder to work in."""

    table: Path
    folder: Path


def pick_label_next(inputs: Inputs, root: Path, settings: Predict, outputs: Outputs) -> None:
    """Choose clips to label next, and make a data set of them whose labels are still to be given.

    The table lists the clips, the most useful first, with the class that each was chosen for. The folder holds
    `tags.csv`, `audio/` (one channel, as the model hears it, at the recording's own rate, 24 bits) and `dataset.yaml`.
    Of the same clips as before, or of none, the folder stays as it is.

    Args:
        inputs: the season's.
        root: folder that its files are relative to.
        settings: how many clips; channel and name patterns as predicted with.
        outputs: to write.

    Raises:
        InputError: somebody has worked in the folder, and other clips are due; or a recording cannot be read any more.
    """
    scores = Scores(inputs.scores)
    thresholds = read_thresholds(inputs.thresholds, scores.classes)
    places = scores.columns(PLACE)
    stems = places["file"].cat.categories.map(_stem)
    fits = np.array([len(PurePosixPath(stem).name.encode()) <= LONGEST_STEM for stem in stems], dtype=bool)
    if not fits.all():
        long = places["file"].cat.categories[~fits].tolist()
        log.warning("no clips of recordings whose names leave no room for a time: %s", some(long))
    file = places["file"].cat.codes.to_numpy()
    chosen = choose(
        scores,
        read_embeddings(inputs.embeddings),
        [thresholds[name].threshold for name in scores.classes],
        pd.factorize(stems)[0][file],  # of one stem, clips would have one name
        fits[file],
        settings.label_next,
    )
    known = read_files(inputs.files).set_index("file")[["site", "recorded_at", "sample_rate"]]
    table = chosen.join(places, on="row").astype({"file": str}).join(known, on="file")
    moments = [_moment(*each) for each in zip(table["recorded_at"], table["start_s"], strict=True)]
    table["recorded_at"] = [moment[: len("2024-01-05T05:30:00")] for moment in moments]
    parts = zip(table["file"].map(_stem), table["start_s"], moments, strict=True)
    table["clip"] = [_clip(*each) for each in parts]
    table["rank"] = np.arange(1, len(table) + 1)
    log.info("%d clips of %d recordings to label next", len(table), table["file"].nunique())
    if len(table):
        single_label = read_calibration(inputs.calibration).loss == "ce"
        dataset = _dataset(scores.classes, single_label, settings)
        _fill(outputs.folder, table, _tags(table, scores.classes), dataset, root, settings)
    write_csv(table[COLUMNS], outputs.table)


# --- the folder -------------------------------------------------------------------------------------------


def _fill(folder: Path, table: pd.DataFrame, tags: str, dataset: dict[str, Any], root: Path, settings: Predict) -> None:
    """Write the folder, unless it was made of the same clips or somebody has worked in it."""
    if _made(folder).get("choice") == fingerprint(tags):
        log.info("%s: the same clips as before; the folder stays as it is", folder)
        return
    _refuse_changed(folder)
    with atomic(folder) as partial:
        for row in table.itertuples():
            _cut(row, root, partial / AUDIO, settings.channel)
        (partial / TAGS).write_text(tags, encoding="utf-8-sig", newline="")  # the mark by which Excel knows UTF-8
        config = {"roots": {NAME: str(folder)}, "datasets": {NAME: dataset}}
        text = HEAD + yaml.safe_dump(config, allow_unicode=True, sort_keys=False, width=120)
        (partial / SETTINGS).write_text(text, encoding="utf-8")
        digests = {name: sha256(partial / name) for name in (TAGS, SETTINGS)}
        made = {"choice": fingerprint(tags), "digests": digests, "clips": table["clip"].tolist()}
        write_json(partial / MADE, made)
        _refuse_changed(folder)  # again: cutting may have taken minutes


def _made(folder: Path) -> dict[str, Any]:
    """What was written into the folder; empty if there is none, or one that is not ours."""
    made = folder / MADE
    return read_json(made) if made.is_file() else {}


def _refuse_changed(folder: Path) -> None:
    if not folder.is_dir():
        return
    made = _made(folder)
    digests: dict[str, str] = made.get("digests", {})
    ours = {MADE, *digests, *(f"{AUDIO}/{clip}" for clip in made.get("clips", []))}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    changed = [f"{name}: changed" for name in digests if name in found and sha256(folder / name) != digests[name]]
    changed += [f"{name}: not written by the workflow" for name in sorted(found - ours)]
    changed += [f"{name}: moved or deleted" for name in sorted(ours - found)]
    if changed:
        remedy = (
            "other clips are to be labelled now, and what a person has done is never overwritten: move the folder "
            f"away (and correct `roots` in its {SETTINGS}), or delete it if nobody needs it, and run this again"
        )
        raise InputError.listing(f"{folder}: somebody has worked in it", changed, remedy)


def _cut(row: Any, root: Path, audio: Path, channel: Literal["mix"] | int) -> None:
    try:
        samples = decode(root / row.file, row.sample_rate, row.start_s, row.end_s - row.start_s, channel)
    except (InputError, OSError) as error:
        raise InputError(f"{row.file}: {error}. It was predicted; bring it back, or predict again.") from error
    clip = audio / row.clip
    clip.parent.mkdir(parents=True, exist_ok=True)
    # Whole numbers, because libsndfile scales what it reads by 2^23 and what it writes by 2^23 - 1.
    whole = np.rint(samples * 2.0**23).clip(-(2.0**23), 2.0**23 - 1).astype(np.int32)
    soundfile.write(clip, whole << 8, row.sample_rate, "PCM_24")


# --- what is in it ----------------------------------------------------------------------------------------


def _tags(table: pd.DataFrame, classes: Sequence[str]) -> str:
    """The lab's own table, its tags blank."""
    columns = [prefix + name for prefix in (SOURCE.main_prefix, SOURCE.sub_prefix) for name in classes]
    told = {SOURCE.file_column: table["clip"], str(SOURCE.site_column): table["site"]}
    return pd.DataFrame(told | dict.fromkeys(columns, "")).to_csv(index=False, lineterminator="\n")


def _dataset(classes: Sequence[str], single_label: bool, settings: Predict) -> dict[str, Any]:
    """Settings of the data set, by which clips are of the recordings that they were cut from."""
    own = r"@(?:(?P<date>\d{8})_)?(?:(?P<time>\d{6})\.\d{3}|\d+\.\d{3}s)"  # as `_clip` makes them
    bare = [pattern.replace("(?P<date>", "(?:").replace("(?P<time>", "(?:") for pattern in settings.name_patterns]
    return {
        "source": SOURCE.model_dump(include={"format", "table", "audio"}),
        "task": "single-label" if single_label else "multi-label",
        "classes": list(classes),
        "name_patterns": [f"(?:{pattern}){own}" for pattern in bare],
        "split": {"scheme": "holdout"},
    }


def _stem(file: str) -> str:
    """What a recording's clips are named after: its folders and its name without extension."""
    path = PurePosixPath(*("up" if part == ".." else part for part in PurePosixPath(file).parts if part != "/"))
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)


def _moment(recorded_at: str, start_s: float) -> str:
    """When a clip begins, to the millisecond; no more than the date if no more is known of its recording."""
    if not has_time(recorded_at):
        return recorded_at
    begins = datetime.fromisoformat(recorded_at) + timedelta(milliseconds=round(1000 * start_s))
    return begins.isoformat(timespec="milliseconds")


def _clip(stem: str, start_s: float, moment: str) -> str:
    """After the recording's name the clip's own time, or seconds from its start where the time is not known."""
    told = moment.replace("-", "").replace(":", "").replace("T", "_")
    if not has_time(moment):
        told += f"{'_' if told else ''}{start_s:.3f}s"
    return f"{stem}@{told}.wav"
