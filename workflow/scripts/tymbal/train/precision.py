"""In which precision to train."""

import logging

import torch

log = logging.getLogger(__name__)


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The reduced precision to compute in, or None for float32.

    `auto` is bfloat16 on a GPU that has it, float16 on an older one. On a CPU it is float32 whatever the processor, so
    that figures do not depend on it; the log says where another choice would be faster.
    """
    if device.type == "cpu":
        _advise(precision)
    if precision == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _advise(precision: str) -> None:
    gains = cpu_gains_from_bfloat16()
    if precision == "auto" and gains:
        log.info("computing in float32; this processor is faster with train.precision bf16, at slightly other results")
    if precision == "bf16" and not gains:
        log.warning("train.precision is bf16, for which this processor has no units: float32 (auto) is faster")


def cpu_gains_from_bfloat16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 in units of their own; without them it is slower."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(unit, False) for unit in ("avx512_bf16", "amx_bf16"))
