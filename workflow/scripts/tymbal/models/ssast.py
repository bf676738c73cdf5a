"""The audio spectrogram transformer of SSAST, for classification.

Gong, Lai, Chung, Glass: SSAST: Self-Supervised Audio Spectrogram Transformer, AAAI 2022 (arXiv 2110.09784).
A DeiT over patches of the log-mel spectrogram. With the same weights it gives the original's logits.
"""

from typing import NamedTuple, TypedDict

import torch
from torch import Tensor, nn

from tymbal.config import Ssast
from tymbal.models.vit import Block

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


def grid(net: Ssast, n_mels: int) -> tuple[int, int]:
    """Patches along mel bins and along time, (f_dim, t_dim). There is no padding: an incomplete patch is left out."""
    assert net.patch[0] <= n_mels and net.patch[1] <= net.n_frames
    f_dim = (n_mels - net.patch[0]) // net.stride[0] + 1
    t_dim = (net.n_frames - net.patch[1]) // net.stride[1] + 1
    return f_dim, t_dim


class PatchEmbed(nn.Module):
    """Patches of the spectrogram as tokens, all time steps of the lowest mel bins first (frequency-major)."""

    def __init__(self, dim: int, patch: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=patch, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Spectrograms [B, T, F] in, tokens [B, f_dim * t_dim, D] out."""
        x = self.proj(x.transpose(1, 2).unsqueeze(1))  # [B, 1, F, T] -> [B, D, f_dim, t_dim]
        return x.flatten(2).transpose(1, 2)


class SSAST(nn.Module):
    """Normalised log-mel spectrograms in, logits out.

    Args:
        net: size, patch, stride, length and pooling.
        n_mels: mel bins F of the input.
        n_classes: number of logits C.
        generator: source of the initial weights; global random state is neither used nor changed.
    """

    def __init__(self, net: Ssast, n_mels: int, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        size = SIZES[net.size]
        f_dim, t_dim = grid(net, n_mels)
        self.input_shape = (net.n_frames, n_mels)
        self.pooling = net.pooling
        self.class_tokens = size.class_tokens
        with torch.device("meta"):  # shapes only: torch's constructors would draw from the global generator
            self.patch_embed = PatchEmbed(size.dim, net.patch, net.stride)
            self.cls_token = nn.Parameter(torch.empty(1, 1, size.dim))
            self.dist_token = nn.Parameter(torch.empty(1, 1, size.dim)) if size.class_tokens == 2 else None
            self.pos_embed = nn.Parameter(torch.empty(1, size.class_tokens + f_dim * t_dim, size.dim))
            self.blocks = nn.ModuleList(Block(size.dim, size.n_heads, BACKBONE_EPS) for _ in range(size.depth))
            self.norm = nn.LayerNorm(size.dim, eps=BACKBONE_EPS)
            self.head = nn.Sequential(nn.LayerNorm(size.dim), nn.Linear(size.dim, n_classes))
        self.to_empty(device="cpu")
        self._initialise(generator)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Args:
            x: normalised log-mel spectrograms [B, T, F] with T = n_frames and F = n_mels.

        Returns:
            Logits [B, C]; their sigmoid or softmax is the score, according to the loss trained with.
        """
        assert x.shape[1:] == self.input_shape, f"input {tuple(x.shape)}, expected [B, T, F] with {self.input_shape}"
        x = self.patch_embed(x)  # [B, f_dim * t_dim, D]
        tokens = [token.expand(len(x), -1, -1) for token in (self.cls_token, self.dist_token) if token is not None]
        x = torch.cat([*tokens, x], dim=1) + self.pos_embed  # [B, N, D], class tokens first
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        x = x[:, self.class_tokens :] if self.pooling == "mean" else x[:, : self.class_tokens]
        return self.head(x.mean(dim=1))

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        """As the original: N(0, 0.02) matrices, tokens and positions; torch's default for patch kernel and head."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02, generator=generator)
            else:
                nn.init.constant_(parameter, float(name.endswith("weight")))  # norms start as identity, biases at 0
        linear = self.head[1]
        assert isinstance(linear, nn.Linear)
        for layer in (self.patch_embed.proj, linear):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)


def is_head(name: str) -> bool:
    """Whether a parameter of this name belongs to the classification head."""
    return name.startswith("head.")


def layer_of(name: str, depth: int) -> int:
    """The layer a parameter belongs to, for learning rates that decay with depth.

    Args:
        name: the parameter's name in the model.
        depth: number of blocks.

    Returns:
        0 for patch embedding, class tokens and positions, i + 1 for block i, depth + 1 for final norm and head.
    """
    part, _, rest = name.partition(".")
    if part in ("patch_embed", "cls_token", "dist_token", "pos_embed"):
        return 0
    if part == "blocks":
        return int(rest.partition(".")[0]) + 1
    assert part in ("norm", "head"), f"no layer is known for parameter {name!r}"
    return depth + 1


class ParameterCounts(TypedDict):
    """How many parameters a model has, in two ways of counting."""

    total: int
    original: int
    note: str


def parameter_counts(model: SSAST) -> ParameterCounts:
    """Count a model's parameters.

    Returns:
        `total`, all of which are used and trained; `original`, the figure that SSAST's own code prints for the same
        model, as it carries along DeiT's unused classifiers, one a class token; `note`, a sentence for the log.
    """
    total = sum(parameter.numel() for parameter in model.parameters())
    unused = model.class_tokens * (model.cls_token.shape[-1] + 1) * DEIT_CLASSES
    note = (
        f"{total:,} parameters, all used; the original code counts {total + unused:,} because it includes "
        f"{model.class_tokens} unused DeiT classifier head(s) of 1000 classes"
    )
    return ParameterCounts(total=total, original=total + unused, note=note)


def flops_per_clip(net: Ssast, n_mels: int, n_classes: int) -> int:
    """Floating point operations of one clip's forward pass; a step of training costs about three times as many.

    Counted are the matrix products (patch projection, queries/keys/values, both attention products, output
    projection, MLP, classifier), a multiply-add as two operations. Norms, softmax, GELU and sums are left out.
    """
    dim, depth, _, class_tokens = SIZES[net.size]
    f_dim, t_dim = grid(net, n_mels)
    n_patches = f_dim * t_dim
    n = n_patches + class_tokens
    block = n * dim * (3 * dim + dim + 2 * 4 * dim) + 2 * n * n * dim
    return 2 * (n_patches * dim * net.patch[0] * net.patch[1] + depth * block + dim * n_classes)
