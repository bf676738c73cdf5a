"""Parameter groups, optimisers and learning-rate schedules."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from tymbal.config.models import CosineSchedule, LayeredOptimizer, Optimizer, PlateauSchedule, StepSchedule
from tymbal.models.classifier import Classifier, is_head


def build_optimizer(model: Classifier, settings: LayeredOptimizer) -> torch.optim.Optimizer:
    """Adam or AdamW with one parameter group for each learning rate.

    A parameter's rate is `lr`, times `head_lr` in the classification head, times `layer_decay` once for every
    layer above it in the encoder. Each group keeps its factor as `scale`; `set_rate` multiplies by it. Frozen
    parameters are in no group.

    Args:
        model: its parameter names tell the layer.
        settings: rates, decay and moments.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = settings.head_lr if is_head(name) else settings.layer_decay ** model.layers_above(name)
            groups.setdefault(scale, []).append(parameter)
    return adam(groups, settings)


def adam(groups: Mapping[float, Sequence[nn.Parameter]], settings: Optimizer) -> torch.optim.Optimizer:
    """Adam or AdamW; each group's rate is `lr` times its key, kept as `scale`."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.name]
    return kind(
        [
            {"params": list(parameters), "lr": settings.lr * scale, "scale": scale}
            for scale, parameters in groups.items()
        ],
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group `rate` times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def rate_factor(schedule: StepSchedule | CosineSchedule, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The factor on the learning rate at one optimiser step: a pure function, so nothing has to be resumed.

    Args:
        schedule: `step` holds the rate for the epochs 1..start, then multiplies by gamma after epochs start,
            start + every, ... (SSAST's recipe); `cosine` falls to zero at the end of training. Both begin with a
            linear warm-up over `warmup_steps`.
        step: counted from 0 over the whole training.
        steps_per_epoch: optimiser steps in one epoch.
        epochs: planned number of epochs.
    """
    warmup = min(1.0, (step + 1) / (schedule.warmup_steps + 1))
    if isinstance(schedule, StepSchedule):
        epoch = step // steps_per_epoch + 1
        times = 0 if epoch <= schedule.start else 1 + (epoch - schedule.start - 1) // schedule.every
        return warmup * schedule.gamma**times
    total = steps_per_epoch * epochs
    done = max(0, step - schedule.warmup_steps) / max(1, total - schedule.warmup_steps)
    return warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def plateau_factor(schedule: PlateauSchedule, step: int, scores: Sequence[float]) -> float:
    """The factor on the learning rate that halves when checks stop getting better (SSAST, section 3.1).

    A pure function too: all that is needed of the past is in the history.

    Args:
        schedule: patience and warm-up.
        step: counted from 0 over the whole training.
        scores: of all checks so far; larger is better.
    """
    best, waiting, halvings = -math.inf, 0, 0
    for score in scores:
        best, waiting = (score, 0) if score > best else (best, waiting + 1)
        if waiting > schedule.patience:
            waiting, halvings = 0, halvings + 1
    return min(1.0, (step + 1) / (schedule.warmup_steps + 1)) * 0.5**halvings
