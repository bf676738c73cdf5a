"""A model as ONNX: onnxruntime gives its scores for any number of clips, and the file tells its own input."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import tymbal.export.onnx as exporting
from small_prediction import CLASSES, CNN, SSAST, SSLAM, small_model
from small_training import inputs, score, settings, train
from tymbal.config import Evaluation
from tymbal.errors import InputError
from tymbal.export.card import write_card
from tymbal.export.onnx import export_onnx
from tymbal.inference import scores
from tymbal.models import ssast, sslam
from tymbal.models.build import load_model
from tymbal.models.card import read_model_card

ORIGIN = {
    "provenance": {"dataset": "pond", "model": "small", "fold": 1, "seed": 0},
    "corpus": {"transductive": False, "labelled": True, "held_out": [["pond", 1]], "parts": [{"dataset": "pond"}]},
}
NETS = {
    "ssast": (SSAST, "bce"),
    "ssast-cls": (SSAST | {"pooling": "cls", "stride": (8, 5)}, "ce"),
    "sslam": (SSLAM, "bce"),
    "sslam-linear-softmax": (SSLAM | {"pooling": "linear-softmax"}, "bce"),
    "cnn": (CNN, "ce"),  # shorter than its window
    "cnn-long": (CNN | {"n_frames": 200}, "bce"),
}


@pytest.fixture(autouse=True)
def _shallow(monkeypatch):
    """The published sizes, with fewer blocks."""
    for network in (ssast, sslam):
        monkeypatch.setitem(network.SIZES, "tiny", network.SIZES["tiny"]._replace(depth=2))


def model_folder(folder, net, **changes):
    small_model(folder, net, **{**ORIGIN, **changes})
    (folder / "run.json").unlink()
    return folder


@pytest.mark.parametrize("name", NETS)
def test_onnxruntime_gives_the_same_scores(tmp_path, name):
    net, loss = NETS[name]
    folder, out = model_folder(tmp_path / "model", net, loss=loss), tmp_path / "out"
    export_onnx(folder, out, None)
    onnx.checker.check_model(out / "model.onnx", full_check=True)
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    model, card = load_model(folder / "model.safetensors", folder / "model.json")
    for n in (1, 2, 5):
        log_mel = card.mean + card.std * torch.randn(n, *model.input_shape, generator=torch.Generator().manual_seed(n))
        with torch.inference_mode():
            logits = model((log_mel - card.mean) / (2 * card.std))
        (found,) = session.run(None, {"log_mel": log_mel.numpy()})
        assert np.ptp(found) > 0.01
        np.testing.assert_allclose(found, scores(logits.numpy(), loss), rtol=0, atol=5e-5)
    assert session.get_inputs()[0].shape == ["batch", *model.input_shape]


@pytest.mark.parametrize(("padding", "filled"), [("mean", -6.5), ("original", 0.0)])
def test_the_file_tells_its_input(tmp_path, padding, filled):
    out = tmp_path / "out"
    export_onnx(model_folder(tmp_path / "model", CNN, padding=padding), out, None)
    told = json.loads((out / "front_end.json").read_text(encoding="utf-8"))
    (entry,) = [each for each in onnx.load(out / "model.onnx").metadata_props if each.key == "tymbal"]
    assert json.loads(entry.value) == told
    assert told["classes"] == list(CLASSES)
    assert told["input"]["shorter_clips_filled_up_with"] == filled
    assert told["frontend"]["sample_rate"] == 16000
    assert json.loads((out / "thresholds.json").read_text(encoding="utf-8")) == dict.fromkeys(CLASSES, 0.5)


def test_the_card_tells_data_results_thresholds_and_licence(tmp_path):
    data, run = inputs(tmp_path), tmp_path / "run"
    made = train(data, run, settings())
    metrics = score(data, made, run, Evaluation()).metrics
    scored = json.loads(metrics.read_text())
    for row in scored["rows"]:  # six clips have no intervals
        row |= {"value": 0.5, "low": 0.25, "high": 0.875} if row["metric"] in ("lwlrap", "AP") else {}
    metrics.write_text(json.dumps(scored))
    write_card(run, read_model_card(made.card)[0], "onnx", "cc-by-4.0", tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert 'license: "cc-by-4.0"' in text
    assert "Data set field, fold 1, seed 0: 6 training clips; 6 validation clips chose the epoch." in text
    assert "On the 6 test clips of fold 1" in text
    assert "| lwlrap | 0.500 (0.250–0.875) |" in text
    threshold = json.loads((run / "thresholds.json").read_text())["蟬"]["threshold"]
    assert f"| 蟬 | {threshold:.4g} | 0.500 (0.250–0.875) | " in text
    assert json.loads((tmp_path / "thresholds.json").read_text())["蟬"] == threshold


def test_a_missing_package_is_told_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(InputError, match=r"needs no_such_package.*envs/export\.txt"):
        export_onnx(tmp_path / "nowhere", tmp_path / "out", None)
