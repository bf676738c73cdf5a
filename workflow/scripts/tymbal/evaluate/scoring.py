"""The test part of a fold, scored once: a prediction for every clip, and the metrics made from them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from tymbal.config import Evaluation
from tymbal.evaluate.metrics import evaluate
from tymbal.evaluate.predictions import SCORE
from tymbal.files import write_json
from tymbal.folds import clip_ids, read_folds
from tymbal.inference import predict, scores
from tymbal.ingest.manifest import LABEL, class_names, labels, read_manifest
from tymbal.models.build import load_model
from tymbal.models.card import check_classes
from tymbal.runs import Run
from tymbal.store import FeatureStore
from tymbal.tables import write_csv
from tymbal.train.data import ClipSet, check_lengths


@dataclass(frozen=True)
class Inputs:
    """Files an evaluation reads."""

    model: Path
    card: Path
    manifest: Path
    folds: Path
    store: Path  # folder


def score_test(
    inputs: Inputs,
    predictions: Path,
    metrics: Path,
    run: Run,
    evaluation: Evaluation,
    single_label: bool,
    device: torch.device,
) -> None:
    """Predict the test clips of the run's fold and write predictions and metrics.

    Args:
        inputs: model, clips and features.
        predictions: CSV to write, a row a clip: scores in [0, 1] and soft labels.
        metrics: JSON to write.
        run: data set, model, fold and seed.
        evaluation: target rule and threshold.
        single_label: whether accuracy is defined.
        device: where to compute; always in float32.

    Raises:
        InputError: the model was made with other classes or other features, or clips are too long for it.
    """
    model, card = load_model(inputs.model, inputs.card)
    manifest = read_manifest(inputs.manifest)
    classes = class_names(manifest)
    check_classes(card, classes)
    store = FeatureStore(inputs.store, expected=card.frontend)
    ids = clip_ids(read_folds(inputs.folds), run.fold, "test")
    rows = manifest.set_index("clip_id").loc[ids].reset_index()
    truth = labels(rows)
    n_frames, _ = model.input_shape
    check_lengths(store, ids, n_frames, card.long_clips)
    clips = ClipSet(store, tuple(ids), truth, n_frames, card.scale, device)
    score = scores(predict(model.to(device), clips, 16, None, "test clips"), card.loss)

    table = pd.concat(
        [
            rows[["clip_id", "recording", "site"]],
            pd.DataFrame(score, columns=[f"{SCORE}{name}" for name in classes]),
            rows[[f"{LABEL}{name}" for name in classes]],
        ],
        axis=1,
    )
    write_csv(table, predictions, float_format="%.9g")
    results = evaluate(score, truth, classes, evaluation.target_rule, evaluation.threshold, single_label)
    write_json(
        metrics,
        {
            **run._asdict(),
            "part": "test",
            **evaluation.model_dump(),
            "n_clips": len(ids),
            "n_recordings": int(rows["recording"].nunique()),
            "rows": [row.to_json() for row in results],
        },
    )
