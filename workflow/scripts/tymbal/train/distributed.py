"""One training in several processes, a GPU each, by torch's DistributedDataParallel.

Every process goes through the same batches with the same random numbers, computes some clips of each, and gives a part
of the batch's mean loss; the parts add up. So the training is that of one process, but for the order in which numbers
are added (and for what a network drops at random, as the CNN and SSLAM do: each process draws its own). In a single
process, where no group is open, the functions here change nothing.

The processes are started by `tymbal.launch`, which tells each one its place in environment variables, as torchrun does.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from tymbal.errors import InputError

T = TypeVar("T")

# For one process to wait for another: copying features to a disk and saving may take long. Where a process ends, the
# agent of its node ends the others there, and what starts the agents is to end those of other nodes.
PATIENCE = timedelta(hours=6)


class Share(NamedTuple):
    """Which clips of a batch are computed by this process."""

    n: int  # clips in the batch
    rows: slice = slice(None)
    counts: bool = True  # false: there are fewer clips than processes, and this one computes a clip for nothing

    @property
    def weight(self) -> float:
        """How much a mean over these clips contributes to that over all."""
        return len(range(self.n)[self.rows]) / self.n if self.counts else 0.0


def share(n: int) -> Share:
    """The share of this process in a batch of `n` clips."""
    mine = slice(rank(), None, world())
    return Share(n, mine) if rank() < n else Share(n, slice(0, 1), counts=False)


def rank() -> int:
    """Which of the processes this is; 0 writes all files and decides."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Connect the processes that were started together; nothing for a single one.

    Args:
        device: of this process.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # What is on the CPU goes through gloo on machines with GPUs too.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    yield
    told(None)  # the first process may have been writing results
    dist.destroy_process_group()


@contextmanager
def entered_once(context: AbstractContextManager[T], per_node: bool = False) -> Iterator[T]:
    """Enter a context in the first process, and leave it when all have come to the end.

    Args:
        context: what it gives is given in every process.
        per_node: enter it in the first process of each node, which gives to those on its node.
    """
    if world() == 1:
        with context as value:
            yield value
        return
    place = int(os.environ["LOCAL_RANK"]) if per_node else rank()
    with context if place == 0 else nullcontext() as value:
        yield _gathered(value)[rank() - place]
        told(None)


@contextmanager
def first_process_first() -> Iterator[None]:
    """The other processes begin the body when the first has ended it."""
    if rank() > 0:
        told(None)
    yield
    if rank() == 0:
        told(None)


def told(value: T) -> T:
    """The first process's value, for all; waits for all."""
    return _gathered(value)[0] if world() > 1 else value


def summed(part: Tensor) -> Tensor:
    """The sum over all processes of a tensor, which is overwritten by it."""
    if world() > 1:
        dist.all_reduce(part)
    return part


def replicated(module: nn.Module, batch_size: int) -> nn.Module:
    """A module whose gradients are, after `backward`, means over all processes; itself in a single one.

    Args:
        module: its forward pass ends with the loss and uses all parameters that require gradients.
        batch_size: clips in a batch, of all processes together.

    Raises:
        InputError: there are fewer clips than processes.
    """
    if world() == 1:
        return module
    assert not any(isinstance(layer, _BatchNorm) for layer in module.modules()), "statistics would be of each share"
    if batch_size < world():
        raise InputError(
            f"train.batch_size is {batch_size}, but the job has {world()} GPUs, which share each batch. Raise "
            "train.batch_size, or ask for fewer GPUs in the profile."
        )
    return DistributedDataParallel(module, broadcast_buffers=False)  # none ever changes


def unsynchronised(module: nn.Module) -> AbstractContextManager[None]:
    """Gradients of what is computed inside stay in each process, until a `backward` outside adds them up."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


def first_to_fail() -> bool:
    """Whether no other process has failed before: they all meet the same mistake, or lose the connection."""
    if not dist.is_torchelastic_launched():
        return True
    try:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=timedelta(seconds=10)
        )
        return store.add("tymbal/failed", 1) == 1
    except RuntimeError:  # the launcher is gone, after another process
        return False


def _gathered(value: Any) -> list[Any]:
    """Every process's value."""
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values
