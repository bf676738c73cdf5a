"""The transformer of EAT and SSLAM: its encoder, and the classifier made of it.

Chen et al.: EAT: Self-Supervised Pre-Training with Efficient Audio Transformer, IJCAI 2024 (arXiv 2401.03497).
Alex et al.: SSLAM: Enhancing Self-Supervised Models with Audio Mixtures for Polyphonic Soundscapes, ICLR 2025.
Both have the same network, that of data2vec 2.0 (Baevski et al., ICML 2023) on patches of the log-mel spectrogram. With
the same weights it gives the original's features and logits.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tymbal.config.models import Sslam
from tymbal.models.classifier import Classifier
from tymbal.models.encoder import Encoder, keep_some, mean_token
from tymbal.models.vit import PostNormBlock, draw_weights

EPS = 1e-6  # of all layer norms, the head's too


class Size(NamedTuple):
    """Dimensions of one size; the last two are of the decoder, which only pre-training has."""

    dim: int
    depth: int
    n_heads: int
    decoder_depth: int
    decoder_kernel: int


SIZES = {  # base and large are EAT's; SSLAM is base
    "tiny": Size(192, 12, 3, 6, 3),
    "small": Size(384, 12, 6, 6, 3),
    "base": Size(768, 12, 12, 6, 3),
    "large": Size(1024, 24, 16, 3, 5),
}


def sincos_positions(dim: int, grid: tuple[int, int]) -> Tensor:
    """Fixed positions of a grid of patches: sine and cosine of the row, then of the column, each at D / 4 frequencies.

    Args:
        dim: embedding size D.
        grid: patches along mel bins and along time, (f_dim, t_dim).

    Returns:
        [t_dim * f_dim, D], time-major. A longer grid has more rows, and the same first ones.
    """
    assert dim % 4 == 0
    f_dim, t_dim = grid
    omega = 10000 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    row = torch.arange(f_dim).repeat(t_dim)[:, None] * omega
    column = torch.arange(t_dim).repeat_interleave(f_dim)[:, None] * omega
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1).float()


class PatchEmbed(nn.Module):
    """Patches of the spectrogram as tokens, all mel bins of the first frames first (time-major)."""

    def __init__(self, dim: int, patch: tuple[int, int]) -> None:
        super().__init__()
        kernel = patch[::-1]  # frames and mel bins
        self.proj = nn.Conv2d(1, dim, kernel_size=kernel, stride=kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Spectrograms [B, T, F] in, tokens [B, t_dim * f_dim, D] out."""
        return self.proj(x.unsqueeze(1)).flatten(2).transpose(1, 2)


class SslamBackbone(Encoder):
    """Spectrogram in, normalised tokens out: what pre-training and classification share. There is no final norm.

    It is to be built on the meta device, as torch's constructors would draw from the global generator; `materialise`
    or `allocate` follows.

    Args:
        size: name in `SIZES`.
        patch: mel bins and frames. There is no padding: an incomplete patch is left out.
        input_shape: frames T and mel bins F.
        drop_path: rate of stochastic depth in the last block; it rises linearly from 0 in the first.
    """

    positions: Tensor
    class_tokens = 1

    def __init__(self, size: str, patch: tuple[int, int], input_shape: tuple[int, int], drop_path: float = 0.0) -> None:
        super().__init__()
        dim, depth, n_heads, *_ = SIZES[size]
        assert patch[0] <= input_shape[1] and patch[1] <= input_shape[0]
        self.input_shape = input_shape
        self.patch = patch
        self.grid = input_shape[1] // patch[0], input_shape[0] // patch[1]
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))  # without a position
        self.patch_embed = PatchEmbed(dim, patch)
        self.register_buffer("positions", torch.empty(self.grid[0] * self.grid[1], dim), persistent=False)
        self.norm = nn.LayerNorm(dim, eps=EPS)
        rates = [drop_path * i / max(1, depth - 1) for i in range(depth)]
        self.blocks = nn.ModuleList(PostNormBlock(dim, n_heads, EPS, rate) for rate in rates)

    def allocate(self) -> None:
        """Memory for weights that are yet to be set, and the positions."""
        self.to_empty(device="cpu")
        self.positions.copy_(sincos_positions(self.positions.shape[1], self.grid))

    @torch.no_grad()
    def materialise(self, generator: torch.Generator, default_init: Sequence[nn.Module] = ()) -> None:
        """Weights as the original: as `draw_weights`, but a N(0, 1) class token and a Xavier-uniform patch kernel.

        Args:
            generator: source of the weights; global random state is neither used nor changed.
            default_init: layers drawn by torch's rule instead, as is the bias of the patch embedding.
        """
        self.allocate()
        projection = self.patch_embed.proj
        draw_weights(self, generator, [projection, *default_init])
        nn.init.normal_(self.cls_token, generator=generator)
        nn.init.xavier_uniform_(projection.weight.view(len(projection.weight), -1), generator=generator)

    def embed_patches(self, x: Tensor) -> Tensor:
        """Patches with their positions.

        Args:
            x: normalised log-mel, [B, T, F]; T is that of `input_shape` or less. There is one patch at least.

        Returns:
            [B, n, D], time-major.
        """
        patches = self.patch_embed(F.pad(x, (0, 0, 0, max(0, self.patch[1] - x.shape[1]))))
        return patches + self.positions[: patches.shape[1]]

    def encode(
        self, patches: Tensor, visible: Tensor | None = None, want_mlp: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """The class token and embedded patches through all blocks.

        Args:
            patches: with their positions, [B, n, D]; any of them, in any order.
            visible: which patches take part, [B, n]; None for all.
            want_mlp: whether to return what the MLPs made, of which a teacher's targets consist.

        Returns:
            Tokens after the last block, [B, 1 + n, D], the class token first; and, if wanted, what each block's MLP
            made, before it was added to the stream, [B, 1 + n, D] each.
        """
        mlp_outputs = []
        for x, made in self._after_blocks(patches, visible):
            tokens = x
            if want_mlp:
                mlp_outputs.append(made)
        return tokens, mlp_outputs

    def _after_blocks(self, patches: Tensor, visible: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Tokens and MLP output after each block."""
        x = self.norm(torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1))
        if visible is not None:
            visible = F.pad(visible, (self.class_tokens, 0), value=True)
        for block in self.blocks:
            if self.activation_checkpointing and self.training:
                x, made = checkpoint(block, x, visible, use_reentrant=False)
            else:
                x, made = block(x, visible)
            yield x, made

    def layers(self, x: Tensor, n_frames: Tensor | None = None) -> dict[str, Tensor]:
        """Patch tokens by layer, as `Encoder.layers` has it. They are time-major."""
        patches = self.embed_patches(x)
        after = enumerate(self._after_blocks(patches, self.visible(patches, n_frames)), start=1)
        return {"0": patches, **{str(i): tokens[:, self.class_tokens :] for i, (tokens, _) in after}}

    def sounding(self, n_frames: Tensor, t_dim: int | None = None) -> Tensor:
        """Which patches hold no padding, [B, n] bool, as `Encoder.sounding` has it. They are time-major."""
        columns = (n_frames // self.patch[1]).clamp(min=1)
        sounding = torch.arange(t_dim or self.grid[1], device=n_frames.device) < columns[:, None]
        return sounding.repeat_interleave(self.grid[0], dim=1)


class SSLAM(SslamBackbone, Classifier):
    """Normalised log-mel spectrograms in, logits out.

    Args:
        net: size, patch, length, pooling and stochastic depth.
        n_mels: mel bins F of the input.
        n_classes: number of logits C.
        generator: source of the initial weights.
    """

    def __init__(self, net: Sslam, n_mels: int, n_classes: int, generator: torch.Generator) -> None:
        dim = SIZES[net.size].dim
        with torch.device("meta"):
            super().__init__(net.size, net.patch, (net.n_frames, n_mels), net.drop_path)
            self.head = nn.Sequential(nn.LayerNorm(dim, eps=EPS), nn.Linear(dim, n_classes))
        self.pooling = net.pooling
        self.materialise(generator)

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
        tokens, _ = self.encode(patches, visible)
        if self.pooling == "cls":
            return self.head(tokens[:, 0])
        pool = linear_softmax if self.pooling == "linear-softmax" else mean_token
        return self.head(pool(tokens[:, self.class_tokens :], visible))

    def layers_above(self, name: str) -> int:
        """How many layers there are above a parameter's. Only blocks are told apart; all else counts as uppermost.

        So the original has it: its class token and patch embedding learn at the full rate.

        Args:
            name: the parameter's name in the model.
        """
        part, _, rest = name.partition(".")
        if part == "blocks":
            return len(self.blocks) - int(rest.partition(".")[0])
        assert part in ("cls_token", "patch_embed", "norm", "head"), f"no layer is known for parameter {name!r}"
        return 0


def linear_softmax(tokens: Tensor, visible: Tensor | None = None) -> Tensor:
    """Mean token, in which each component is a logit whose probability is weighted with itself (linear softmax).

    Wang, Li, Metze: A Comparison of Five Multiple Instance Learning Pooling Functions for Sound Event Detection with
    Weak Labeling, ICASSP 2019. There a component is a class; the original's are features, and the head comes after.

    Args:
        tokens: [B, n, D].
        visible: which of them take part, [B, n]; None for all.

    Returns:
        [B, D]. As in the original, the probability stays 1e-6 below 1 so that its logit is finite: about 13.8 at most.
    """
    log_p = F.logsigmoid(tokens)
    if visible is not None:
        log_p = log_p.masked_fill(~visible[:, :, None], -torch.inf)
    log_mean = (2 * log_p).logsumexp(dim=1) - log_p.logsumexp(dim=1) - 1e-6
    return log_mean - (-log_mean.expm1()).log()
