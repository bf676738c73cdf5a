"""Suspected label errors: where model and label disagree, the most certain first. Some are the model's own errors.

As in Northcutt et al., Confident learning: estimating uncertainty in dataset labels (JAIR 70, 2021), the probabilities
are of clips that the model was not trained on.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tymbal.config import TargetRule
from tymbal.evaluate.calibration import read_calibrated
from tymbal.evaluate.examples import padded
from tymbal.evaluate.predictions import Predictions, average
from tymbal.evaluate.sounds import Sound
from tymbal.evaluate.tables import write_table
from tymbal.evaluate.targets import binarise
from tymbal.files import atomic
from tymbal.ingest.manifest import read_manifest

log = logging.getLogger(__name__)

PLACE = ["root", "path", "start_s", "duration_s", "recording", "site"]
COLUMNS = ["dataset", "model", "rank", "clip_id", *PLACE, "class", "label", "probability", "kind", "n_runs"]
N_TOLD = 100  # of each kind: those of the more frequent kind are not to hide the others
N_SHOWN = 6  # of each kind, with spectrogram and sound
N_OF_CLASS = 3  # shown of one class


def disagreements(clips: Predictions, n_runs: np.ndarray, target_rule: TargetRule) -> pd.DataFrame:
    """The most confident disagreements of probability and label, the most confident first.

    Args:
        clips: test clips, each once, with calibrated probabilities that are means over seeds.
        n_runs: how many runs each clip's probabilities are the mean of, [N].
        target_rule: which labels are positive.

    Returns:
        `rank` from 1, `clip_id, class, label, probability, kind, n_runs`: up to 100 of the kind `untagged` (label 0,
        probability above 1/2) and 100 of the kind `tagged` (positive under the rule, probability below 1/2), ranked
        together by cross-entropy. A tag that the rule does not count as positive is in neither kind.
    """
    targets, keep = binarise(clips.labels, target_rule)
    p = np.clip(clips.scores.astype(np.float64), 1e-7, 1 - 1e-7)
    found = []
    for kind, doubtful, given in (
        ("untagged", (clips.labels == 0) & (p > 0.5), 1 - p),
        ("tagged", targets & keep & (p < 0.5), p),
    ):
        clip, c = np.nonzero(doubtful)
        loss = -np.log(given[clip, c])
        order = np.lexsort((c, clip, -loss))[:N_TOLD]
        found.append(pd.DataFrame({"clip": clip[order], "c": c[order], "loss": loss[order], "kind": kind}))
    table = pd.concat(found).sort_values(["loss", "clip", "c"], ascending=[False, True, True])
    clip, c = table["clip"].to_numpy(), table["c"].to_numpy()
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(table) + 1),
            "clip_id": np.array(clips.clip_ids, dtype=object)[clip],
            "class": np.array(clips.classes, dtype=object)[c],
            "label": clips.labels[clip, c].astype(np.float64).round(6),  # in float32, 0.6 is 0.600000024
            "probability": clips.scores[clip, c],
            "kind": table["kind"].to_numpy(),
            "n_runs": n_runs[clip],
        }
    )


def varied(table: pd.DataFrame) -> pd.DataFrame:
    """The rows to show: the first of each kind, but one a clip and few a class."""
    chosen: list[int] = []
    clips: set[str] = set()
    of_kind, of_class = Counter[str](), Counter[str]()
    for i, (clip_id, name, kind) in enumerate(zip(table["clip_id"], table["class"], table["kind"], strict=True)):
        if clip_id not in clips and of_kind[kind] < N_SHOWN and of_class[name] < N_OF_CLASS:
            chosen.append(i)
            clips.add(clip_id)
            of_kind[kind] += 1
            of_class[name] += 1
    return table.iloc[chosen]


def pick_errors(
    runs: Sequence[Path],
    subject: dict[str, str],
    target_rule: TargetRule,
    manifest: Path,
    frames: Callable[[str], np.ndarray],
    frame_shift_s: float,
    sound: Callable[[Any], Sound],
    table: Path,
    arrays: Path,
) -> None:
    """List the disagreements of one model on one data set, and keep a dozen to look at and to listen to.

    Args:
        runs: folders of its runs, with predictions.csv and calibration.json.
        subject: `dataset` and `model`.
        target_rule: which labels are positive.
        manifest: of the data set.
        frames: features of a clip, [T, F] float16, such as `FeatureStore.frames`.
        frame_shift_s: time from frame to frame.
        sound: sound of a clip, given by its row of the manifest, such as `sounds.clip_sound`.
        table: CSV to write, with COLUMNS.
        arrays: NPZ to write: `fbank` [K, T, F] float16 (zeros after a clip's end), `n_frames` [K], `rank` [K] (in the
            table), `clip_id`, `class`, `kind`, `label` and `probability` [K], `audio` uint8 and `audio_offsets` [K + 1]
            (MP3 of clip k from offset k to the next; empty if there is none), `audio_note` [K], `frame_shift_s`.
    """
    clips, n_runs = average([read_calibrated(folder) for folder in runs])
    found = disagreements(clips, n_runs, target_rule)
    places = read_manifest(manifest).set_index("clip_id")
    told = found.join(places[PLACE], on="clip_id").assign(**subject)[COLUMNS]
    log.info("%d disagreements told, by kind: %s", len(told), found["kind"].value_counts().to_dict())
    write_table(told, table)

    shown = varied(told)
    ids = shown["clip_id"].tolist()
    sounds = [sound(clip) for clip in places.loc[ids].itertuples()]
    fbank, n_frames = padded([frames(clip_id) for clip_id in ids])
    with atomic(arrays) as partial:
        np.savez_compressed(
            partial,
            allow_pickle=False,
            fbank=fbank,
            n_frames=n_frames,
            frame_shift_s=np.float64(frame_shift_s),
            **{name: shown[name].to_numpy(dtype=str) for name in ("clip_id", "class", "kind")},
            **{name: shown[name].to_numpy() for name in ("rank", "label", "probability")},
            audio=np.frombuffer(b"".join(sound.mp3 for sound in sounds), dtype=np.uint8),
            audio_offsets=np.cumsum([0, *(len(sound.mp3) for sound in sounds)]),
            audio_note=np.array([sound.note for sound in sounds], dtype=str),
        )
