"""What training and evaluation ask of a network, whatever its kind."""

from collections.abc import Callable
from typing import Any, NotRequired, Self, TypedDict

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class ParameterCounts(TypedDict):
    """How many parameters a network has."""

    total: int
    trained: int  # the others are frozen
    original: NotRequired[int]  # what the method's own code counts, where that is another number
    note: str  # a sentence for the log


class Classifier(nn.Module):
    """Normalised log-mel spectrograms [B, T, F] in, logits [B, C] out.

    What turns an encoder's output into logits is the attribute `head`; all else is the encoder.
    """

    input_shape: tuple[int, int]  # frames T and mel bins F
    encoder_frozen = False

    def freeze_encoder(self) -> None:
        """From now on train the head alone; the encoder keeps its weights and computes as in evaluation."""
        self.encoder_frozen = True
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(is_head(name))

    def train(self, mode: bool = True) -> Self:
        """As torch's, but a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.encoder_frozen:
            for name, child in self.named_children():
                child.train(mode and name == "head")
        return self

    def layers_above(self, name: str) -> int:
        """How many layers there are above a parameter's, for rates that decay with depth; 0 where none are told apart.

        Args:
            name: the parameter's name in the model, not of the head.
        """
        return 0

    def parameter_counts(self) -> ParameterCounts:
        """Count the parameters."""
        total = sum(parameter.numel() for parameter in self.parameters())
        trained = sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)
        used = "all trained" if trained == total else f"{trained:,} of them trained"
        return ParameterCounts(total=total, trained=trained, note=f"{total:,} parameters, {used}")


def is_head(name: str) -> bool:
    """Whether a parameter of this name belongs to the classification head."""
    return name.startswith("head.")


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
