"""What training will need, before it is tried: memory by what is kept, time by operations.

The estimates hold for a plain step of Adam in one process. What they assume is a constant here, so that it is told.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

CARDS_GB = (8, 12, 16, 24, 32, 40, 48, 80)  # memory of usual GPUs
COMMON_GB = 24  # the largest that many labs can get
USABLE = 0.9  # of a card's memory: the rest is the driver's, other users', or lost between blocks
CONTEXT = 1.0e9  # bytes beside our tensors: CUDA's context, workspaces, gaps in the allocator's blocks
WEIGHT = 4  # bytes: float32, also in mixed precision
TRAINED = 12  # bytes more of each parameter that is trained: its gradient and Adam's two moments
# The backward pass needs the gradients of one block's activations while almost all activations are still kept.
BACKWARD = 1.1
CPU_SHARED = 0.75  # of several threads, what each does of what it would do alone
CPU_FASTER = 4  # times that a core elsewhere may be faster than one here
TRAINING = 3  # a step's operations over those of its forward pass (forward once, backward twice)
FROZEN = 1  # the same under a frozen encoder, through which nothing goes backward


@dataclass(frozen=True)
class Card:
    """What a GPU reaches in training.

    Attributes:
        flops: operations a second, in `mixed` and in `fp32` precision.
        step_s: time of every step, however small the batch: launching kernels, reading clips.
    """

    flops: dict[str, float]
    step_s: float


SLOW = Card({"mixed": 8e12, "fp32": 4e12}, 0.05)  # older or consumer cards
FAST = Card({"mixed": 150e12, "fp32": 40e12}, 0.01)  # the newest of data centres


@dataclass(frozen=True)
class Kept:
    """Bytes that a forward pass keeps for the backward pass.

    Attributes:
        fixed: whatever the batch size, such as copies of the weights in half precision.
        per_clip: for each clip of the batch.
    """

    fixed: int
    per_clip: int


def parameter_bytes(n_parameters: int, n_trained: int) -> int:
    """Memory of all parameters, with gradients and Adam's moments of those that are trained."""
    return WEIGHT * n_parameters + TRAINED * n_trained


def training_bytes(parameters: int, kept: Kept, batch_size: int) -> float:
    """Peak memory of a training step on a GPU, bytes, of which `parameter_bytes` are given."""
    return CONTEXT + parameters + BACKWARD * (kept.fixed + kept.per_clip * batch_size)


def holds(card_gb: int, n_bytes: float) -> bool:
    """Whether a GPU of so many GB has room for so much."""
    return n_bytes <= USABLE * card_gb * 1e9


def accumulation(parameters: int, kept: Kept, batch_size: int) -> int | None:
    """Into how many equal parts to cut a batch so that a card of `COMMON_GB` holds one; None if no cut is enough."""
    for parts in range(1, batch_size + 1):
        size, rest = divmod(batch_size, parts)
        if not rest and holds(COMMON_GB, training_bytes(parameters, kept, size)):
            return parts
    return None


@dataclass(frozen=True)
class Workload:
    """One training.

    Attributes:
        n_train: clips that an epoch takes.
        n_val: clips that are scored after every round.
        batch_size: clips in a batch.
        epochs: as planned, without early stopping.
        rounds: stretches that end with validation and a checkpoint, such as epochs; the last may be shorter.
        passes: a step's operations over those of a forward pass over whole clips.
    """

    n_train: int
    n_val: int
    batch_size: int
    epochs: int
    rounds: float
    passes: float = TRAINING


def cpu_minutes(work: Workload, seconds_per_clip: float, threads: int) -> float:
    """Time of a training on a processor.

    Args:
        work: how much is to be done.
        seconds_per_clip: of a training step on one core.
        threads: how many cores work on it.
    """
    cores = 1 if threads == 1 else CPU_SHARED * threads
    clips = work.epochs * work.n_train + work.rounds * work.n_val / work.passes
    return seconds_per_clip * clips / cores / 60


def gpu_minutes(work: Workload, flops_per_clip: int, precision: str, card: Card) -> float:
    """Time of a training on a GPU.

    Args:
        work: how much is to be done.
        flops_per_clip: of one clip's forward pass.
        precision: `mixed` or `fp32`.
        card: that it runs on.
    """

    def seconds(n_clips: int, passes: float) -> float:
        n_batches = math.ceil(n_clips / work.batch_size)
        return passes * n_clips * flops_per_clip / card.flops[precision] + n_batches * card.step_s

    return (work.epochs * seconds(work.n_train, work.passes) + work.rounds * seconds(work.n_val, 1)) / 60


def attempts_needed(minutes: float, limits: Sequence[float]) -> int | None:
    """How many attempts a training takes that goes on where the last was stopped; None if all are not enough.

    Args:
        minutes: of the whole training.
        limits: time limit of each attempt that is made, minutes.
    """
    done = 0.0
    for i, limit in enumerate(limits, 1):
        done += limit
        if minutes <= done:
            return i
    return None
