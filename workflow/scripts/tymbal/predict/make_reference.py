"""Make the reference of a model: predict its validation clips.

Apart from the reference itself, as this needs all that trains and evaluates, and what reads a reference does not.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tymbal.errors import InputError
from tymbal.evaluate.predicting import Inputs, open_part
from tymbal.evaluate.targets import binarise
from tymbal.files import read_json
from tymbal.folds import clip_ids
from tymbal.groups import recording_names, text
from tymbal.inference import of_all, scores
from tymbal.ingest.manifest import clip_rows, labels
from tymbal.models.classifier import Classifier
from tymbal.predict.reference import Reference
from tymbal.runs import CARD, WEIGHTS
from tymbal.seasons import data_beside
from tymbal.train.data import Batch, ClipSet
from tymbal.train.finetune import content

BATCH = 16  # clips at a time


def make_reference(model: Path, device: torch.device, out: Path) -> None:
    """Predict the validation clips of a model, if the data that it was trained on are where they were.

    Args:
        model: folder of its run, `results/<data set>/<model>/fold<k>/seed<s>`, beside whose data set's folder the
            features are.
        device: where to compute; always in float32.
        out: NPZ to write, see `Reference`.

    Raises:
        InputError: the model's own files are missing or damaged.
    """
    classes = read_json(model / CARD)["classes"]
    try:
        reference = _predicted(model, device)
    except InputError as error:
        reference = Reference.absent(error.title, len(classes))
    reference.write(out)


def _predicted(folder: Path, device: torch.device) -> Reference:
    """The reference.

    Raises:
        InputError: the data are not there, or are others by now.
    """
    record_path = folder / "run.json"
    if not record_path.exists():
        raise InputError(f"{record_path} is not there, which tells what the model was trained on")
    record = read_json(record_path)
    data = data_beside(folder.resolve())
    if data is None:
        raise InputError(f"{folder} is not in a data set's results, as results/DATASET/MODEL/fold1/seed0 is")
    store = data / "fbank" / record["model"]["frontend"]
    inputs = Inputs(folder / WEIGHTS, folder / CARD, data / "manifest.csv", data / "folds.csv", store)
    needed = (inputs.manifest, inputs.folds, store / "index.csv")
    if missing := [path for path in needed if not path.exists()]:
        raise InputError(f"the data that the model was trained on are not beside it: {missing[0]} is not there")
    fold = record["run"]["fold"]
    opened = open_part(inputs, fold, "val", device)
    rows, clips = opened.rows, opened.clips
    if content(opened.manifest, clips) != record["val"]:
        raise InputError(f"{inputs.manifest} or {inputs.folds} is another one than when the model was trained")
    train = clip_ids(opened.folds, fold, "train", record["model"]["train"]["label_percent"])
    logits, embeddings = _heard(opened.model, clips)
    if not (largest := np.abs(embeddings).max()) <= np.finfo(np.float16).max:  # NaN is not, either
        raise InputError(f"embeddings of its validation clips go up to {largest:.3g}, beyond float16's largest number")
    targets, keep = binarise(labels(clip_rows(opened.manifest, train)), record["target_rule"])
    frames = map(clips.store.frames, clips.clip_ids)
    return Reference(
        why=np.array(""),
        embeddings=embeddings.astype(np.float16),
        scores=scores(logits, opened.card.loss),
        log_mel_mean=np.array([each.mean(dtype=np.float32) for each in frames], np.float32),
        recording=_names(recording_names(rows)),
        site=_names(text(rows["site"])),
        prevalence=targets.sum(axis=0) / np.maximum(keep.sum(axis=0), 1),
        n_train=np.array(len(train)),
    )


@torch.inference_mode()
def _heard(network: Classifier, clips: ClipSet) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, C] and embeddings [N, D] of all clips."""

    def compute(batch: Batch) -> torch.Tensor:
        return torch.cat(network.with_embeddings(batch.x, clips.heard(batch)), dim=1).float().cpu()

    both = of_all(clips, BATCH, compute)
    n_classes = clips.labels.shape[1]
    return both[:, :n_classes].contiguous().numpy(), both[:, n_classes:].numpy()


def _names(column: "pd.Series[str]") -> np.ndarray:
    return column.to_numpy(dtype=np.str_)
