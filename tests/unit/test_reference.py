"""The validation clips of a model: as evaluation scores them, or a reason why there are none."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from small_training import CPU, RUN, inputs, settings, train
from tymbal.evaluate import predicting
from tymbal.files import read_json, write_json
from tymbal.models.build import load_model
from tymbal.predict.make_reference import make_reference
from tymbal.predict.reference import Reference
from tymbal.tables import read_csv


@pytest.fixture
def model(tmp_path):
    """Folder of a run, beside whose data set's folder the data are."""
    data = tmp_path / "results/field"
    data.mkdir(parents=True)
    made = inputs(data)
    (data / "fbank").rename(data / "store")
    (data / "fbank").mkdir()
    store = (data / "store").rename(data / "fbank/fbank32")
    files = type(made)(made.manifest, made.folds, store, made.norm, None)
    train(files, data / "ssast-test/fold1/seed0", settings(label_percent=50))
    return data / "ssast-test/fold1/seed0"


def reference(model) -> Reference:
    make_reference(model, CPU, model / "reference.npz")
    return Reference.read(model / "reference.npz")


def test_clips_are_scored_as_evaluation_scores_them(model):
    found = reference(model)
    data = model.parents[2]
    files = predicting.Inputs(*(model / name for name in ("model.safetensors", "model.json")), *files_of(data))
    part = predicting.predict_part(files, RUN.fold, "val", CPU)
    assert str(found.why) == ""
    np.testing.assert_allclose(found.scores, part.predictions.scores, atol=1e-6)
    assert found.recording.tolist() == part.predictions.recordings
    assert found.site.tolist() == ["S1"] * 6
    levels = [part.store.frames(name).astype(float).mean() for name in part.predictions.clip_ids]
    np.testing.assert_allclose(found.log_mel_mean, levels, rtol=1e-4)


def files_of(data):
    return data / "manifest.csv", data / "folds.csv", data / "fbank/fbank32"


def test_embeddings_are_what_the_head_makes_logits_of(model):
    found = reference(model)
    network, _ = load_model(model / "model.safetensors", model / "model.json")
    scores = network.head(torch.from_numpy(found.embeddings).float()).sigmoid()
    np.testing.assert_allclose(scores.detach().numpy(), found.scores, atol=2e-3)  # of float16


def test_prevalence_is_of_the_clips_trained_on(model):
    """Of six training clips, the first four are half of them: every other one has the first class."""
    found = reference(model)
    assert found.n_train == 4
    assert found.prevalence.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("value", [1e5, np.nan])
def test_embeddings_that_float16_cannot_hold_are_no_reference(model, monkeypatch, value):
    logits, embeddings = np.zeros((6, 2), np.float32), np.full((6, 4), value)
    monkeypatch.setattr("tymbal.predict.make_reference._heard", lambda *_: (logits, embeddings))
    assert "float16" in str(reference(model).why)


@pytest.mark.parametrize("gone", ["manifest.csv", "folds.csv", "fbank/fbank32/index.csv"])
def test_data_that_are_not_there_any_more_are_named(model, gone):
    (model.parents[2] / gone).unlink()
    found = reference(model)
    assert gone in str(found.why)
    assert found.scores.shape == (0, 2)
    assert np.isnan(found.prevalence).all()


def test_a_model_without_its_record(model):
    (model / "run.json").unlink()
    assert "run.json" in str(reference(model).why)


def test_a_run_that_was_copied_elsewhere_has_no_data_beside_it(model, tmp_path):
    copy = tmp_path / "best"
    shutil.copytree(model, copy)
    assert "not in a data set's results" in str(reference(copy).why)


def test_another_split_is_no_reference(model):
    """Clips of its validation part may be those that the model was trained on."""
    path = model.parents[2] / "folds.csv"
    folds = read_csv(path, ("clip_id", "part"))
    folds["part"] = folds["part"].replace({"train": "val", "val": "train"})
    folds["subset"] = folds["part"].map({"train": 50}).astype("Int64")
    folds.to_csv(path, index=False)
    assert "another one" in str(reference(model).why)


def test_other_classes_are_no_reference(model):
    card = read_json(model / "model.json")
    write_json(model / "model.json", {**card, "classes": ["Bat", "蟬"]})
    assert "classes" in str(reference(model).why)


def test_sites_and_recordings_stay_text(model):
    table = pd.read_csv(model.parents[2] / "manifest.csv", dtype=str, keep_default_na=False)
    table.assign(site="01").to_csv(model.parents[2] / "manifest.csv", index=False)
    assert set(reference(model).site.tolist()) == {"01"}
