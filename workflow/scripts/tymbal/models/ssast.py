"""The audio spectrogram transformer of SSAST: its encoder, and the classifier made of it.

Gong, Lai, Chung, Glass: SSAST: Self-Supervised Audio Spectrogram Transformer, AAAI 2022 (arXiv 2110.09784).
A DeiT over patches of the log-mel spectrogram. With the same weights it gives the original's logits.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tymbal.config.models import Ssast
from tymbal.models.classifier import Classifier, ParameterCounts
from tymbal.models.encoder import Encoder, keep_some, mean_token
from tymbal.models.vit import Block, draw_weights

BACKBONE_EPS = 1e-6  # the head's norm uses torch's 1e-5, as the original does
DEIT_CLASSES = 1000  # outputs of each classifier that the original inherits from DeiT and never uses


class Size(NamedTuple):
    """Dimensions of one published size."""

    dim: int
    depth: int
    n_heads: int
    class_tokens: int  # 2: class and distillation token, as in distilled DeiT


SIZES = {
    "tiny": Size(192, 12, 3, 2),
    "small": Size(384, 12, 6, 2),
    "base": Size(768, 12, 12, 2),
    "base-nokd": Size(768, 12, 12, 1),
}


def grid(patch: tuple[int, int], stride: tuple[int, int], input_shape: tuple[int, int]) -> tuple[int, int]:
    """Patches along mel bins and along time, (f_dim, t_dim). There is no padding: an incomplete patch is left out.

    Args:
        patch: mel bins and frames.
        stride: mel bins and frames.
        input_shape: frames and mel bins.
    """
    n_frames, n_mels = input_shape
    assert patch[0] <= n_mels and patch[1] <= n_frames
    return (n_mels - patch[0]) // stride[0] + 1, (n_frames - patch[1]) // stride[1] + 1


class PatchEmbed(nn.Module):
    """Patches of the spectrogram as tokens, all time steps of the lowest mel bins first (frequency-major)."""

    def __init__(self, dim: int, patch: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=patch, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Spectrograms [B, T, F] in, tokens [B, f_dim * t_dim, D] out."""
        x = self.proj(x.transpose(1, 2).unsqueeze(1))  # [B, 1, F, T] -> [B, D, f_dim, t_dim]
        return x.flatten(2).transpose(1, 2)


class SsastBackbone(Encoder):
    """Spectrogram in, normalised tokens out: what pre-training and classification share.

    Subclasses build it and their own layers on the meta device, as torch's constructors would draw from the global
    generator, and then call `materialise`.

    Args:
        size: name in `SIZES`.
        patch: mel bins and frames.
        stride: mel bins and frames.
        input_shape: frames T and mel bins F.
    """

    def __init__(
        self, size: str, patch: tuple[int, int], stride: tuple[int, int], input_shape: tuple[int, int]
    ) -> None:
        super().__init__()
        dim, depth, n_heads, self.class_tokens = SIZES[size]
        self.input_shape = input_shape
        self.patch, self.stride = patch, stride
        self.grid = grid(patch, stride, input_shape)
        self.patch_embed = PatchEmbed(dim, patch, stride)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.dist_token = nn.Parameter(torch.empty(1, 1, dim)) if self.class_tokens == 2 else None
        self.pos_embed = nn.Parameter(torch.empty(1, self.class_tokens + self.grid[0] * self.grid[1], dim))
        self.blocks = nn.ModuleList(Block(dim, n_heads, BACKBONE_EPS) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=BACKBONE_EPS)

    def with_positions(self, patches: Tensor) -> Tensor:
        """Embedded patches [B, n, D] with their positions; those of a shorter input have the first columns' ones."""
        positions, t_dim = self.pos_embed[:, self.class_tokens :], patches.shape[1] // self.grid[0]
        if t_dim != self.grid[1]:
            positions = positions.unflatten(1, self.grid)[:, :, :t_dim].flatten(1, 2)
        return patches + positions

    def encode(self, patches: Tensor, visible: Tensor | None = None) -> Tensor:
        """Class tokens and embedded patches through all blocks.

        Args:
            patches: with their positions, [B, n, D]; any of them, in any order.
            visible: which patches take part, [B, n]; None for all.

        Returns:
            Tokens after the final norm, [B, class_tokens + n, D], class tokens first.
        """
        x, visible = self._with_class_tokens(patches, visible)
        for block in self.blocks:
            if self.activation_checkpointing and self.training:
                x = checkpoint(block, x, visible, use_reentrant=False)
            else:
                x = block(x, visible)
        return self.norm(x)

    def embed_patches(self, x: Tensor) -> Tensor:
        """Patches with their positions.

        Args:
            x: normalised log-mel, [B, T, F]; T is that of `input_shape` or less. There is one patch at least.

        Returns:
            [B, n, D], in the order f * t_dim + t.
        """
        return self.with_positions(self.patch_embed(F.pad(x, (0, 0, 0, max(0, self.patch[1] - x.shape[1])))))

    def layers(self, x: Tensor, n_frames: Tensor | None = None) -> dict[str, Tensor]:
        """As `Encoder.layers`; patches come in the order f * t_dim + t."""
        patches = self.embed_patches(x)
        x, visible = self._with_class_tokens(patches, self.visible(patches, n_frames))
        found = {"0": x}
        for i, block in enumerate(self.blocks, 1):
            found[str(i)] = x = block(x, visible)
        found["norm"] = self.norm(x)
        return {layer: tokens[:, self.class_tokens :] for layer, tokens in found.items()}

    def sounding(self, n_frames: Tensor, t_dim: int | None = None) -> Tensor:
        """As `Encoder.sounding`."""
        ends = torch.arange(t_dim or self.grid[1], device=n_frames.device) * self.stride[1] + self.patch[1]  # in frames
        return (ends <= n_frames[:, None].clamp(min=self.patch[1])).repeat(1, self.grid[0])

    def _with_class_tokens(self, patches: Tensor, visible: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Class tokens with their positions, and patches, [B, class_tokens + n, D]; and which of these take part."""
        tokens = torch.cat([token for token in (self.cls_token, self.dist_token) if token is not None], dim=1)
        tokens = tokens + self.pos_embed[:, : self.class_tokens]
        n_clips = patches.shape[0]  # not by len(), at which a graph for export would take it for a constant
        if visible is not None:
            visible = F.pad(visible, (self.class_tokens, 0), value=True)
        return torch.cat([tokens.expand(n_clips, -1, -1), patches], dim=1), visible

    def materialise(self, generator: torch.Generator, default_init: Sequence[nn.Module]) -> None:
        """Weights as the original: N(0, 0.02) matrices, tokens and positions, zero biases, norms at identity.

        Args:
            generator: source of the weights; global random state is neither used nor changed.
            default_init: layers drawn by torch's rule instead, uniform within 1/sqrt(fan-in); as is the patch kernel.
        """
        self.to_empty(device="cpu")
        draw_weights(self, generator, [self.patch_embed.proj, *default_init])


class SSAST(SsastBackbone, Classifier):
    """Normalised log-mel spectrograms in, logits out.

    Args:
        net: size, patch, stride, length and pooling.
        n_mels: mel bins F of the input.
        n_classes: number of logits C.
        generator: source of the initial weights.
    """

    def __init__(self, net: Ssast, n_mels: int, n_classes: int, generator: torch.Generator) -> None:
        dim = SIZES[net.size].dim
        with torch.device("meta"):
            super().__init__(net.size, net.patch, net.stride, (net.n_frames, n_mels))
            self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, n_classes))
        self.pooling = net.pooling
        self.materialise(generator, [self.head[1]])

    def forward(self, x: Tensor, n_frames: Tensor | None = None) -> Tensor:
        """Logits of a batch.

        Args:
            x: normalised log-mel spectrograms [B, T, F]; T is that of `input_shape` or less.
            n_frames: as of `Classifier`.

        Returns:
            Logits [B, C]; their sigmoid or softmax is the score, according to the loss trained with.
        """
        self.check_input(x)
        patches = self.embed_patches(x)
        visible = self.visible(patches, n_frames)
        patches, visible = keep_some(patches, visible, self.patchout if self.training else 0)
        classes, tokens = self.encode(patches, visible).split([self.class_tokens, patches.shape[1]], dim=1)
        return self.head(mean_token(tokens, visible) if self.pooling == "mean" else classes.mean(dim=1))

    def layers_above(self, name: str) -> int:
        """How many layers there are above a parameter's: final norm and head are the uppermost, then the blocks.

        Args:
            name: the parameter's name in the model. Patch embedding, class tokens and positions are the lowest layer.
        """
        part, _, rest = name.partition(".")
        if part == "blocks":
            return len(self.blocks) - int(rest.partition(".")[0])
        if part in ("patch_embed", "cls_token", "dist_token", "pos_embed"):
            return len(self.blocks) + 1
        assert part in ("norm", "head"), f"no layer is known for parameter {name!r}"
        return 0

    def parameter_counts(self) -> ParameterCounts:
        """Count the parameters; the original code counts DeiT's unused classifiers too, one a class token."""
        counts = super().parameter_counts()
        unused = self.class_tokens * (self.cls_token.shape[-1] + 1) * DEIT_CLASSES
        counts["original"] = counts["total"] + unused
        counts["note"] += (
            f"; the original code counts {counts['original']:,} because it includes {self.class_tokens} unused DeiT "
            "classifier head(s) of 1000 classes"
        )
        return counts
