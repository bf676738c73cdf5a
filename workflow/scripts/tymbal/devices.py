"""Where to compute."""

import logging
import os
import resource

import torch
from torch import Tensor

from tymbal import launch
from tymbal.errors import InputError

log = logging.getLogger(__name__)


def choose_device(gpus_requested: int, allow_cpu: bool = False) -> torch.device:
    """The GPU if there is one, else the CPU. Each of several processes has a GPU of its own.

    Args:
        gpus_requested: how many the job asked its scheduler for.
        allow_cpu: take the CPU also if a GPU was asked for and none is there.

    Raises:
        InputError: a GPU was asked for and torch sees none; better than days of training on a CPU. Or it sees fewer
            than there are processes on this machine.
    """
    if torch.cuda.is_available():
        return _own_gpu() if launch.is_worker() else torch.device("cuda")
    if gpus_requested > 0 and allow_cpu:
        log.warning("no GPU though the job asked for %d: computing on the CPU, as allow_cpu says", gpus_requested)
    elif gpus_requested > 0:
        raise InputError(
            f"the job asked for {gpus_requested} GPU, but torch {torch.__version__} sees none on {os.uname().nodename} "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')!r}). In a container, is --nv given in the "
            "profile's apptainer-args? To compute on the CPU on purpose, request no GPU in the profile; a test of the "
            "profile itself says `allow_cpu: true` in the configuration."
        )
    return torch.device("cpu")


def _own_gpu() -> torch.device:
    place, processes = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if torch.cuda.device_count() < processes:
        raise InputError(
            f"the job needs {processes} GPUs on {os.uname().nodename}, a process each, but torch sees "
            f"{torch.cuda.device_count()} (CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')!r}). Does the "
            "node have so many, and does the job get all of them on each node?"
        )
    return torch.device("cuda", place)


def send(values: Tensor, device: torch.device) -> Tensor:
    """Values from the CPU on a device. Only from pinned memory does a copy not wait for what the GPU is doing."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that are free, of which torch has not taken any; of a CPU 0, which has none of its own."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory so far, in MB: of the GPU's allocator, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
