"""What pre-training, probing and loading ask of an encoder, whatever its kind."""

import torch
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


def keep_some(patches: Tensor, dropped: float) -> Tensor:
    """A random part of each clip's patches, so that blocks have fewer tokens to compute.

    Unstructured patchout (Koutini et al.: Efficient Training of Audio Transformers with Patchout, Interspeech 2022);
    there one draw serves the batch, here each clip has its own. As by `nn.Dropout`, they are from torch's global
    generator.

    Args:
        patches: with their positions, [B, n, D].
        dropped: share of each clip's patches that is left out, below 1; 0 for none.

    Returns:
        [B, n - floor(dropped * n), D], in random order.
    """
    if not dropped:
        return patches
    n_clips, n, dim = patches.shape
    kept = torch.rand(n_clips, n, device=patches.device).argsort(dim=1)[:, : n - int(dropped * n)]
    return patches.gather(1, kept[:, :, None].expand(-1, -1, dim))
