"""Learning rates are those of the recipes."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from tymbal.config import CosineSchedule, Optimizer, StepSchedule
from tymbal.train.optim import build_optimizer, rate_factor, set_rate


def test_step_schedule_is_the_audioset_recipe():
    schedule = StepSchedule(name="step", start=10, every=5, gamma=0.5)
    rates = [5e-5 * rate_factor(schedule, (epoch - 1) * 7 + 3, 7, 25) for epoch in range(1, 26)]
    assert rates == pytest.approx([5e-5] * 10 + [2.5e-5] * 5 + [1.25e-5] * 5 + [6.25e-6] * 5)


def test_step_schedule_is_the_esc50_recipe():
    schedule = StepSchedule(name="step", start=6, every=1, gamma=0.85)
    assert 1e-4 * rate_factor(schedule, 49 * 34, 34, 50) == pytest.approx(7.8e-8, rel=0.01)


def test_cosine_warms_up_then_falls_to_nothing():
    schedule = CosineSchedule(name="cosine", warmup_steps=10)
    factors = [rate_factor(schedule, step, 20, 5) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11)
    assert max(factors) == factors[10] == 1.0
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert 0 < factors[-1] < 0.001
    assert factors[55] == pytest.approx(0.5)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Linear(2, 2)
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
        self.norm = nn.LayerNorm(2)
        self.head = nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 3))


def test_every_parameter_has_the_rate_of_its_layer():
    net = Net()
    settings = Optimizer(lr=0.1, head_lr=10, layer_decay=0.5)
    optimizer = build_optimizer(net, settings, depth=2)
    set_rate(optimizer, 0.2)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    expected = {"patch_embed": 0.125, "blocks.0": 0.25, "blocks.1": 0.5, "norm": 1.0, "head": 10.0}
    for name, parameter in net.named_parameters():
        factor = next(value for prefix, value in expected.items() if name.startswith(prefix))
        assert rate.pop(id(parameter)) == pytest.approx(0.2 * factor), name
    assert not rate


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_optimisers_and_their_settings(name, kind):
    optimizer = build_optimizer(Net(), Optimizer(name=name, lr=0.1, weight_decay=0.3, betas=(0.8, 0.9)), depth=2)
    assert type(optimizer) is kind
    assert all(g["weight_decay"] == 0.3 and tuple(g["betas"]) == (0.8, 0.9) for g in optimizer.param_groups)
