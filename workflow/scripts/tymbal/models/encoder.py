"""What pre-training, probing and loading ask of an encoder, whatever its kind."""

from torch import Tensor, nn


class Encoder(nn.Module):
    """A transformer over patches of the normalised log-mel spectrogram.

    Subclasses set what is declared here. Blocks are in `blocks`.
    """

    input_shape: tuple[int, int]  # frames T and mel bins F
    grid: tuple[int, int]  # patches along mel bins and along time, (f_dim, t_dim)
    class_tokens: int  # tokens before those of the patches
    blocks: nn.ModuleList
    activation_checkpointing = False  # on: blocks are computed again in the backward pass, not kept

    def layers(self, x: Tensor) -> dict[str, Tensor]:
        """What the encoder makes of whole clips, layer by layer.

        Args:
            x: normalised log-mel, [B, T, F].

        Returns:
            Patch tokens [B, n, D] by layer: `0`, patches embedded with their positions; `i`, after block i; and, where
            there is a final norm, `norm`. The last is what a classifier gets.
        """
        raise NotImplementedError

    def sounding(self, n_frames: Tensor) -> Tensor:
        """Which patches hold no padding, [B, n] bool, in the order of `layers`.

        Args:
            n_frames: true frames of each clip, [B]. A clip shorter than a patch counts with its first.
        """
        raise NotImplementedError
