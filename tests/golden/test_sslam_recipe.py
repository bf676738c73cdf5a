"""Learning rates, mixing and losses of the original's fine-tuning."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers import golden_file, golden_inputs, needs_shared
from sslam_golden import INPUT, STUDENT, fill, spectrogram
from tymbal.config.models import BatchMixup, CosineSchedule, Finetuning, Sslam
from tymbal.config.pretrain import PRESETS
from tymbal.inference import mean_loss
from tymbal.models.sslam import SSLAM
from tymbal.train.augment import batch_mixup
from tymbal.train.optim import adam, learning_rate, set_rate

pytestmark = needs_shared

UPDATES = {  # the preset, the original's updates, and the vectors of rates
    "as20k": ("sslam-as20k", 40_000, "as20k_head"),
    "as20k, block 0": ("sslam-as20k", 40_000, "as20k_block0"),
    "as20k, block 3": ("sslam-as20k", 40_000, "as20k_block3"),
    "as2m": ("sslam-as2m", 400_000, "as2m_head"),
    "esc50": ("sslam-esc50", 4000, "esc50_head"),
    "ks2": ("sslam-ks2", 40_000, "ks2_head"),
    "spass": ("sslam-spass", 3906, "spass_ft_head"),
    "spass, linear": ("sslam-spass-linear", 3906, "spass_linear"),
}


def assert_rates(found: list[float], key: str, warmup: int) -> None:
    """Equal once warmed up. Before, ours are ahead by up to one step: at (n + 1) / (warmup + 1), not n / warmup."""
    golden = golden_file("sslam", "schedules.npz")
    updates, expected = golden[f"lr_updates_{key}"], golden[f"lr_{key}"]
    warm = updates >= warmup
    np.testing.assert_allclose(np.array(found)[warm], expected[warm], rtol=1e-6, atol=1e-15)
    ahead = np.array(found)[~warm] - expected[~warm]
    step = (expected.max() - expected.min()) / max(1, warmup)
    assert (ahead >= -1e-15).all() and (ahead <= step * (1 + 1e-6)).all()


@pytest.mark.parametrize(("preset", "n_updates", "key"), UPDATES.values(), ids=UPDATES)
def test_rates_of_fine_tuning(preset, n_updates, key):
    train = Finetuning.model_validate({"preset": preset})
    block = int(key.partition("block")[2] or 12)
    scale = train.optimizer.layer_decay ** (12 - block)
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = adam({scale: [parameter]}, train.optimizer, train.schedule.min_lr)
    found = []
    for update in golden_file("sslam", "schedules.npz")[f"lr_updates_{key}"].tolist():
        set_rate(optimizer, learning_rate(train.optimizer.lr, train.schedule, update, n_updates, 1))
        found.append(optimizer.param_groups[0]["lr"])
    assert_rates(found, key, int(train.schedule.warmup_steps * n_updates))


@pytest.mark.parametrize(("preset", "n_updates", "key"), [("eat", 400_000, "stage1"), ("sslam", 200_000, "stage2")])
def test_rates_of_pretraining(preset, n_updates, key):
    schedule = CosineSchedule(**PRESETS[preset]["schedule"])
    updates = golden_file("sslam", "schedules.npz")[f"lr_updates_{key}"].tolist()
    peak = PRESETS[preset]["optimizer"]["lr"]
    found = [learning_rate(peak, schedule, n, n_updates, 1) for n in updates]
    assert_rates(found, key, int(schedule.warmup_steps * n_updates))


class Fixed:
    """A generator that mixes every batch with weight 0.3."""

    def random(self):
        return 0.0

    def beta(self, a, b):
        return 0.3


def labels() -> torch.Tensor:
    return torch.from_numpy((golden_inputs().uniform("labels", (2, 527), INPUT) < -0.97).astype(np.float32))


@torch.no_grad()
def test_loss_of_a_mixed_batch():
    """The original sums over clips and classes and divides by the sum of labels; ours is the mean."""
    golden = golden_file("sslam", "finetune.npz")
    model = SSLAM(Sslam(arch="sslam", n_frames=1024), 128, 527, torch.Generator()).eval()
    fill(model, STUDENT, "model.")
    x, n_frames = spectrogram(2, 1024), torch.full((2,), 1024)
    x, _, y = batch_mixup(x, n_frames, labels(), BatchMixup(probability=1, alpha=0.8), Fixed())
    loss = mean_loss(model(x), y, "bce").item()
    assert loss * y.numel() == pytest.approx(float(golden["bce_sum_mixup_lam0.3"]), rel=1e-5)
    assert y.sum().item() == pytest.approx(float(golden["sample_size_mixup"]))


@pytest.mark.parametrize(("key", "smoothing"), [("ce_sum", 0.0), ("ce_smooth_sum", 0.1)])
def test_loss_with_smoothed_labels(key, smoothing):
    golden = golden_file("sslam", "finetune.npz")
    logits, y = torch.from_numpy(golden["logits_esc50_T512"]), F.one_hot(torch.tensor([3, 41]), 50).float()
    loss = mean_loss(logits, y, "ce", smoothing).item()
    assert 2 * loss == pytest.approx(float(golden[key]), rel=1e-5)
