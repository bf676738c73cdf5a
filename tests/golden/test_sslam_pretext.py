"""Masks, losses, targets, gradients and training steps of the original's pre-training, stages 1 and 2."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import sslam_golden
from helpers import golden_file, needs_shared
from tymbal.config.models import Optimizer
from tymbal.config.pretrain import BlockMasking, LatentPretext, Pretraining, Teacher
from tymbal.pretrain.block_masks import BlockMask, draw
from tymbal.pretrain.latents import UTTERANCE_ROWS
from tymbal.pretrain.mixtures import Mixing, mix, mixed_columns, retention
from tymbal.pretrain.sslam import MaskedLatentModel
from tymbal.train.optim import adam

pytestmark = needs_shared

T_DIM, F_DIM, N_VISIBLE = 64, 8, 102
REGION = 15  # columns


def reference_model(stage: int, rows: int) -> MaskedLatentModel:
    """The base model with the reference weights; its utterance loss is a sum over the rows, as the original's."""
    scale = rows / UTTERANCE_ROWS
    weights = {"global_unmixed": scale} if stage == 1 else {"global_unmixed": scale, "global_mixed": scale}
    settings = Pretraining.model_validate(
        {
            "frontend": "fbank128",
            "corpus": "audioset",
            "net": {"arch": "sslam", "size": "base"},
            "pretext": {"stage": stage, "weights": weights},
            "train": {"epochs": 1, "batch_size": 12},
        }
    )
    model = MaskedLatentModel(settings, 128, torch.Generator())
    sslam_golden.fill(model, sslam_golden.STUDENT)
    sslam_golden.fill(model.teacher, sslam_golden.TEACHER)
    return model


def mask_of(expected: Any, clips: int) -> BlockMask:
    hidden = torch.from_numpy(np.unpackbits(expected["mask_packed"], axis=1).astype(bool))
    return BlockMask.at(~hidden.unflatten(0, (clips, -1)), N_VISIBLE)


def noiseless(mask: BlockMask, stage: int) -> Tensor:
    return torch.zeros(stage * len(mask.visible), mask.visible.shape[1], T_DIM * F_DIM, 768)


def mixing_of(x: Tensor, starts: Any) -> Mixing:
    """Each clip with the one before it; the regions begin at these frames."""
    return Mixing(x.roll(1, 0), mixed_columns(torch.from_numpy(np.asarray(starts)) // 16, REGION, T_DIM), None)


def assert_close(found: Tensor, expected: Any, rel: float) -> None:
    """As the reference vectors' README tells: relative to the largest value."""
    expected = torch.from_numpy(np.asarray(expected))
    assert (found.detach() - expected).abs().max() <= rel * expected.abs().max()


GRADIENTS = (
    *("cls_token", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "blocks.0.attn.qkv.weight"),
    *("blocks.0.attn.proj.weight", "blocks.0.mlp.fc1.weight", "blocks.0.norm1.weight", "blocks.1.mlp.fc2.weight"),
    *("blocks.1.norm2.bias", "decoder.blocks.0.weight", "decoder.blocks.5.bias", "decoder.proj.weight"),
)


def assert_gradients(model: MaskedLatentModel, expected: Any) -> None:
    assert all(weight.grad is None for weight in model.teacher.parameters())
    own = dict(model.named_parameters())
    every = torch.stack([weight.grad.norm() for weight in own.values() if weight.grad is not None])
    assert every.norm().item() == pytest.approx(float(expected["grad_total_norm"]), rel=1e-4)
    for i, name in enumerate(GRADIENTS):
        norm, gradient = float(expected["grad_norms"][i]), own[name].grad.double()
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-4), name
        slack = 1e-4 * norm * gradient.numel() ** 0.5
        assert gradient.sum().item() == pytest.approx(float(expected["grad_sums"][i]), abs=slack), name


@pytest.mark.parametrize("depth", [2, 12])
def test_stage_1(depth, monkeypatch):
    sslam_golden.shorten(monkeypatch, depth)
    expected = golden_file("sslam", f"stage1_depth{depth}.npz")
    mask = mask_of(expected, clips=2)
    assert mask.n_hidden == expected["sample_size"]
    model = reference_model(1, rows=mask.n_masks)
    x = sslam_golden.spectrogram(2, 1024, sslam_golden.INPUT + 2)

    target, _ = model.targets(model.teacher.embed_patches(x), None)
    assert_close(target[0, [0, 1, 8, 300, 511], :64], expected["target_b0"], 1e-3)
    assert_close(target.mean(dim=1), expected["target_mean_b"], 1e-3)
    with torch.no_grad():
        cls, predicted = model.predict(x, mask, noiseless(mask, 1))
    assert_close(cls.flatten(0, 1)[:, :64], expected["cls_pred"], 1e-3)
    assert_close(predicted[0, :4, :64], expected["patch_pred_first"], 1e-3)
    of_hidden = target.gather(1, mask.hidden.flatten(1)[:, :, None].expand(-1, -1, 768))
    assert_close(of_hidden[0, :4, :64], expected["patch_target_first"], 1e-3)
    for name, values in (("pred_var", predicted), ("target_var", of_hidden)):
        found = (values.flatten(0, 1).var(dim=0) + 1e-6).sqrt().mean()
        assert found.item() == pytest.approx(float(expected[name]), rel=1e-4)

    losses = model.losses_at(x, mask, noiseless(mask, 1))
    losses["loss"].backward()
    assert losses["loss"].item() == pytest.approx(float(expected["loss"]), rel=1e-4)
    scale = model.pretext.weights.global_unmixed
    assert scale * losses["global"].item() == pytest.approx(float(expected["loss_cls"]), rel=1e-4)
    assert losses["local"].item() == pytest.approx(float(expected["loss_patch"]), rel=1e-4)
    assert_gradients(model, expected)


@pytest.mark.parametrize("case, depth, clips, seed", [("2", 2, 3, 3), ("12", 12, 2, 3), ("2_adjacent", 2, 3, 4)])
def test_stage_2(case, depth, clips, seed, monkeypatch):
    sslam_golden.shorten(monkeypatch, depth)
    expected = golden_file("sslam", f"stage2_depth{case}.npz")
    mask = mask_of(expected, clips)
    assert 2 * mask.n_hidden == expected["sample_size"]
    model = reference_model(2, rows=2 * mask.n_masks)
    x = sslam_golden.spectrogram(clips, 1024, sslam_golden.INPUT + seed)
    mixing = mixing_of(x, expected["mix_indices"])

    assert_close(mix(x, mixing, 16).mean(dim=2), expected["mixed_input_rowmeans"], 1e-4)
    target, _ = model.targets(model.teacher.embed_patches(x), None)
    patches = mixing.patches(F_DIM)
    its, _ = model.targets(model.teacher.embed_patches(mixing.partner)[:, patches], None)
    retained = retention(target, its, patches, None)
    first, second = (int(start) // 16 * F_DIM for start in expected["mix_indices"])
    assert_close(retained[:, [0, first, first + REGION * F_DIM, second + 3, 511], :64], expected["srl_target"], 1e-3)
    assert_close(retained.mean(dim=1), expected["srl_target_mean_b"], 1e-3)

    losses = model.losses_at(x, mask, noiseless(mask, 2), mixing=mixing)
    losses["loss"].backward()
    assert losses["loss"].item() == pytest.approx(float(expected["loss"]), rel=1e-4)
    scale = model.pretext.weights.global_unmixed
    n = float(expected["sample_size"])
    parts = {
        "global_unmixed": expected["cls_unmixed"] / scale,
        "global_mixed": expected["cls_mixed"] / scale,
        "local_unmixed": expected["patch_unmixed_sum"] / n,
        "local_mixed": expected["patch_mixed_sum"] / n,
        "local_retention": expected["mix_patch_loss"],
    }
    for name, value in parts.items():
        assert losses[name].item() == pytest.approx(float(value), rel=1e-4), name
    assert_gradients(model, expected)


@pytest.mark.parametrize("stage, clips, seed, lr", [(1, 2, 5, 5e-4), (2, 3, 6, 5e-5)])
def test_four_updates(stage, clips, seed, lr, monkeypatch):
    """With the teacher's, the clipping of gradients and decoupled weight decay on every weight."""
    sslam_golden.shorten(monkeypatch, 2)
    expected = golden_file("sslam", f"trajectory_stage{stage}.npz")
    mask = mask_of(expected, clips)
    model = reference_model(stage, rows=stage * mask.n_masks)
    x = sslam_golden.spectrogram(clips, 1024, sslam_golden.INPUT + seed)
    mixing = mixing_of(x, (112, 400)) if stage == 2 else None
    settings = Optimizer(name="adamw", lr=lr, betas=(0.9, 0.95), weight_decay=0.05)
    optimizer = adam({1.0: list(model.parameters())}, settings)
    scale = model.pretext.weights.global_unmixed
    for n in range(4):
        model.before_step(n)
        losses = model.losses_at(x, mask, noiseless(mask, stage), mixing=mixing)
        optimizer.zero_grad()
        losses["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 4.0)
        optimizer.step()
        if stage == 1:
            found = [scale * losses["global"], losses["local"]]
        else:
            utterance, frames = (losses[f"{name}_unmixed"] + losses[f"{name}_mixed"] for name in ("global", "local"))
            found = [scale * utterance, frames, losses["local_retention"]]
        np.testing.assert_allclose([value.item() for value in found], expected["losses"][n], rtol=2e-4)
        assert norm.item() == pytest.approx(float(expected["grad_norm"][n]), rel=1e-4)
    assert model.decay(3) == pytest.approx(float(expected["ema_decay_last"]), abs=1e-8)
    for side, weights in (("student", model), ("teacher", model.teacher)):
        own = {sslam_golden.original_name(name): value for name, value in weights.named_parameters(recurse=True)
               if not name.startswith("teacher.")}  # fmt: skip
        norms = [own[str(name)].norm().item() for name in expected["param_names"]]
        np.testing.assert_allclose(norms, expected[f"{side}_norms"], rtol=1e-4)


def test_decay_of_the_teacher(monkeypatch):
    sslam_golden.shorten(monkeypatch, 1)
    expected, model = golden_file("sslam", "schedules.npz"), reference_model(1, rows=1)
    assert model.pretext.teacher == Teacher()
    found = [model.decay(int(step)) for step in expected["ema_updates"]]
    np.testing.assert_allclose(found, expected["ema_decay"], rtol=1e-6)
    assert model.decay(10**7) == LatentPretext().teacher.end


@pytest.mark.parametrize("t_dim, n_visible", [(64, 102), (32, 51)])
def test_masks_are_as_those_of_the_original(t_dim, n_visible):
    expected = golden_file("sslam", "masks.npz")
    batch, clones = 500, 8
    n = batch * clones
    mask = draw(BlockMasking(), (F_DIM, t_dim), batch, clones, None, torch.Generator().manual_seed(0))
    assert mask.visible.shape == (batch, clones, n_visible)
    kept = torch.zeros(n, t_dim * F_DIM, dtype=torch.bool).scatter(1, mask.visible.flatten(0, 1), True)
    kept = kept.unflatten(1, (t_dim, F_DIM)).numpy()
    assert (kept.sum(axis=(1, 2)) == n_visible).all()

    beside, above = kept[:, 1:] & kept[:, :-1], kept[:, :, 1:] & kept[:, :, :-1]
    neighbour = np.zeros_like(kept)
    neighbour[:, 1:] |= kept[:, :-1]
    neighbour[:, :-1] |= kept[:, 1:]
    neighbour[:, :, 1:] |= kept[:, :, :-1]
    neighbour[:, :, :-1] |= kept[:, :, 1:]
    pairs = beside.sum(axis=(1, 2)) + above.sum(axis=(1, 2))
    isolated = (kept & ~neighbour).sum(axis=(1, 2))
    for name, found in (("adjacent_pairs", pairs), ("isolated", isolated)):
        mean, std = expected[f"T{t_dim}_{name}_mean_std"]
        assert abs(found.mean() - mean) < 4 * std / n**0.5, name
        assert found.std() == pytest.approx(std, rel=0.1), name
    p = expected[f"T{t_dim}_keep_prob_map"]
    assert (np.abs(kept.mean(axis=0) - p) < 5 * np.sqrt(p * (1 - p) * (1 / n + 1 / 20_000))).all()
    lengths = run_lengths(kept)
    np.testing.assert_allclose(lengths, expected[f"T{t_dim}_time_runlength_hist"], atol=0.02)


def run_lengths(kept: np.ndarray) -> np.ndarray:
    """How often kept patches follow each other so many times along time; the last counts 20 and more."""
    along = np.pad(kept.transpose(0, 2, 1).astype(np.int8), [(0, 0), (0, 0), (1, 1)])
    steps = np.diff(along.reshape(-1, along.shape[2]), axis=1)
    begins, ends = np.nonzero(steps == 1), np.nonzero(steps == -1)
    counts = np.bincount(np.minimum(ends[1] - begins[1], 20), minlength=21)
    return counts / counts.sum()
