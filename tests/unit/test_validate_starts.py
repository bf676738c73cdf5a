"""Checkpoints given by path: what their cards say of test clips, before anything runs."""

from typing import Any

import pytest
import torch

from small_pretraining import pretraining
from tymbal.config import load
from tymbal.config.models import Frontend, SsastEncoder
from tymbal.models.encoder_card import EncoderCard
from tymbal.models.ssast import SIZES, Size
from tymbal.models.weights import save_weights
from tymbal.plan import Plan
from tymbal.pretrain.ssast import MaskedPatchModel
from tymbal.spectrogram import FeatureState
from tymbal.validate.starts import heard_findings

NET = {"arch": "ssast", "size": "tiny", "patch": [128, 8], "n_frames": 96}
FINETUNING = {
    "loss": "bce",
    "epochs": 1,
    "batch_size": 4,
    "optimizer": {"lr": 0.001},
    "schedule": {"name": "cosine"},
}


def raw(init: Any) -> dict:
    return {
        "datasets": {
            "night": {
                "source": {"format": "synth"},
                "task": "multi-label",
                "classes": ["Frog", "Owl"],
                "split": {"scheme": "kfold", "n_folds": 2},
            },
            "pool": {"source": {"format": "list", "audio": "pool"}},
        },
        "frontends": {"fbank128": {}},
        "models": {"small": {"frontend": "fbank128", "net": NET, "init": init, "train": FINETUNING}},
        "experiments": [{"dataset": "night", "model": "small"}],
    }


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """Writes an encoder made from a corpus; gives its path."""
    monkeypatch.setitem(SIZES, "tiny", Size(8, 2, 2, 2))

    def write(corpus: dict[str, Any]) -> str:
        net, path = SsastEncoder.model_validate(NET), tmp_path / "encoder.safetensors"
        card = EncoderCard(
            net=net.model_dump(mode="json"),
            n_mels=128,
            mean=0.0,
            std=1.0,
            frontend=FeatureState.of(Frontend()).to_json(),
            corpus=corpus,
            provenance={},
        )
        model = MaskedPatchModel(pretraining(net), 128, torch.Generator().manual_seed(0))
        save_weights(path, path.with_suffix(".json"), model, card)
        return str(path)

    return write


def corpus(dataset: str, *folds: int, transductive: bool = False, **before) -> dict[str, Any]:
    held_out = [["night", fold] for fold in folds]
    return {"transductive": transductive, "held_out": held_out, "parts": [{"dataset": dataset}]} | before


def told(init: Any) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.level, each.cases) for each in heard_findings(Plan(load(raw(init))))]


def test_folds_whose_test_clips_a_checkpoint_has_heard_are_a_warning(encoder):
    assert told(encoder(corpus("night", 1))) == [("warning", ("night, fold 2",))]
    assert told(encoder(corpus("night"))) == [("warning", ("night, fold 1", "night, fold 2"))]
    assert told(encoder(corpus("pool", 1, 2, before=corpus("night", 2)))) == [("warning", ("night, fold 1",))]
    assert told(encoder(corpus("pool", 1, 2))) == []


def test_what_is_not_known_is_a_fact(encoder):
    (fact,) = heard_findings(Plan(load(raw(encoder(corpus("other"))))))
    assert fact.level == "info" and "test clips of night is not known" in fact.title


def test_a_chain_of_pretrainings_is_followed_to_its_file(encoder):
    settings = raw({"ssl": "second"})
    train = {"epochs": 1, "batch_size": 4}
    pretraining = {"frontend": "fbank128", "corpus": "all", "net": NET, "train": train}
    settings["corpora"] = {"all": {"parts": [{"dataset": "pool"}]}}
    settings["pretraining"] = {
        "first": pretraining | {"init": encoder(corpus("night", 1))},
        "second": pretraining | {"init": {"ssl": "first"}},
    }
    (warning,) = heard_findings(Plan(load(settings)))
    assert (warning.level, warning.cases) == ("warning", ("night, fold 2",))
    assert warning.area == "model small"


def test_what_cannot_be_read_is_told_elsewhere():
    assert told("nowhere.pth") == []
    assert told("scratch") == []
