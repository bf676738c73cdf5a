"""A model as `ASTForAudioClassification`: transformers gives its logits; what has no place there is told."""

import json
from pathlib import Path

import pytest
import torch
import transformers
import yaml

from small_prediction import CNN, small_model, sound
from tymbal.errors import InputError
from tymbal.export.hugging_face import export_hugging_face
from tymbal.fbank import fbank
from tymbal.models.build import build, load_model
from tymbal.models.card import read_model_card
from tymbal.models.ssast import SIZES
from tymbal.models.weights import save_weights

NET = {"arch": "ssast", "size": "tiny", "patch": (8, 8), "stride": (8, 6), "n_frames": 48, "pooling": "cls"}
PROVENANCE = {"dataset": "pond", "model": "ssast-tiny", "fold": 1, "seed": 0}
CORPUS = {"transductive": False, "labelled": True, "held_out": [["pond", 1]], "parts": [{"dataset": "pond"}]}


@pytest.fixture(autouse=True)
def _shallow(monkeypatch):
    """The published sizes, with fewer blocks."""
    for name, size in list(SIZES.items()):
        monkeypatch.setitem(SIZES, name, size._replace(depth=2))


def model_folder(folder: Path, net=NET, **changes) -> Path:
    """A model as after a change of its classes: nothing but weights and card."""
    small_model(folder, net, **{"provenance": PROVENANCE, "corpus": CORPUS, **changes})
    for name in ("run.json", "thresholds.json", "calibration.json"):
        (folder / name).unlink()
    return folder


def strong_weights(folder: Path) -> None:
    """Weights of which each counts, also the epsilons: the tokens are small where the head normalises them."""
    card, net = read_model_card(folder / "model.json")
    model = build(net, card.n_mels, len(card.classes), torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean = float("norm" in name or name.startswith("head.0")) if name.endswith("weight") else 0.0
            parameter.copy_(mean + 0.1 * torch.randn(parameter.shape, generator=generator))
        model.norm.weight.mul_(0.02)
        model.norm.bias.mul_(0.02)
        model.head[1].weight.mul_(10)
    save_weights(folder / "model.safetensors", folder / "model.json", model, card)


@pytest.mark.parametrize("loss", ["bce", "ce"])
@pytest.mark.parametrize("size", ["tiny", "base"])
def test_transformers_gives_the_same_logits(tmp_path, size, loss):
    folder, out = model_folder(tmp_path / "model", net=NET | {"size": size}, loss=loss), tmp_path / "out"
    strong_weights(folder)
    export_hugging_face(folder, out, "cc-by-4.0")
    theirs, told = transformers.ASTForAudioClassification.from_pretrained(out, output_loading_info=True)
    assert not any(told.values())  # no key is missing, left over or of another shape
    ours, card = load_model(folder / "model.safetensors", folder / "model.json")
    x = 0.5 * torch.randn(5, *ours.input_shape, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected, logits = ours(x), theirs.eval()(x).logits
        norm, ours.head[0].eps = ours.head[0].eps, 1e-6
        assert (ours(x) - expected).abs().max() > 1e-4  # without the correction they would differ
        ours.head[0].eps = norm
    assert expected.std() > 1
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
    assert theirs.config.id2label == dict(enumerate(card.classes))
    assert theirs.config.problem_type == ("multi_label" if loss == "bce" else "single_label") + "_classification"


def test_the_feature_extractor_gives_the_models_input(tmp_path):
    folder, out = model_folder(tmp_path / "model"), tmp_path / "out"
    export_hugging_face(folder, out, None)
    extract = transformers.ASTFeatureExtractor.from_pretrained(out)
    card, _ = read_model_card(folder / "model.json")
    wave = sound(0.5, 16000)
    found = extract(wave, sampling_rate=16000, return_tensors="pt")["input_values"]
    log_mel = fbank(torch.from_numpy(wave), 16000, card.n_mels)[:48]
    torch.testing.assert_close(found[0], (log_mel - card.mean) / (2 * card.std), rtol=0, atol=1e-3)


def test_what_has_no_place_there_is_told_at_once(tmp_path):
    folder = model_folder(tmp_path / "a", net=NET | {"pooling": "mean", "size": "base-nokd", "patch": (16, 8)})
    with pytest.raises(InputError, match="ONNX") as caught:
        export_hugging_face(folder, tmp_path / "out", None)
    assert [case.split()[0] for case in caught.value.cases] == ["net.size", "net.pooling", "net.patch"]
    other = model_folder(tmp_path / "b", net=CNN)
    with pytest.raises(InputError, match=r"net\.arch is 'cnn'"):
        export_hugging_face(other, tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_nothing_that_is_there_is_replaced(tmp_path):
    folder = model_folder(tmp_path / "model")
    with pytest.raises(InputError, match="is there already"):
        export_hugging_face(folder, folder, None)
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]


def test_a_model_that_is_not_evaluated_has_a_card_that_says_so(tmp_path):
    folder, out = model_folder(tmp_path / "model"), tmp_path / "out"
    export_hugging_face(folder, out, None)
    text = (out / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---")[1])
    assert front["library_name"] == "transformers" and "license" not in front
    assert "has not been evaluated" in text and "Not decided yet" in text
    assert "drawn at random" in text and "fills up with 0" in text
    assert not (out / "thresholds.json").exists()
    assert json.loads((out / "config.json").read_text())["layer_norm_eps"] == 1e-6
