"""What training and evaluation ask of a network, whatever its kind."""

from typing import Any, NotRequired, Self, TypedDict

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


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
def forward_flops(model: nn.Module, *inputs: Any) -> int:
    """Floating point operations of a forward pass; a step of training costs about three times as many.

    Counted are matrix products and convolutions, a multiply-add as two operations.

    Args:
        model: on the CPU.
        inputs: of its `forward`.
    """
    # Of the ways to compute attention, torch counts only the plain one.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops()
