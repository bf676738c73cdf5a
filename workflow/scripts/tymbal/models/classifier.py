"""What training and evaluation ask of a network, whatever its kind."""

from typing import NotRequired, Self, TypedDict

from torch import Tensor, nn


class ParameterCounts(TypedDict):
    """How many parameters a network has."""

    total: int
    trained: int  # the others are frozen
    original: NotRequired[int]  # what the method's own code counts, where that is another number
    note: str  # a sentence for the log


class Classifier(nn.Module):
    """Normalised log-mel spectrograms [B, T, F] in, logits [B, C] out.

    Where padding is ignored, `forward` is given true frames of each clip, [B], too, and T may be less than in
    `input_shape`: what follows these frames takes no part.

    What turns an encoder's output into logits is the attribute `head`; all else is the encoder.
    """

    input_shape: tuple[int, int]  # frames T and mel bins F
    head: nn.Module
    encoder_frozen = False
    patchout = 0.0  # share of the patches that a clip goes without in training, of networks that have patches

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

    def check_input(self, x: Tensor) -> None:
        """Notice an input [B, T, F] that is too long, or of other mel bins."""
        n_frames, n_mels = self.input_shape
        fits = x.dim() == 3 and x.shape[1] <= n_frames and x.shape[2] == n_mels
        assert fits, f"input {tuple(x.shape)}, expected [B, T, F] with T up to {n_frames} and {n_mels} mel bins"

    def with_embeddings(self, x: Tensor, n_frames: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits [B, C], and what goes into `head`: embeddings [B, D]; `n_frames` as of `forward`.

        A head that is given [B, D, ...], one of every place in the clip, has their mean for an embedding.
        """
        given: list[Tensor] = []
        with self.head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0])):
            logits = self(x, n_frames)
        [embeddings] = given
        return logits, embeddings if embeddings.dim() == 2 else embeddings.flatten(2).mean(dim=2)

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
