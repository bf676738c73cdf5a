"""Our own models in files: the same model again, and what is refused with which words."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from tymbal.config.models import Cnn, Net, Ssast
from tymbal.errors import InputError
from tymbal.models.build import build, load_model
from tymbal.models.card import ModelCard, check_classes
from tymbal.models.ssast import SIZES, Size
from tymbal.models.weights import save_weights
from tymbal.norm import Scale

N_MELS = 32


@pytest.fixture(autouse=True)
def _small_sizes(monkeypatch):
    """The published sizes are heavier than these tests need."""
    monkeypatch.setitem(SIZES, "tiny", Size(8, 2, 2, 2))
    monkeypatch.setitem(SIZES, "base-nokd", Size(8, 2, 2, 1))


def network(size: str = "tiny") -> Ssast:
    return Ssast(arch="ssast", size=size, patch=(8, 8), stride=(8, 8), n_frames=64)


CARD = ModelCard(
    net=network().model_dump(mode="json"),
    n_mels=N_MELS,
    classes=("Cicada", "蛙", "Bird, wild"),
    mean=-4.5,
    std=2.25,
    padding="original",
    frontend={"sample_rate": 16000},
    long_clips="error",
    loss="bce",
    corpus={"transductive": False, "held_out": [["pond", 1]], "parts": [{"dataset": "pond"}]},
    provenance={"seed": 3},
)


def save(folder: Path, net: Net):
    """A model with its two files."""
    paths = folder / "model.safetensors", folder / "model.json"
    card = dataclasses.replace(CARD, net=net.model_dump(mode="json"))
    model = build(net, N_MELS, len(CARD.classes), torch.Generator().manual_seed(5))
    save_weights(*paths, model, card)
    return model, card, *paths


@pytest.fixture
def saved(tmp_path):
    _, _, *paths = save(tmp_path, network())
    return paths


@pytest.mark.parametrize("net", [network(), Cnn(arch="cnn", n_frames=64)], ids=["ssast", "cnn"])
def test_our_own_files_give_the_same_model(tmp_path, net):
    model, card_then, path, card_path = save(tmp_path, net)
    again, card = load_model(path, card_path)
    assert card == card_then
    assert "蛙" in card_path.read_text(encoding="utf-8")
    assert not again.training
    x = torch.randn(2, 64, N_MELS, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(x), model.eval()(x))
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.json", "model.safetensors"]


def test_the_card_tells_normalisation_and_padding():
    assert CARD.scale == Scale(-4.5, 2.25, 1.0)  # log-mel 0 is (0 + 4.5) / (2 * 2.25)
    assert dataclasses.replace(CARD, padding="mean").scale.pad == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"classes": ["a", "b"]}, r"2 problems\n.*head\.1\.bias: shape \[3\] in the weights, \[2\] by the card"),
        ({"n_mels": 40}, r"1 problem\n.*pos_embed: shape \[1, 34, 8\] in the weights, \[1, 42, 8\] by the card"),
        (
            {"net": network(size="base-nokd").model_dump(mode="json")},
            r"dist_token: shape \[1, 1, 8\] in the weights, missing by the card",
        ),
        ({"net": {"arch": "rnn"}}, "network this version does not know"),
        ({"surplus": 1}, r"no ModelCard.*'surplus'"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(saved, change, expected):
    path, card_path = saved
    card_path.write_text(json.dumps(json.loads(card_path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(InputError, match=re.compile(expected)) as caught:
        load_model(path, card_path)
    assert str(card_path) in str(caught.value)


def test_missing_and_damaged_files_are_named(saved):
    path, card_path = saved
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="is not a safetensors file"):
        load_model(path, card_path)
    path.unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: no such file"):
        load_model(path, card_path)
    path.touch()
    card_path.unlink()
    with pytest.raises(InputError, match=r"model\.json: no such file"):
        load_model(path, card_path)


def test_classes_must_agree_in_name_and_order():
    check_classes(CARD, ["Cicada", "蛙", "Bird, wild"])
    with pytest.raises(InputError) as caught:
        check_classes(CARD, ["蛙", "Cicada", "Bird, wild", "Rain"])
    assert str(caught.value).splitlines()[1:4] == [
        "  - class 0: the model has 'Cicada', the data '蛙'",
        "  - class 1: the model has '蛙', the data 'Cicada'",
        "  - class 3: the model has None, the data 'Rain'",
    ]
