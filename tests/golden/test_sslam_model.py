"""Positions, features, logits and losses of the original EAT and SSLAM."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import golden_file, golden_inputs, needs_shared
from sslam_golden import INPUT, STUDENT, fill, original_name, spectrogram
from tymbal.config.models import Sslam
from tymbal.models.classifier import is_head
from tymbal.models.sslam import SSLAM, sincos_positions

pytestmark = needs_shared

REL = 1e-4  # of the largest value of an array


def vectors(name: str):
    return golden_file("sslam", f"{name}.npz")


@pytest.fixture(scope="module")
def encoder() -> SSLAM:
    """The base model as pre-trained, for 10 s; of a classifier the layout has nothing."""
    model = SSLAM(Sslam(arch="sslam", n_frames=1024), 128, 1, torch.Generator()).eval()
    fill(model, STUDENT)
    return model


@pytest.fixture(scope="module")
def classifier() -> SSLAM:
    """The base model as fine-tuned on AudioSet."""
    model = SSLAM(Sslam(arch="sslam", n_frames=1024), 128, 527, torch.Generator()).eval()
    fill(model, STUDENT, "model.")
    return model


def assert_close(ours: torch.Tensor, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=REL * np.abs(theirs).max())


def test_positions():
    expected = vectors("posembed")
    table = sincos_positions(768, (8, 768)).numpy()
    assert table.shape == tuple(expected["shape"]) and table.dtype == expected["dtype"]
    for token, row in zip(expected["tokens"], expected["rows"], strict=True):
        np.testing.assert_allclose(table[token], row, rtol=0, atol=1e-5 if token < 512 else 1e-4)
    np.testing.assert_allclose(table[:512].sum(axis=0), expected["colsum_first512"], rtol=1e-5, atol=1e-3)
    assert table[:512].sum(dtype=np.float64) == pytest.approx(float(expected["sum_first512"]), rel=1e-6)


@torch.no_grad()
def test_features_of_10_s(encoder):
    expected, x = vectors("features"), spectrogram(2, 1024)
    assert_close(encoder.patch_embed(x)[0, [0, 1, 8, 511], :32], expected["patch_tokens_b0"])
    normed = []
    hook = encoder.norm.register_forward_hook(lambda module, inputs, made: normed.append(made))
    tokens, mlp = encoder.encode(encoder.embed_patches(x), want_mlp=True)
    hook.remove()
    assert_close(normed[0][0, [0, 1, 2, 9, 512], :32], expected["prenorm_tokens_b0"])
    assert_close(tokens[0, [1, 2, 9, 257, 512]], expected["tokens_b0"])
    assert_close(tokens[:, 0], expected["cls_T1024"])
    assert_close(tokens[:, 1:].mean(dim=1), expected["patchmean_T1024"])
    assert len(mlp) == 12
    assert_close(mlp[0][0, :4, :32], expected["ffn_layer_first_b0"])
    assert_close(mlp[-1][0, :4, :32], expected["ffn_layer_last_b0"])


@torch.no_grad()
@pytest.mark.parametrize("n_frames", [512, 128])
def test_features_of_shorter_clips(encoder, n_frames):
    """Of an encoder made for longer ones, too."""
    expected = vectors("features")
    tokens, _ = encoder.encode(encoder.embed_patches(spectrogram(1, n_frames)))
    assert_close(tokens[:, 0], expected[f"cls_T{n_frames}"])
    assert_close(tokens[:, 1:].mean(dim=1), expected[f"patchmean_T{n_frames}"])


def summed_bce(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum").item()


@torch.no_grad()
@pytest.mark.parametrize("pooling, key", [("mean", "mean_pooling"), ("linear-softmax", "lin_softmax")])
def test_pooling(classifier, pooling, key, monkeypatch):
    monkeypatch.setattr(classifier, "pooling", pooling)
    assert_close(classifier(spectrogram(2, 1024)), vectors("finetune")[f"logits_{key}"])


@torch.no_grad()
def test_multi_label_logits_and_losses_of_audioset(classifier):
    expected, x = vectors("finetune"), spectrogram(2, 1024)
    labels = torch.from_numpy((golden_inputs().uniform("labels", (2, 527), INPUT) < -0.97).astype(np.float32))
    logits = classifier(x)
    assert_close(logits, expected["logits_cls_token"])
    assert summed_bce(logits, labels) == pytest.approx(float(expected["bce_sum"]), rel=REL)
    mixed_x, mixed_labels = (0.3 * part + 0.7 * part.flip(0) for part in (x, labels))
    assert summed_bce(classifier(mixed_x), mixed_labels) == pytest.approx(
        float(expected["bce_sum_mixup_lam0.3"]), rel=REL
    )


@torch.no_grad()
def logits_of(n_frames: int, n_classes: int, classifier: SSLAM) -> torch.Tensor:
    """Of another length and number of classes, but the same encoder."""
    model = SSLAM(Sslam(arch="sslam", n_frames=n_frames), 128, n_classes, torch.Generator()).eval()
    encoder = {name: value for name, value in classifier.state_dict().items() if not is_head(name)}
    model.load_state_dict(encoder, strict=False)
    fill(nn.ModuleDict({"head": model.head}), STUDENT)
    return model(spectrogram(2, n_frames))


def test_single_label_logits_and_losses_of_esc50(classifier):
    expected, labels = vectors("finetune"), torch.tensor([3, 41])
    logits = logits_of(512, 50, classifier)
    assert_close(logits, expected["logits_esc50_T512"])
    for key, smoothing in {"ce_sum": 0.0, "ce_smooth_sum": 0.1}.items():
        loss = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
        assert loss.item() == pytest.approx(float(expected[key]), rel=REL)


def test_single_label_logits_and_losses_of_speech_commands(classifier):
    expected, labels = vectors("finetune"), torch.tensor([0, 17])
    logits = logits_of(128, 35, classifier)
    assert_close(logits, expected["logits_ks2_T128"])
    loss = summed_bce(logits, F.one_hot(labels, 35).float())
    assert loss == pytest.approx(float(expected["ks2_bce_sum"]), rel=REL)


def test_rates_of_layers(encoder):
    names = [name for name, _ in encoder.named_parameters()]
    scales = [0.65 ** encoder.layers_above(f"blocks.{i}.norm1.weight") for i in range(12)]
    np.testing.assert_allclose(scales, vectors("schedules")["layer_decay_scale_0.65"], rtol=1e-6)
    assert all(encoder.layers_above(name) == 0 for name in names if not name.startswith("blocks."))


def test_parameters_have_the_originals_shapes(classifier):
    """All of them, but for the fixed positions, which are computed."""
    layout = vectors("layout")
    theirs = {
        str(key): tuple(map(int, str(shape).split(",")))
        for key, shape in zip(layout["finetuned_keys"], layout["finetuned_shapes"], strict=True)
        if not str(key).endswith("positions")
    }
    ours = {
        ("" if is_head(name) else "model.") + original_name(name): tuple(value.shape)
        for name, value in classifier.state_dict().items()
    }
    assert ours == theirs
