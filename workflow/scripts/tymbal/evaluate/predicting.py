"""A trained model's predictions for one part of its fold: of validation for thresholds, of test for the figures."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from tymbal.evaluate.predictions import Predictions
from tymbal.folds import clip_ids, read_folds
from tymbal.groups import text
from tymbal.inference import Loss, predict, scores
from tymbal.ingest.manifest import class_names, labels, read_manifest
from tymbal.models.build import load_model
from tymbal.models.card import check_classes
from tymbal.store import FeatureStore
from tymbal.train.data import ClipSet, check_lengths


@dataclass(frozen=True)
class Inputs:
    """Files that predictions are made from."""

    model: Path
    card: Path
    manifest: Path
    folds: Path
    store: Path  # folder


@dataclass(frozen=True)
class Part:
    """The clips of one part of a fold, N, and what the model predicts for them.

    Args:
        rows: of the manifest, in the order of the predictions.
        known_sites: sites of the clips that the model was trained on.
        predictions: of N clips.
        store: their features.
        loss: that the model was trained with: `ce` if the scores of a clip sum to one.
    """

    rows: pd.DataFrame
    known_sites: frozenset[str]
    predictions: Predictions
    store: FeatureStore
    loss: Loss


def predict_part(inputs: Inputs, fold: int, part: str, device: torch.device, label_percent: int = 100) -> Part:
    """Predict the clips of one part of a fold.

    Args:
        inputs: model, clips and features.
        fold: its number, from 1.
        part: `val` or `test`.
        device: where to compute; always in float32.
        label_percent: how much of the training part the model was trained on.

    Raises:
        InputError: the model was made with other classes or other features, or clips are too long for it.
    """
    model, card = load_model(inputs.model, inputs.card)
    manifest = read_manifest(inputs.manifest)
    classes = class_names(manifest)
    check_classes(card, classes)
    store = FeatureStore(inputs.store, expected=card.frontend)
    folds = read_folds(inputs.folds)
    ids = clip_ids(folds, fold, part)
    by_id = manifest.set_index("clip_id")
    rows = by_id.loc[ids].reset_index()
    known_sites = frozenset(text(by_id.loc[clip_ids(folds, fold, "train", label_percent), "site"])) - {""}
    truth = labels(rows)
    n_frames, _ = model.input_shape
    check_lengths(store, ids, n_frames, card.long_clips)
    clips = ClipSet(store, tuple(ids), truth, n_frames, card.scale, device)
    logits = predict(model.to(device), clips, 16, None, f"{part} clips")
    predictions = Predictions(
        clip_ids=ids,
        recordings=rows["recording"].tolist(),
        sites=rows["site"].tolist(),
        classes=classes,
        scores=scores(logits, card.loss),
        labels=truth,
    )
    return Part(rows, known_sites, predictions, store, card.loss)
