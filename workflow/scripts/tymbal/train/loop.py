"""The training loop: every step visible, for any model and any objective."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from tymbal.config.models import Training
from tymbal.energy import Meter
from tymbal.errors import InputError, OutOfTime
from tymbal.progress import Progress
from tymbal.train.data import Batch
from tymbal.train.distributed import first_process_first, rank, replicated, summed, told, unsynchronised, world
from tymbal.train.optim import set_rate
from tymbal.train.resume import Checkpoints, State

log = logging.getLogger(__name__)

LOOK_EVERY = 100  # batches between looks at the loss, each of which waits for the device


@dataclass(frozen=True)
class Objective:
    """What is to be learnt, handed to the loop.

    A training goes in rounds, counted from 1: stretches that end with validation and a checkpoint. In fine-tuning a
    round is an epoch.

    Args:
        round_name: what users call a round: `epoch` or `check`.
        batches: the training batches of a round.
        rounds: how many rounds there are.
        n_batches: how many batches a round has; the last may have fewer.
        n_batches_last: how many the last has.
        loss: means over a batch, of which each of several processes gives a part, so that the parts add up: `loss`,
            which is to be minimised, and what else the history should tell; calls the model.
        validate: columns for the history, among them the one to select by.
        select: column of the history that chooses the round; `round`, if larger is better, keeps the last.
        larger_is_better: its direction.
        before_step: called with each optimiser step, counted from 0, before its first forward pass.
    """

    round_name: str
    batches: Callable[[int], Iterator[Batch]]
    rounds: int
    n_batches: int
    n_batches_last: int
    loss: Callable[[Batch], dict[str, Tensor]]
    validate: Callable[[], dict[str, Any]]
    select: str
    larger_is_better: bool
    before_step: Callable[[int], None] | None = None


class _Loss(nn.Module):
    """A loss with the model it calls, as one module: DistributedDataParallel watches the forward pass of a module."""

    def __init__(self, model: nn.Module, loss: Callable[[Batch], dict[str, Tensor]]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.loss(batch)


def fit(
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    rate: Callable[[int, list[dict[str, Any]]], float],
    settings: Training,
    patience: int | None,
    checkpoints: Checkpoints,
    device: torch.device,
    dtype: torch.dtype | None,
    on_round: Callable[[list[dict[str, Any]]], None] | None = None,
    deadline: float | None = None,
) -> State:
    """Train, keep the best round, resume from a checkpoint if there is one.

    A stopped and resumed training equals an undisturbed one bit for bit on the CPU: states are saved between
    rounds, and every draw within a round depends on the seed and the round alone. Several processes train together
    (`distributed.py`): what the first finds after a round holds for all, and it alone saves.

    Args:
        model: on `device`; ends with the weights of the best round, in the first process.
        objective: data, loss and validation.
        optimizer: from `build_optimizer`.
        rate: the learning rate at an optimiser step, counted from 0, given the history so far.
        settings: accumulation and clipping.
        patience: stop after so many rounds without a better one; None never does.
        checkpoints: where to save and from where to resume.
        device: CPU or CUDA.
        dtype: of autocast, None for float32.
        on_round: given the history after each round.
        deadline: on `time.monotonic()`; a further round is begun only if one as long as the longest so far fits.
            The first of a call always is, so that repeated calls come to an end. None: no limit.

    Returns:
        The final state; `history` has a row a round.

    Raises:
        InputError: the loss is not finite any more.
        OutOfTime: rounds are left for which there is no time.
    """
    scaler = GradScaler(device.type, enabled=dtype is torch.float16)
    with first_process_first():  # it puts a checkpoint of another run aside
        state = checkpoints.load(model, optimizer, device)
    assert told(state.round) == state.round, "the processes do not see the same checkpoint"
    if state.scaler:
        scaler.load_state_dict(state.scaler)
    losses_of = replicated(_Loss(model, objective.loss), settings.batch_size)
    name = objective.round_name
    steps_per_round = math.ceil(objective.n_batches / settings.accumulate)
    n_all = (objective.rounds - 1) * objective.n_batches + objective.n_batches_last
    progress = Progress("training", n_all, "batches", done=min(state.round * objective.n_batches, n_all))
    longest = 0.0  # seconds of a round with its saving, of those of this call: another may have had other hardware
    with Meter(device) as meter:
        while state.round < objective.rounds and not _exhausted(state, patience):
            started = time.monotonic()
            if told(longest > 0 and deadline is not None and started + longest > deadline):
                assert deadline is not None
                raise OutOfTime(name, state.round, objective.rounds, longest, deadline - started, checkpoints.folder)
            this = state.round + 1
            n_batches = objective.n_batches_last if this == objective.rounds else objective.n_batches
            model.train()
            totals: dict[str, Tensor] = {}
            n_clips = 0
            for i, batch in enumerate(objective.batches(this)):
                if i % settings.accumulate == 0:
                    window = min(settings.accumulate, n_batches - i)  # the last may be shorter
                    step = (this - 1) * steps_per_round + i // settings.accumulate
                    lr = rate(step, state.history)
                    set_rate(optimizer, lr)
                    optimizer.zero_grad(set_to_none=True)
                    if objective.before_step is not None:
                        objective.before_step(step)
                complete = (i + 1) % settings.accumulate == 0 or i + 1 == n_batches
                with nullcontext() if complete else unsynchronised(losses_of):
                    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                        losses = losses_of(batch)
                    # Gradients become means over processes, while the parts of the loss are to be added.
                    scaler.scale(losses["loss"] * world() / window).backward()
                if complete:
                    if settings.clip_norm is not None:
                        scaler.unscale_(optimizer)
                        nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
                    scaler.step(optimizer)
                    scaler.update()
                for part, value in losses.items():
                    totals[part] = totals.get(part, 0) + value.detach().double() * batch.share.n
                n_clips += batch.share.n
                progress.add(1, note=f"{name} {this}/{objective.rounds}")
                if i % LOOK_EVERY == LOOK_EVERY - 1:
                    _check_finite(losses["loss"], f"{name} {this}", lr)
            means = {f"train_{part}": summed(total).item() / n_clips for part, total in totals.items()}
            _check_finite(means["train_loss"], f"{name} {this}", lr)
            trained = time.monotonic() - started
            row = told(
                {
                    "round": this,
                    "step": step + 1,
                    "lr": lr,
                    **means,
                    **objective.validate(),
                    "clips_per_s": n_clips / trained,
                    "seconds": time.monotonic() - started,
                }
            )
            if not math.isfinite(row[objective.select]):
                raise InputError(
                    f"{objective.select} of {name} {this} is {row[objective.select]}, so that no weights can be "
                    f"chosen: they have diverged. {_remedy(lr)}"
                )
            state.history.append(row)
            state.round = this
            state.best_round = _best_round(state.history, objective)
            state.seconds += row["seconds"]
            used = summed(torch.tensor(meter.used(), dtype=torch.float64)).tolist()
            state.kwh = [before + now for before, now in zip(state.kwh, used, strict=True)]
            state.scaler = scaler.state_dict()
            if rank() == 0:
                checkpoints.save(state, model, optimizer)
            log.info("%s %d: %s", name, this, ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float)))
            if on_round is not None:
                on_round(state.history)
            longest = max(longest, time.monotonic() - started)
    if rank() == 0:
        checkpoints.load_best(model, state)
    return state


def _check_finite(loss: Tensor | float, where: str, lr: float) -> None:
    if not math.isfinite(loss):
        raise InputError(f"the training loss of {where} is {float(loss)}: the weights have diverged. {_remedy(lr)}")


def _remedy(lr: float) -> str:
    return f"Lower train.optimizer.lr (now {lr:g}), set train.clip_norm to 1 or train.precision to fp32."


def _best_round(history: list[dict[str, Any]], objective: Objective) -> int:
    """The first round with the best value of the selecting column."""
    sign = 1 if objective.larger_is_better else -1
    return max(history, key=lambda row: sign * row[objective.select])["round"]


def _exhausted(state: State, patience: int | None) -> bool:
    return patience is not None and state.round - state.best_round >= patience
