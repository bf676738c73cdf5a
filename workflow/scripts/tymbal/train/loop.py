"""The training loop: every step visible, for any model and any objective."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from tymbal.config import Training
from tymbal.errors import InputError
from tymbal.progress import Progress
from tymbal.train.data import Batch
from tymbal.train.optim import rate_factor, set_rate
from tymbal.train.resume import Checkpoints, State

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Objective:
    """What is to be learnt, handed to the loop.

    Args:
        batches: the augmented training batches of an epoch (counted from 1).
        n_batches: how many there are in every epoch.
        n_clips: clips in an epoch.
        loss: the mean loss of a batch; calls the model.
        validate: columns for the history, among them the one to select by.
        select: column of the history that chooses the epoch.
        larger_is_better: its direction.
    """

    batches: Callable[[int], Iterator[Batch]]
    n_batches: int
    n_clips: int
    loss: Callable[[Batch], Tensor]
    validate: Callable[[], dict[str, Any]]
    select: str
    larger_is_better: bool


def fit(
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    settings: Training,
    checkpoints: Checkpoints,
    device: torch.device,
    dtype: torch.dtype | None,
) -> State:
    """Train, keep the best epoch, resume from a checkpoint if there is one.

    A stopped and resumed training equals an undisturbed one bit for bit on the CPU: states are saved between
    epochs, and every draw within an epoch depends on the seed and the epoch alone.

    Args:
        model: on `device`; ends with the weights of the best epoch.
        objective: data, loss and validation.
        optimizer: from `build_optimizer`.
        settings: epochs, accumulation, schedule, early stopping.
        checkpoints: where to save and from where to resume.
        device: CPU or CUDA.
        dtype: of autocast, None for float32.

    Returns:
        The final state; `history` has a row an epoch.

    Raises:
        InputError: the loss is not finite any more.
    """
    scaler = GradScaler(device.type, enabled=dtype is torch.float16)
    state = checkpoints.load(model, optimizer, device)
    if state.scaler:
        scaler.load_state_dict(state.scaler)
    steps_per_epoch = math.ceil(objective.n_batches / settings.accumulate)
    n_clips = objective.n_clips
    progress = Progress("training", settings.epochs * n_clips, "clips", done=state.epoch * n_clips)
    while state.epoch < settings.epochs and not _exhausted(state, settings.early_stopping):
        started = time.monotonic()
        epoch = state.epoch + 1
        model.train()
        total = torch.zeros((), dtype=torch.float64, device=device)
        for i, batch in enumerate(objective.batches(epoch)):
            if i % settings.accumulate == 0:
                window = min(settings.accumulate, objective.n_batches - i)  # the last may be shorter
                step = (epoch - 1) * steps_per_epoch + i // settings.accumulate
                rate = settings.optimizer.lr * rate_factor(settings.schedule, step, steps_per_epoch, settings.epochs)
                set_rate(optimizer, rate)
                optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                loss = objective.loss(batch)
            scaler.scale(loss / window).backward()
            if (i + 1) % settings.accumulate == 0 or i + 1 == objective.n_batches:
                scaler.step(optimizer)
                scaler.update()
            total += loss.detach() * len(batch.x)
            progress.add(len(batch.x), note=f"epoch {epoch}/{settings.epochs}")
        train_loss = total.item() / n_clips
        if not math.isfinite(train_loss):
            raise InputError(
                f"the training loss of epoch {epoch} is {train_loss}: the weights have diverged. Lower "
                f"train.optimizer.lr (now {settings.optimizer.lr:g}) or set train.precision to fp32."
            )
        trained = time.monotonic() - started
        row = {
            "epoch": epoch,
            "lr": rate,
            "head_lr": rate * settings.optimizer.head_lr,
            "train_loss": train_loss,
            **objective.validate(),
            "clips_per_s": n_clips / trained,
            "seconds": time.monotonic() - started,
        }
        state.history.append(row)
        state.epoch = epoch
        state.best_epoch = _best_epoch(state.history, objective)
        state.seconds += row["seconds"]
        state.scaler = scaler.state_dict()
        checkpoints.save(state, model, optimizer)
        log.info("epoch %d: %s", epoch, ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float)))
    checkpoints.load_best(model, state)
    return state


def _best_epoch(history: list[dict[str, Any]], objective: Objective) -> int:
    """The first epoch with the best value of the selecting column."""
    sign = 1 if objective.larger_is_better else -1
    return max(history, key=lambda row: sign * row[objective.select])["epoch"]


def _exhausted(state: State, patience: int | None) -> bool:
    return patience is not None and state.epoch - state.best_epoch >= patience
