"""How much a network computes. Apart from the networks, as torch's own counter brings 50 MB with it."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


@torch.no_grad()
def forward_flops(forward: Callable[..., object], *inputs: Any) -> int:
    """Floating point operations of a forward pass; a step of training costs about three times as many.

    Counted are matrix products and convolutions, a multiply-add as two operations.

    Args:
        forward: a model on the CPU, or a function that calls one.
        inputs: of it.
    """
    return sum(count_flops(forward, *inputs))


def count_flops(forward: Callable[..., object], *inputs: Any) -> tuple[int, int]:
    """As `forward_flops`: operations with gradients, and those without, as of a teacher, which cost no more in a step.

    Args:
        forward: as there.
        inputs: of it.
    """
    # Of the ways to compute attention, torch counts only the plain one.
    with sdpa_kernel(SDPBackend.MATH), _Counter() as counter:
        forward(*inputs)
    return counter.flops[True], counter.flops[False]


class _Counter(TorchDispatchMode):
    """Counts operations as torch's FlopCounterMode, but tells apart whether gradients are on."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = {True: 0, False: 0}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        if count := flop_registry.get(func._overloadpacket):
            self.flops[torch.is_grad_enabled()] += count(*args, **kwargs, out_val=made)
        return made
