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

    def layers(self, x: Tensor, n_frames: Tensor | None = None) -> dict[str, Tensor]:
        """What the encoder makes of whole clips, layer by layer.

        Args:
            x: normalised log-mel, [B, T, F].
            n_frames: true frames of each clip, [B], if what follows them is to be ignored.

        Returns:
            Patch tokens [B, n, D] by layer: `0`, patches embedded with their positions; `i`, after block i; and, where
            there is a final norm, `norm`. The last is what a classifier gets.
        """
        raise NotImplementedError

    def sounding(self, n_frames: Tensor, t_dim: int | None = None) -> Tensor:
        """Which patches hold no padding, [B, n] bool, in the order of `layers`.

        Args:
            n_frames: true frames of each clip, [B]. A clip shorter than a patch counts with its first.
            t_dim: patches along time of an input that is shorter; None: as of `grid`.
        """
        raise NotImplementedError

    def visible(self, patches: Tensor, n_frames: Tensor | None) -> Tensor | None:
        """Which of embedded patches [B, n, D] take part if padding does not, [B, n]; None for all."""
        return None if n_frames is None else self.sounding(n_frames, patches.shape[1] // self.grid[0])


def mean_token(tokens: Tensor, visible: Tensor | None) -> Tensor:
    """Mean of the tokens of each clip that take part: [B, n, D] and [B, n] in, [B, D] out; None for all."""
    if visible is None:
        return tokens.mean(dim=1)
    weight = visible / visible.sum(dim=1, keepdim=True)
    return torch.einsum("bn,bnd->bd", weight.to(tokens.dtype), tokens)


def keep_some(patches: Tensor, visible: Tensor | None, dropped: float) -> tuple[Tensor, Tensor | None]:
    """A random part of each clip's patches, so that blocks have fewer tokens to compute.

    Unstructured patchout (Koutini et al.: Efficient Training of Audio Transformers with Patchout, Interspeech 2022);
    there one draw serves the batch, here each clip has its own. As by `nn.Dropout`, they are from torch's global
    generator.

    Args:
        patches: with their positions, [B, n, D].
        visible: which of them take part, [B, n]; None for all.
        dropped: share of a clip's patches that take part that is left out, below 1; 0 for none.

    Returns:
        [B, n - floor(dropped * n), D], in random order, and which of these take part, if not all do.
    """
    if not dropped:
        return patches, visible
    n_clips, n, dim = patches.shape
    n_kept, draws = n - int(dropped * n), torch.rand(n_clips, n, device=patches.device)
    if visible is not None:
        draws = draws + ~visible  # those come last
        counts = visible.sum(dim=1, keepdim=True)
        visible = torch.arange(n_kept, device=patches.device) < counts - (dropped * counts.double()).long()
    kept = draws.argsort(dim=1)[:, :n_kept]
    return patches.gather(1, kept[:, :, None].expand(-1, -1, dim)), visible
