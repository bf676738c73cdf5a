"""In which precision to train."""

import torch


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
