"""A trained model's predictions for one part of its fold: of validation for thresholds, of test for the figures."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from tymbal.config.models import Loss
from tymbal.evaluate.predictions import Predictions
from tymbal.folds import clip_ids, read_folds
from tymbal.groups import text
from tymbal.inference import predict, scores
from tymbal.ingest.manifest import class_names, clip_rows, labels, read_manifest
from tymbal.models.build import load_model
from tymbal.models.card import ModelCard, check_classes
from tymbal.models.classifier import Classifier
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
class Opened:
    """A model, and the clips of one part of a fold, N, as it is given them.

    Args:
        model: on the clips' device, in evaluation mode.
        card: of the model.
        manifest: of the whole data set.
        folds: of the whole data set.
        rows: of the part in the manifest, in the order of the clips.
        clips: with labels and features.
    """

    model: Classifier
    card: ModelCard
    manifest: pd.DataFrame
    folds: pd.DataFrame
    rows: pd.DataFrame
    clips: ClipSet


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


def open_part(inputs: Inputs, fold: int, part: str, device: torch.device) -> Opened:
    """Open a model and the clips of one part of a fold.

    Args:
        inputs: model, clips and features.
        fold: its number, from 1.
        part: `val` or `test`.
        device: where the model is put, and the clips.

    Raises:
        InputError: the model was made with other classes or other features, or clips are too long for it.
    """
    model, card = load_model(inputs.model, inputs.card)
    manifest, folds = read_manifest(inputs.manifest), read_folds(inputs.folds)
    check_classes(card, class_names(manifest))
    store = FeatureStore(inputs.store, expected=card.frontend)
    ids = clip_ids(folds, fold, part)
    rows = clip_rows(manifest, ids)
    n_frames, _ = model.input_shape
    check_lengths(store, ids, n_frames, card.long_clips)
    clips = ClipSet(store, tuple(ids), labels(rows), n_frames, card.scale, device)
    return Opened(model.to(device), card, manifest, folds, rows, clips)


def predict_part(inputs: Inputs, fold: int, part: str, device: torch.device, label_percent: int = 100) -> Part:
    """Predict the clips of one part of a fold.

    Args:
        inputs: model, clips and features.
        fold: its number, from 1.
        part: `val` or `test`.
        device: where to compute; always in float32.
        label_percent: how much of the training part the model was trained on.

    Raises:
        InputError: as of `open_part`.
    """
    opened = open_part(inputs, fold, part, device)
    rows, clips = opened.rows, opened.clips
    trained_on = clip_rows(opened.manifest, clip_ids(opened.folds, fold, "train", label_percent))
    logits = predict(opened.model, clips, 16, None, f"{part} clips")
    predictions = Predictions(
        clip_ids=list(clips.clip_ids),
        recordings=rows["recording"].tolist(),
        sites=rows["site"].tolist(),
        classes=list(opened.card.classes),
        scores=scores(logits, opened.card.loss),
        labels=clips.labels,
    )
    return Part(rows, frozenset(text(trained_on["site"])) - {""}, predictions, clips.store, opened.card.loss)
