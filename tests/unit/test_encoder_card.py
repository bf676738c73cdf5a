"""Our own files as starting weights, and encoders in the layout of the original code."""

import dataclasses
import json
import re

import pytest
import torch

from helpers import SHARED, needs_shared
from small_pretraining import pretraining
from tymbal.config.models import Cnn, Frontend, Ssast, SsastEncoder
from tymbal.errors import InputError
from tymbal.models.build import build
from tymbal.models.card import ModelCard
from tymbal.models.checkpoints import OWN_ENCODER, OWN_MODEL
from tymbal.models.classifier import is_head
from tymbal.models.encoder_card import EncoderCard, read_encoder_card
from tymbal.models.sources import load_start
from tymbal.models.ssast import SIZES, SSAST, Size
from tymbal.models.weights import save_weights
from tymbal.pretrain.export import export_ssast
from tymbal.pretrain.ssast import MaskedPatchModel
from tymbal.spectrogram import FeatureState

N_MELS = 32
CORPUS = {"transductive": True, "held_out": [], "parts": [{"dataset": "wald", "weight": 1.0}]}
NET = SsastEncoder(arch="ssast", patch=(16, 16), n_frames=64)
CLASSIFIER = Ssast(arch="ssast", patch=(16, 16), stride=(16, 16), n_frames=64)


@pytest.fixture
def _small_sizes(monkeypatch):
    """The published sizes are heavier than most of these tests need."""
    monkeypatch.setitem(SIZES, "tiny", Size(8, 2, 2, 2))
    monkeypatch.setitem(SIZES, "base-nokd", Size(8, 2, 2, 1))


small = pytest.mark.usefixtures("_small_sizes")


def features(n_mels: int = N_MELS, sample_rate: int = 16000) -> FeatureState:
    return FeatureState.of(Frontend(n_mels=n_mels, sample_rate=sample_rate))


def pretext_model(net: SsastEncoder = NET, n_mels: int = N_MELS, seed: int = 0) -> MaskedPatchModel:
    return MaskedPatchModel(pretraining(net), n_mels, torch.Generator().manual_seed(seed))


def classifier(net: Ssast = CLASSIFIER, n_mels: int = N_MELS, seed: int = 0) -> SSAST:
    return SSAST(net, n_mels, 3, torch.Generator().manual_seed(seed))


def encoder_card(net: SsastEncoder = NET, n_mels: int = N_MELS) -> EncoderCard:
    return EncoderCard(
        net=net.model_dump(mode="json"),
        n_mels=n_mels,
        mean=-4.5,
        std=2.25,
        frontend=features(n_mels).to_json(),
        corpus=CORPUS,
        provenance={"seed": 3},
    )


@pytest.fixture
def encoder(tmp_path):
    """Writes a pre-trained encoder; gives the model and the path of its weights."""

    def write(net: SsastEncoder = NET, n_mels: int = N_MELS):
        path, model = tmp_path / "encoder.safetensors", pretext_model(net, n_mels, seed=7)
        save_weights(path, path.with_suffix(".json"), model, encoder_card(net, n_mels))
        return model, path

    return write


@pytest.fixture
def finetuned(tmp_path):
    """Writes a fine-tuned model; gives the model and the path of its weights."""

    def write(net: Ssast | Cnn = CLASSIFIER):
        path, model = tmp_path / "model.safetensors", build(net, N_MELS, 5, torch.Generator().manual_seed(7))
        card = ModelCard(
            net=net.model_dump(mode="json"),
            n_mels=N_MELS,
            classes=("a", "b", "c", "d", "e"),
            mean=-4.5,
            std=2.25,
            padding="mean",
            frontend=features().to_json(),
            long_clips="error",
            loss="bce",
            corpus=CORPUS,
            provenance={},
        )
        save_weights(path, path.with_suffix(".json"), model, card)
        return model, path

    return write


# --- starting from our own files --------------------------------------------------------------------------


@small
def test_card_tells_all_that_was_written(encoder):
    _, path = encoder()
    assert read_encoder_card(path.with_suffix(".json")) == (encoder_card(), NET)


@small
def test_classifier_starts_from_an_encoder(encoder):
    then, path = encoder()
    model = classifier()
    report = load_start(path, model, CLASSIFIER, features())
    fresh = classifier().state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, fresh[name] if is_head(name) else then.state_dict()[name]), name
    assert (report.kind, report.corpus) == (OWN_ENCODER, CORPUS)
    assert (report.n_mels, report.n_frames) == (N_MELS, 64)
    assert report.fresh == tuple(name for name in fresh if is_head(name))
    assert "mask_embed" in report.left_out
    json.dumps(dataclasses.asdict(report))


@small
def test_pretraining_continues_with_everything(encoder):
    then, path = encoder()
    model = pretext_model()
    report = load_start(path, model, NET, features())
    assert all(torch.equal(value, then.state_dict()[name]) for name, value in model.state_dict().items())
    assert (report.fresh, report.left_out) == ((), ())


@small
def test_positions_of_our_own_files_are_fitted(encoder, finetuned):
    """The card tells the grid, of a fine-tuned model with overlapping patches too."""
    _, path = encoder()
    net = CLASSIFIER.model_copy(update={"stride": (8, 16), "n_frames": 48})
    report = load_start(path, classifier(net), net, features())
    assert (report.positions_mel, report.positions_time) == ("interpolated 2 -> 3", "cropped 4 -> 3 (columns 1..3)")

    then, path = finetuned(net)
    model = pretext_model()
    report = load_start(path, model, NET, features())
    assert (report.kind, report.n_frames, report.corpus) == (OWN_MODEL, 48, CORPUS)
    assert (report.positions_mel, report.positions_time) == ("cropped 3 -> 2 (rows 0..1)", "interpolated 3 -> 4")
    assert torch.equal(model.pos_embed[0, 2], then.pos_embed[0, 2])
    assert torch.equal(model.blocks[1].mlp.fc2.weight, then.blocks[1].mlp.fc2.weight)
    assert report.left_out == ("head.0.bias", "head.0.weight", "head.1.bias", "head.1.weight")
    assert {name.split(".")[0] for name in report.fresh} == {"mask_embed", "cpredlayer", "gpredlayer"}


@small
def test_all_that_does_not_fit_an_own_file_is_told_at_once(encoder):
    _, path = encoder(NET.model_copy(update={"size": "base-nokd"}))
    net = CLASSIFIER.model_copy(update={"patch": (8, 32)})
    with pytest.raises(InputError) as caught:
        load_start(path, classifier(net, n_mels=40), net, features(n_mels=40, sample_rate=32000))
    assert caught.value.cases == (
        "number of class tokens: the file has 1, net.size 'tiny' needs 2",
        "patch (mel bins x frames): the file has 16 x 16, net.patch is 8 x 32",
        "sample rate (Hz): the file was trained on features with 16000, the front end has 32000",
        "mel bins: the file was trained on features with 32, the front end has 40",
    )
    assert OWN_ENCODER in str(caught.value)


@small
def test_weights_that_are_not_the_cards_are_refused(encoder):
    _, path = encoder()
    card_path = path.with_suffix(".json")
    card = json.loads(card_path.read_text())
    card["net"]["n_frames"] = 96
    card_path.write_text(json.dumps(card))
    with pytest.raises(InputError, match=r"pos_embed: the file has shape \[1, 10, 8\], expected \[1, 14, 8\]"):
        load_start(path, classifier(), CLASSIFIER, features())


@small
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), r"encoder\.safetensors: no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "is not a safetensors file"),
        (lambda path: path.with_suffix(".json").unlink(), r"encoder\.json: no such file"),
        (lambda path: path.with_suffix(".json").write_text("[1]"), "is no EncoderCard.*found list"),
        (lambda path: path.with_suffix(".json").write_text("{"), "not valid JSON"),
        (lambda path: path.rename(path.with_suffix(".pth")), "not a PyTorch file"),
    ],
)
def test_incomplete_and_damaged_files_are_named(encoder, spoil, message):
    _, path = encoder()
    spoil(path)
    asked = path.with_suffix(".pth") if path.with_suffix(".pth").exists() else path
    with pytest.raises(InputError, match=message):
        load_start(asked, classifier(), CLASSIFIER, features())


@small
def test_a_cnn_is_no_start(finetuned):
    _, path = finetuned(Cnn(arch="cnn", n_frames=64))
    with pytest.raises(InputError, match=r"a network of arch 'cnn', but net\.arch is 'ssast'"):
        load_start(path, classifier(), CLASSIFIER, features())


# --- the original's layout --------------------------------------------------------------------------------


@small
@pytest.mark.parametrize("size", ["tiny", "base-nokd"])
def test_exported_file_gives_the_same_model(encoder, size, tmp_path):
    net = NET.model_copy(update={"size": size})
    then, path = encoder(net)
    export_ssast(path, pretraining(net), tmp_path / "ssast.pth")
    model = pretext_model(net)
    report = load_start(tmp_path / "ssast.pth", model, net, features())
    assert all(torch.equal(value, then.state_dict()[name]) for name, value in model.state_dict().items())
    assert (report.n_mels, report.n_frames, report.fresh) == (N_MELS, 64, ())
    first = (tmp_path / "ssast.pth").read_bytes()
    export_ssast(path, pretraining(net), tmp_path / "again.pth")
    assert (tmp_path / "again.pth").read_bytes() == first


def originals(name: str) -> dict:
    """What the original's pre-training saves: keys and shapes, block 0 for all, and counts."""
    return json.loads((SHARED / "golden" / "ssast" / "state_keys.json").read_text())[f"pretrain_{name}"]


def shapes_of(path) -> dict[str, list[int]]:
    state = torch.load(path, weights_only=True)
    return {re.sub(r"blocks\.\d+", "blocks.0", key): list(value.shape) for key, value in state.items()}


@needs_shared
@pytest.mark.parametrize("patch", [(16, 16), (128, 2)])
def test_exported_keys_and_shapes_are_the_originals(encoder, patch, tmp_path):
    net = NET.model_copy(update={"patch": patch, "n_frames": 1024})
    _, path = encoder(net, 128)
    export_ssast(path, pretraining(net), tmp_path / "ssast.pth")
    expected = originals("tiny_patch16x16" if patch == (16, 16) else "tiny_frame128x2")
    assert shapes_of(tmp_path / "ssast.pth") == expected["keys"]
    state = torch.load(tmp_path / "ssast.pth", weights_only=True)
    assert len(state) == expected["n_keys"]
    assert sum(value.numel() for value in state.values()) == expected["n_params"]
    assert state["module.p_input_fdim"].dtype == state["module.p_input_tdim"].dtype == torch.int64
    assert (state["module.p_input_fdim"], state["module.p_input_tdim"]) == (128, 1024)


@small
@needs_shared
def test_exported_keys_with_one_class_token_are_the_originals(encoder, tmp_path):
    net = NET.model_copy(update={"size": "base-nokd"})
    _, path = encoder(net)
    export_ssast(path, pretraining(net), tmp_path / "ssast.pth")
    assert shapes_of(tmp_path / "ssast.pth").keys() == originals("base_nokd_patch16x16")["keys"].keys()


@small
def test_only_what_the_original_can_read_is_exported(encoder, tmp_path):
    net = NET.model_copy(update={"patch": (8, 8)})
    _, path = encoder(net)
    with pytest.raises(InputError, match=r"patches of 8 x 8.*only patches of 256 values"):
        export_ssast(path, pretraining(net), tmp_path / "ssast.pth")
    _, path = encoder()
    save_weights(path, path.with_suffix(".json"), classifier(), encoder_card())
    with pytest.raises(InputError, match=r"head\.1\.bias: in the file, but not in the model"):
        export_ssast(path, pretraining(NET), tmp_path / "ssast.pth")
    assert not (tmp_path / "ssast.pth").exists()
