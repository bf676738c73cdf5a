"""Losses, accuracy, gradients, masks and training steps of the original pre-training."""

import random

import numpy as np
import pytest
import torch

from helpers import golden_file, golden_inputs, needs_shared
from small_pretraining import pretraining
from tymbal.config.models import SsastEncoder
from tymbal.pretrain.masks import Mask, original
from tymbal.pretrain.ssast import MaskedPatchModel, info_nce

pytestmark = needs_shared

RELEASED = {"contrast": "predictions", "passes": 2}
PATCHES = {"patch": (16, 16), "frame": (128, 2)}


def reference_model(kind: str, n_frames: int = 1024) -> MaskedPatchModel:
    """The tiny model with the weights that the reference vectors were made with."""
    inputs = golden_inputs()
    net = SsastEncoder(arch="ssast", size="tiny", patch=PATCHES[kind], n_frames=n_frames)
    model = MaskedPatchModel(pretraining(net, **RELEASED), 128, torch.Generator())
    own = ("mask_embed", "cpredlayer.", "gpredlayer.")
    state = {
        name: torch.from_numpy(inputs.fill(name if name.startswith(own) else f"v.{name}", tuple(value.shape), 0))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


def mask(batch: int, n: int, k: int, seed: int) -> Mask:
    return Mask(torch.from_numpy(golden_inputs().choice_mask(batch, n, k, seed)), None)


@pytest.mark.parametrize("kind, k", [("patch", 400), ("patch", 250), ("patch", 100), ("frame", 400), ("frame", 250)])
@pytest.mark.parametrize("masks", ["same", "diff"])
def test_losses_accuracy_and_gradients(kind, k, masks):
    expected = golden_file("ssast", f"pretrain_tiny_{kind}.npz")
    model = reference_model(kind)
    x = torch.from_numpy(golden_inputs().spectrogram(2, 1024, 128, 1))
    contrasted = mask(2, 512, k, 10)
    rebuilt = contrasted if masks == "same" else mask(2, 512, k, 20)

    losses = model.losses_at(x, contrasted, rebuilt, None)
    losses["loss"].backward()

    tag = f"m{k}_{masks}"
    for ours, theirs in {"nce": "nce", "mse": "mse", "loss": "joint"}.items():
        assert losses[ours].item() == pytest.approx(float(expected[f"{tag}_{theirs}"]), rel=2e-5)
    assert losses["accuracy"].item() == pytest.approx(float(expected[f"{tag}_acc"]), abs=1 / (2 * k))
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    off = {
        name: abs(gradients[name.removeprefix("v.")].norm().item() / float(norm) - 1)
        for name, norm in zip(map(str, expected["grad_names"]), expected[f"{tag}_gradnorm"], strict=True)
        if name != "cpredlayer.2.bias"  # zero but for rounding
    }
    # Rounding is below 2e-5; but a unit of a head's ReLU that is zero up to rounding may be on there and off here.
    assert np.median(list(off.values())) < 2e-4
    assert max(off.values()) < 2e-3, off
    if masks == "same":
        vectors = {"maskembed": gradients["mask_embed"].flatten(), "pos5": gradients["pos_embed"][0, 5]}
        for theirs, ours in vectors.items():
            reference = torch.from_numpy(expected[f"{tag}_grad_{theirs}"]).flatten()
            assert (ours - reference).norm() < 5e-3 * reference.norm()  # for the same reason


@pytest.mark.parametrize("tag, batch, k", [("a", 2, 400), ("b", 1, 37)])
@pytest.mark.parametrize(
    "contrast, names", [("predictions", ("nce_rows64", "acc_code64")), ("targets", ("nce_paper64", "acc_paper64"))]
)
def test_contrastive_loss_of_the_code_and_of_the_paper(tag, batch, k, contrast, names):
    expected, inputs = golden_file("ssast", "nce.npz"), golden_inputs()
    x = torch.from_numpy(inputs.spectrogram(batch, 1024, 128, 2))
    patches = reference_model("patch").patches(x)
    index = torch.from_numpy(np.asarray(expected[f"{tag}_mask"]).reshape(batch, k)).long()
    targets = patches.gather(1, index[:, :, None].expand(-1, -1, 256))
    noise = torch.stack([torch.from_numpy(inputs.unit(f"pred{b}", (k, 256), 0)) for b in range(batch)])
    strength = torch.linspace(0.4, 1.6, k, dtype=torch.float64)[:, None]
    predictions = (strength * (0.015 * targets + 0.09 * noise)).float()

    loss, accuracy = info_nce(targets, predictions, None, contrast)

    assert loss.item() == pytest.approx(float(expected[f"{tag}_{names[0]}"]), rel=2e-5)
    assert accuracy.item() == pytest.approx(float(expected[f"{tag}_{names[1]}"]), abs=1 / (2 * batch * k))


def legacy_ranks(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The draws of Python's generator as the original makes them, as ranks of the starts."""
    source = random.Random(seed)
    side, ranks = source.randrange(3), torch.full((512,), torch.inf)
    for turn in range(5000):
        start = source.randrange(512)
        ranks[start] = min(ranks[start], torch.tensor(float(turn)))
    return ranks, torch.tensor(side)


def test_original_sampler_gives_the_originals_masks():
    expected = golden_file("ssast", "masks.npz")
    cases = [key for key in expected.files if key.startswith("patch_m") and "seed" in key]
    assert cases
    for key in cases:
        k, seed = (int(part) for part in key.removeprefix("patch_m").split("_seed"))
        ranks, side = legacy_ranks(seed)
        ours = original(ranks[None], side[None], (8, 64), k)[0]
        assert sorted(ours.tolist()) == sorted(np.asarray(expected[key]).tolist()), key


@pytest.mark.parametrize("k", [400, 250, 100])
def test_original_sampler_masks_each_patch_as_often(k):
    expected = golden_file("ssast", "masks.npz")[f"patch_m{k}_marginal"]
    generator = torch.Generator().manual_seed(0)
    n = 20_000
    ranks = torch.rand(n, 512, generator=generator)
    index = original(ranks, torch.randint(3, (n,), generator=generator), (8, 64), k)
    ours = torch.zeros(512).scatter_add_(0, index.flatten(), torch.ones(index.numel())) / n
    # Both are estimates of 20,000 draws: 5 standard errors of their difference.
    np.testing.assert_allclose(ours.numpy(), np.asarray(expected).ravel(), atol=5 * 0.004 * 2**0.5)


def test_four_adam_steps():
    expected = golden_file("ssast", "steps.npz")["pretrain_acc_nce_mse_joint"]
    model = reference_model("patch")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=5e-7)
    x = torch.from_numpy(golden_inputs().spectrogram(2, 1024, 128, 4))
    for step, (accuracy, nce, mse, joint) in enumerate(np.asarray(expected)):
        losses = model.losses_at(x, mask(2, 512, 400, 100 + step), mask(2, 512, 400, 200 + step), None)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        found = [losses[name].item() for name in ("nce", "mse", "loss")]
        np.testing.assert_allclose(found, [nce, mse, joint], rtol=1e-4)
        assert losses["accuracy"].item() == pytest.approx(accuracy, abs=1 / 400)
