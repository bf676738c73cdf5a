"""Three parts, three roles: what is learnt and chosen knows nothing of test clips."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from small_training import CLASSES, calibrate, inputs, score, settings, train
from tymbal.config import Bootstrap, Choose, Evaluation
from tymbal.errors import InputError
from tymbal.evaluate import validation
from tymbal.evaluate.calibration import read_calibration
from tymbal.evaluate.predictions import read_predictions
from tymbal.evaluate.thresholds import read_thresholds
from tymbal.folds import read_folds
from tymbal.ingest.manifest import read_manifest, write_manifest
from tymbal.models.ssast import SIZES, Size

EVALUATION = Evaluation(choose=Choose(shrink=2), bootstrap=Bootstrap(draws=20))


@pytest.fixture(autouse=True)
def _small_size(monkeypatch):
    """The published size is heavier than these tests need."""
    monkeypatch.setitem(SIZES, "tiny", Size(16, 2, 2, 2))


@pytest.fixture
def data(tmp_path):
    """18 clips of two classes, six a part."""
    return inputs(tmp_path)


def calibrated(data, folder: Path, model=None, evaluation=EVALUATION) -> validation.Outputs:
    """Train, then choose thresholds and fit a calibration."""
    return calibrate(data, train(data, folder, model), folder, evaluation)[1]


def test_thresholds_and_calibration_are_of_the_validation_clips(data, tmp_path):
    made = calibrated(data, tmp_path / "run")
    clips = read_predictions(made.predictions)
    assert clips.clip_ids == [f"clip{i:02d}" for i in range(6, 12)]
    thresholds = read_thresholds(made.thresholds, CLASSES)
    assert [threshold.n_pos for threshold in thresholds.values()] == [3, 3]
    for c, threshold in enumerate(thresholds.values()):
        detected = clips.scores[:, c] >= np.float64(threshold.threshold)
        hits = (detected & (clips.labels[:, c] > 0)).sum()
        assert (threshold.precision or 0) == hits / max(detected.sum(), 1)
    assert read_calibration(made.calibration).n_clips == 6


def test_the_rule_of_targets_and_the_methods_are_those_named(data, tmp_path):
    how = Evaluation(target_rule="main", choose=Choose(by="precision"), calibration="platt")
    made = calibrated(data, tmp_path / "run", evaluation=how)
    owl, cicada = read_thresholds(made.thresholds, CLASSES).values()
    assert (owl.n_pos, cicada.n_pos) == (3, 0)  # all tags of the second class are sub tags
    assert owl.reached is not None
    assert json.loads(made.calibration.read_text())["slope"] > 0


def poisoned(manifest: Path, part: range) -> None:
    """Give the clips of a part the other class."""
    table = read_manifest(manifest)
    mine = table["clip_id"].isin([f"clip{i:02d}" for i in part])
    labels = [f"label:{name}" for name in CLASSES]
    table.loc[mine, labels] = 1 - np.ceil(table.loc[mine, labels].to_numpy())
    write_manifest(table, manifest)


def test_test_labels_change_nothing_but_the_figures_of_test_clips(data, tmp_path):
    """Train, choose and score twice: with the true labels of the test clips, and with all of them wrong."""
    made = []
    for name in ("true", "poisoned"):
        folder = tmp_path / name
        if name == "poisoned":
            poisoned(data.manifest, range(12, 18))
        scored = score(data, train(data, folder), folder, EVALUATION)
        names = ("model.safetensors", "predictions_val.csv", "thresholds.json", "calibration.json")
        made.append([[(folder / name).read_bytes() for name in names], scored])
    assert made[0][0] == made[1][0]
    true, wrong = (json.loads(scored.metrics.read_text())["rows"] for _, scored in made)
    changed = {row["metric"] for row, other in zip(true, wrong, strict=True) if row["value"] != other["value"]}
    assert {"AUC", "mAP_macro", "F1", "Brier", "Brier_calibrated"} <= changed


@pytest.mark.parametrize(("percent", "levels"), [(100, {"known"}), (50, {"known", "new"})])
def test_sites_are_known_of_the_clips_that_were_trained_on(data, tmp_path, percent, levels):
    """Half of the labels leaves out the third site of the training part."""
    table = read_manifest(data.manifest)
    table["site"] = [f"S{i // 2 % 3}" for i in range(18)]
    write_manifest(table, data.manifest)
    made = train(data, tmp_path / "run", settings(label_percent=percent))
    scored = score(data, made, tmp_path, EVALUATION, percent)
    rows = json.loads(scored.metrics.read_text())["rows"]
    assert {row["level"] for row in rows if row["slice"] == "known_site"} == levels


def test_validation_labels_do_change_what_is_chosen(data, tmp_path):
    """Else the test above could not fail."""
    true = calibrated(data, tmp_path / "true", settings(select_by="loss"))
    poisoned(data.manifest, range(6, 12))
    wrong = calibrated(data, tmp_path / "wrong", settings(select_by="loss"))
    assert true.thresholds.read_bytes() != wrong.thresholds.read_bytes()
    assert true.calibration.read_bytes() != wrong.calibration.read_bytes()


def test_scores_of_a_diverged_model_are_told(data, tmp_path):
    made = train(data, tmp_path / "run")
    weights = load_file(made.model)
    save_file({name: torch.full_like(value, torch.nan) for name, value in weights.items()}, made.model)
    with pytest.raises(InputError, match="6 of 6 clips have scores that are not finite"):
        calibrate(data, made, tmp_path, EVALUATION)


def test_validation_clips_without_any_class_are_told(data, tmp_path):
    table = read_manifest(data.manifest)
    table.loc[6:11, [f"label:{name}" for name in CLASSES]] = 0.0
    write_manifest(table, data.manifest)
    with pytest.raises(InputError, match="none of the 6 validation clips is positive"):
        calibrated(data, tmp_path / "run", settings(select_by="loss"))


def test_a_clip_in_two_parts_of_a_fold_is_refused(data):
    folds = pd.read_csv(data.folds)
    again = folds.iloc[[0, 13]].assign(part="val")
    other = folds.assign(fold=2)  # where each clip may have another part
    pd.concat([folds, again, other]).to_csv(data.folds, index=False)
    with pytest.raises(InputError) as error:
        read_folds(data.folds)
    message = str(error.value)
    assert "folds.csv: 2 problems" in message
    assert "fold 1: clip clip00 is in train and val" in message
    assert "fold 1: clip clip13 is in test and val" in message
