"""Learning rates are those of the recipes."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from tymbal.config.models import CosineSchedule, LayeredOptimizer, PlateauSchedule, StepSchedule
from tymbal.models.classifier import Classifier
from tymbal.train.optim import build_optimizer, learning_rate, plateau_factor, set_rate


def test_step_schedule_is_the_audioset_recipe():
    schedule = StepSchedule(name="step", start=10, every=5, gamma=0.5)
    rates = [learning_rate(5e-5, schedule, (epoch - 1) * 7 + 3, 7, 25) for epoch in range(1, 26)]
    assert rates == pytest.approx([5e-5] * 10 + [2.5e-5] * 5 + [1.25e-5] * 5 + [6.25e-6] * 5)


def test_step_schedule_is_the_esc50_recipe():
    schedule = StepSchedule(name="step", start=6, every=1, gamma=0.85)
    assert learning_rate(1e-4, schedule, 49 * 34, 34, 50) == pytest.approx(7.8e-8, rel=0.01)


def test_cosine_warms_up_then_falls_to_nothing():
    schedule = CosineSchedule(name="cosine", warmup_steps=10)
    factors = [learning_rate(1.0, schedule, step, 20, 5) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11)
    assert max(factors) == factors[10] == 1.0
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert 0 < factors[-1] < 0.001
    assert factors[55] == pytest.approx(0.5)


def test_a_cosine_starts_from_and_ends_at_its_lowest_rate():
    schedule = CosineSchedule(name="cosine", warmup_steps=10, min_lr=0.2)
    rates = [learning_rate(1.2, schedule, step, 20, 5) for step in range(101)]
    assert rates[0] == pytest.approx(0.2 + 1 / 11)
    assert rates[10] == max(rates) == pytest.approx(1.2)
    assert rates[55] == pytest.approx(0.7)
    assert rates[100] == pytest.approx(0.2)


def test_warm_up_may_be_a_share_of_all_steps():
    share, steps = (CosineSchedule(name="cosine", warmup_steps=given) for given in (0.1, 39))
    for step in range(390):
        assert learning_rate(1.0, share, step, 39, 10) == learning_rate(1.0, steps, step, 39, 10)


class Net(Classifier):
    def __init__(self):
        super().__init__()
        self.lower, self.upper = nn.Linear(2, 2), nn.Linear(2, 2)
        self.head = nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 3))

    def layers_above(self, name):
        return {"lower": 2, "upper": 1}[name.split(".")[0]]


def test_every_parameter_has_the_rate_of_its_layer():
    net = Net()
    optimizer = build_optimizer(net, LayeredOptimizer(lr=0.1, head_lr=10, layer_decay=0.5))
    set_rate(optimizer, 0.2)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    expected = {"lower": 0.05, "upper": 0.1, "head": 2.0}
    for name, parameter in net.named_parameters():
        assert rate.pop(id(parameter)) == pytest.approx(expected[name.split(".")[0]]), name
    assert not rate


def test_a_lowest_rate_is_that_of_every_layer():
    """The lower layer's highest rate is 0.025, below it: there it stays."""
    net = Net()
    optimizer = build_optimizer(net, LayeredOptimizer(lr=0.1, head_lr=10, layer_decay=0.5), min_lr=0.04)
    lower, upper, head = (
        next(group for group in optimizer.param_groups if any(part.weight is p for p in group["params"]))
        for part in (net.lower, net.upper, net.head[1])
    )
    for rate, expected in {0.04: (0.025, 0.04, 0.04), 0.07: (0.025, 0.045, 0.52), 0.1: (0.025, 0.05, 1.0)}.items():
        set_rate(optimizer, rate)
        assert [group["lr"] for group in (lower, upper, head)] == pytest.approx(expected)


def test_frozen_parameters_are_not_optimised():
    net = Net()
    net.freeze_encoder()
    optimizer = build_optimizer(net, LayeredOptimizer(lr=0.1))
    optimised = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert optimised == {id(p) for p in net.head.parameters()}


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_optimisers_and_their_settings(name, kind):
    optimizer = build_optimizer(Net(), LayeredOptimizer(name=name, lr=0.1, weight_decay=0.3, betas=(0.8, 0.9)))
    assert type(optimizer) is kind
    assert all(g["weight_decay"] == 0.3 and tuple(g["betas"]) == (0.8, 0.9) for g in optimizer.param_groups)


@pytest.mark.parametrize("patience", [1, 3])
def test_plateau_schedule_is_torchs(patience):
    scores = torch.rand(60, generator=torch.Generator().manual_seed(0)).tolist()
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.5, patience, threshold=0)
    schedule = PlateauSchedule(name="plateau", patience=patience, warmup_steps=0)
    for i, score in enumerate(scores):
        assert plateau_factor(schedule, 1000, scores[:i]) == optimizer.param_groups[0]["lr"]
        torchs.step(score)
    assert optimizer.param_groups[0]["lr"] < 2**-10


def test_plateau_schedule_warms_up():
    schedule = PlateauSchedule(name="plateau", warmup_steps=9)
    assert [plateau_factor(schedule, step, []) for step in (0, 4, 9, 20)] == pytest.approx([0.1, 0.5, 1, 1])
