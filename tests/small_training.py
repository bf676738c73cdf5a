"""A training that takes a second: 18 clips of two classes, six a part, and settings to learn from them."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from helpers import write_store
from tymbal.config import Evaluation
from tymbal.config.models import Model
from tymbal.evaluate import predicting, scoring, validation
from tymbal.fit_norm import fit_norm
from tymbal.ingest.manifest import LABEL, write_manifest
from tymbal.lock import locked
from tymbal.runs import Run
from tymbal.store import FeatureStore
from tymbal.train.finetune import Inputs, Outputs, finetune

CPU = torch.device("cpu")
RUN = Run("field", "ssast-test", 1, 0)
CLASSES = ["Owl", "蟬"]


CNN = {"arch": "cnn", "n_frames": 16}
NET = {"arch": "ssast", "patch": (32, 8), "stride": (32, 8), "n_frames": 16}


def settings(long_clips="cut", net=NET, **train) -> Model:
    return Model(
        frontend="fbank32",
        long_clips=long_clips,
        net=net,
        train={
            "loss": "bce",
            "epochs": 2,
            "batch_size": 6,
            "optimizer": {"lr": 0.001},
            "schedule": {"name": "cosine"},
            "augment": {"mixup": 0.5, "time_mask": 4},
            **train,
        },
    )


def inputs(folder: Path) -> Inputs:
    """The clips in files, their order in the parts that of their names."""
    rng = np.random.default_rng(0)
    rows, features = [], {}
    for i in range(18):
        name = f"clip{i:02d}"
        features[name] = rng.normal(-8 + 3 * (i % 2), 1, (rng.integers(8, 20), 32))
        label = {f"{LABEL}{c}": w for c, w in zip(CLASSES, (i % 2, 0.6 * ((i + 1) % 2)), strict=True)}
        rows.append({"clip_id": name, "root": "data", "path": f"{name}.wav", "recording": f"r{i // 2}", "site": "S1"})
        rows[-1] |= {
            "recorded_at": f"2024-0{1 + i // 2}-05T0{i // 2}:30:00",
            "fold": "",
            "start_s": 0.0,
            "duration_s": 1.0,
            "sample_rate": 16000,
            "channels": 1,
            "sha256": f"hash{i}",
            **label,
        }
    write_manifest(pd.DataFrame(rows), folder / "manifest.csv")
    parts = np.repeat(["train", "val", "test"], 6)
    folds = pd.DataFrame(
        {"fold": 1, "clip_id": list(features), "part": parts, "subset": [5, 50, 50, 50, 100, 100] + 12 * [pd.NA]}
    )
    folds.to_csv(folder / "folds.csv", index=False)
    store = write_store(folder / "fbank", features)
    fit_norm(FeatureStore(store), list(features)[:6]).write(folder / "norm.json")
    return Inputs(folder / "manifest.csv", folder / "folds.csv", store, folder / "norm.json", None)


def outputs(folder: Path) -> Outputs:
    names = ("model.safetensors", "model.json", "history.csv", "run.json", "checkpoints")
    return Outputs(*(folder / name for name in names))


def train(data, folder, model=None, run=RUN, deadline=None) -> Outputs:
    made = outputs(folder)
    with locked(made.checkpoints):
        finetune(data, made, run, model or settings(), "any", False, "code", CPU, deadline)
    return made


def calibrate(
    data, made: Outputs, folder: Path, evaluation: Evaluation
) -> tuple[predicting.Inputs, validation.Outputs]:
    """Choose thresholds and fit a calibration, for a model that `train` made."""
    files = predicting.Inputs(made.model, made.card, data.manifest, data.folds, data.store)
    names = ("predictions_val.csv", "thresholds.json", "calibration.json")
    chosen = validation.Outputs(*(folder / name for name in names))
    validation.calibrate(files, chosen, RUN, evaluation, CPU)
    return files, chosen


def score(data, made, folder: Path, evaluation: Evaluation, percent: int = 100) -> scoring.Outputs:
    """Calibrate, and score the test clips."""
    files, chosen = calibrate(data, made, folder, evaluation)
    scored = scoring.Outputs(*(folder / name for name in ("predictions.csv", "metrics.json", "draws.npz")))
    fitted = (chosen.thresholds, chosen.calibration, made.run)
    scoring.score_test(files, *fitted, scored, RUN, evaluation, False, percent, CPU)
    return scored
