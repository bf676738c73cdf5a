"""Where and in which precision to compute."""

import os
import resource

import torch

from tymbal.errors import InputError


def choose_device(gpus_requested: int) -> torch.device:
    """The GPU if there is one, else the CPU.

    Args:
        gpus_requested: how many the job asked its scheduler for.

    Raises:
        InputError: a GPU was asked for and torch sees none; better than days of training on a CPU.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if gpus_requested > 0:
        raise InputError(
            f"the job asked for {gpus_requested} GPU, but torch {torch.__version__} sees none on {os.uname().nodename} "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')!r}). In a container, is --nv given in the "
            "profile's apptainer-args? To train on the CPU on purpose, do not request gpu in the profile."
        )
    return torch.device("cpu")


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The reduced precision to compute in, or None for float32.

    `auto` is bfloat16 on a GPU that has it, float16 on an older one, float32 on a CPU, where bfloat16 without
    matrix units is two to three times slower.
    """
    if precision == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory so far, in MB: of the GPU's allocator, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
