"""What a model was trained and chosen on, to hold a season against: its validation clips as it hears them.

Training clips would not do: a network knows them, and hears them as it hears no others.
"""

import dataclasses
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch

from tymbal.errors import InputError
from tymbal.evaluate.targets import binarise
from tymbal.files import atomic, read_json
from tymbal.folds import clip_ids, read_folds
from tymbal.groups import recording_names, text
from tymbal.inference import of_all, scores
from tymbal.ingest.manifest import class_names, labels, read_manifest
from tymbal.models.build import load_model
from tymbal.models.card import check_classes
from tymbal.models.classifier import Classifier
from tymbal.seasons import data_beside
from tymbal.store import FeatureStore
from tymbal.train.data import ClipSet
from tymbal.train.finetune import content

BATCH = 16  # clips at a time


@dataclass(frozen=True)
class Reference:
    """The N validation clips of a model, and how frequent its classes were in training.

    Args:
        why: why there is no reference, in words; then N is 0. Empty if there is one.
        embeddings: [N, D] float16.
        scores: [N, C] float32.
        log_mel_mean: of each clip, [N].
        recording: of each clip, [N]; of recordings of one name at several sites, with the site.
        site: of each clip, [N]; empty where not known.
        prevalence: share of the training clips that are positive, [C]; NaN if there is no reference.
        n_train: training clips.
    """

    why: np.ndarray  # [] str
    embeddings: np.ndarray
    scores: np.ndarray
    log_mel_mean: np.ndarray
    recording: np.ndarray
    site: np.ndarray
    prevalence: np.ndarray
    n_train: np.ndarray  # [] int

    @classmethod
    def absent(cls, why: str, n_classes: int) -> Self:
        """That there is none, and why."""
        nothing = np.zeros((0, n_classes), np.float32)
        names = np.zeros(0, dtype=np.str_)
        prevalence = np.full(n_classes, np.nan)
        return cls(np.array(why), nothing.astype(np.float16), nothing, nothing[:, 0], names, names, prevalence, _int(0))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        with np.load(path) as file:
            return cls(**{field.name: file[field.name] for field in fields(cls)})

    def write(self, path: Path) -> None:
        """Write as NPZ."""
        arrays: dict[str, Any] = dataclasses.asdict(self)
        with atomic(path) as partial:
            np.savez_compressed(partial, allow_pickle=False, **arrays)


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
    classes = read_json(model / "model.json")["classes"]
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
    store_folder = data / "fbank" / record["model"]["frontend"]
    needed = (data / "manifest.csv", data / "folds.csv", store_folder / "index.csv")
    if missing := [path for path in needed if not path.exists()]:
        raise InputError(f"the data that the model was trained on are not beside it: {missing[0]} is not there")
    network, card = load_model(folder / "model.safetensors", folder / "model.json")
    manifest, folds = read_manifest(needed[0]), read_folds(needed[1])
    check_classes(card, class_names(manifest))
    store = FeatureStore(store_folder, expected=card.frontend)
    fold = record["run"]["fold"]
    train = clip_ids(folds, fold, "train", record["model"]["train"]["label_percent"])
    ids = clip_ids(folds, fold, "val")
    by_id = manifest.set_index("clip_id")
    rows = by_id.loc[ids].reset_index()
    n_frames, _ = network.input_shape
    clips = ClipSet(store, tuple(ids), labels(rows), n_frames, card.scale, device)
    if content(manifest, clips) != record["val"]:
        raise InputError(f"{needed[0]} or {needed[1]} is another one than when the model was trained")
    logits, embeddings = _heard(network.to(device), clips)
    targets, keep = binarise(labels(by_id.loc[train]), record["target_rule"])
    return Reference(
        why=np.array(""),
        embeddings=embeddings.astype(np.float16),
        scores=scores(logits, card.loss),
        log_mel_mean=np.array([store.frames(clip_id).mean(dtype=np.float32) for clip_id in ids], np.float32),
        recording=_names(recording_names(rows)),
        site=_names(text(rows["site"])),
        prevalence=targets.sum(axis=0) / np.maximum(keep.sum(axis=0), 1),
        n_train=_int(len(train)),
    )


@torch.inference_mode()
def _heard(network: Classifier, clips: ClipSet) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, C] and embeddings [N, D] of all clips."""
    both = of_all(clips, BATCH, lambda batch: torch.cat(network.with_embeddings(batch.x), dim=1).float().cpu())
    n_classes = clips.labels.shape[1]
    return both[:, :n_classes].contiguous().numpy(), both[:, n_classes:].numpy()


def _names(column: "pd.Series[str]") -> np.ndarray:
    return column.to_numpy(dtype=np.str_)


def _int(value: int) -> np.ndarray:
    return np.array(value, dtype=np.int64)
