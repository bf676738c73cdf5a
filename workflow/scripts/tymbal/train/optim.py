"""Parameter groups, optimisers and learning-rate schedules."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from tymbal.config.models import CosineSchedule, LayeredOptimizer, Optimizer, PlateauSchedule, StepSchedule
from tymbal.models.classifier import Classifier, is_head


def build_optimizer(model: Classifier, settings: LayeredOptimizer, min_lr: float = 0.0) -> torch.optim.Optimizer:
    """Adam or AdamW with one parameter group for each learning rate.

    A parameter's rate is `lr`, times `head_lr` in the classification head, times `layer_decay` once for every
    layer above it in the encoder. Frozen parameters are in no group.

    Args:
        model: its parameter names tell the layer.
        settings: rates, decay and moments.
        min_lr: lowest rate of the schedule.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = settings.head_lr if is_head(name) else settings.layer_decay ** model.layers_above(name)
            groups.setdefault(scale, []).append(parameter)
    return adam(groups, settings, min_lr)


def adam(
    groups: Mapping[float, Sequence[nn.Parameter]], settings: Optimizer, min_lr: float = 0.0
) -> torch.optim.Optimizer:
    """Adam or AdamW; each group's highest rate is `lr` times its key.

    Args:
        groups: parameters by the scale of their rates.
        settings: rate, decay and moments.
        min_lr: lowest rate of the schedule.
    """
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.name]
    return kind(
        [
            {"params": list(parameters), "lr": settings.lr * scale, "line": rate_line(scale, settings.lr, min_lr)}
            for scale, parameters in groups.items()
        ],
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def rate_line(scale: float, lr: float, min_lr: float) -> tuple[float, float]:
    """Slope and offset of the learning rate of a group of parameters over the rate of a group of scale 1.

    While the latter goes from `min_lr` to `lr`, the group's goes from the lower of `min_lr` and its own highest rate,
    `scale` times `lr`, to that.
    """
    lowest = min_lr / lr
    slope = (scale - min(lowest, scale)) / (1 - lowest)
    return slope, lr * (scale - slope)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its learning rate, where that of a group of scale 1 is `rate`."""
    for group in optimizer.param_groups:
        slope, offset = group["line"]
        group["lr"] = slope * rate + offset


def min_rate(schedule: StepSchedule | CosineSchedule) -> float:
    """The lowest rate of a schedule, from which warm-up starts."""
    return schedule.min_lr if isinstance(schedule, CosineSchedule) else 0.0


def learning_rate(
    lr: float, schedule: StepSchedule | CosineSchedule, step: int, steps_per_epoch: int, epochs: int
) -> float:
    """The learning rate at one optimiser step: a pure function, so nothing has to be resumed.

    Args:
        lr: the highest.
        schedule: `step` holds the rate for the epochs 1..start, then multiplies by gamma after epochs start,
            start + every, ... (SSAST's recipe); `cosine` falls to its lowest rate at the end of training. Both begin
            with a linear warm-up.
        step: counted from 0 over the whole training.
        steps_per_epoch: optimiser steps in one epoch.
        epochs: planned number of epochs.
    """
    lowest = min_rate(schedule)
    return lowest + (lr - lowest) * _factor(schedule, step, steps_per_epoch, epochs)


def warmup_steps(schedule: StepSchedule | CosineSchedule | PlateauSchedule, total: int) -> int:
    """Steps of the warm-up, of so many in all."""
    given = schedule.warmup_steps
    return given if isinstance(given, int) else int(given * total)


def _factor(schedule: StepSchedule | CosineSchedule, step: int, steps_per_epoch: int, epochs: int) -> float:
    """How far the rate is from its lowest to its highest."""
    total = steps_per_epoch * epochs
    n_warmup = warmup_steps(schedule, total)
    warmup = min(1.0, (step + 1) / (n_warmup + 1))
    if isinstance(schedule, StepSchedule):
        epoch = step // steps_per_epoch + 1
        times = 0 if epoch <= schedule.start else 1 + (epoch - schedule.start - 1) // schedule.every
        return warmup * schedule.gamma**times
    done = max(0, step - n_warmup) / max(1, total - n_warmup)
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
