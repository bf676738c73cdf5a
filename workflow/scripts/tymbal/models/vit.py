"""Plain transformer blocks, as in the vision transformer (Dosovitskiy et al., ICLR 2021), and how weights start.

Parameter names are timm's, so that published weights load by name.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention over all tokens; one matrix makes queries, keys and values.

    Args:
        dim: embedding size D.
        n_heads: number of heads H; each sees D / H consecutive components.
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        assert dim % n_heads == 0
        self.n_heads = n_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens [B, N, D] in, tokens [B, N, D] out; where `visible` [B, N] is false, nobody looks at a token."""
        b, n, d = x.shape
        qkv = self.qkv(x).view(b, n, 3, self.n_heads, d // self.n_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, N, D/H]
        mask = None if visible is None else visible[:, None, None, :]
        x = F.scaled_dot_product_attention(q, k, v, mask)  # [B, H, N, D/H], scale 1/sqrt(D/H)
        return self.proj(x.transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between; the hidden size is 4 D."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, N, D] in, tokens [B, N, D] out."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and MLP, each on normalised tokens and added to the stream.

    Args:
        dim: embedding size D.
        n_heads: number of attention heads.
        eps: added to the variance in both layer norms.
    """

    def __init__(self, dim: int, n_heads: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, n_heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens [B, N, D] in, tokens [B, N, D] out; where `visible` [B, N] is false, nobody looks at a token."""
        x = x + self.attn(self.norm1(x), visible)
        return x + self.mlp(self.norm2(x))


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., ECCV 2016): in training, leaves out a residual branch for some clips.

    What is kept is scaled up, so that its mean stays as in evaluation. Drawn, as by `nn.Dropout`, from torch's global
    generator.

    Args:
        rate: probability that a clip goes without the branch.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, N, D] of the branch in, the same or zeros out."""
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(len(x), 1, 1, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class PostNormBlock(nn.Module):
    """Attention and MLP, each added to the stream, which is then normalised (Vaswani et al., NeurIPS 2017).

    Args:
        dim: embedding size D.
        n_heads: number of attention heads.
        eps: added to the variance in both layer norms.
        drop_path: rate at which each of both branches is left out in training.
    """

    def __init__(self, dim: int, n_heads: int, eps: float, drop_path: float = 0.0) -> None:
        super().__init__()
        self.attn = Attention(dim, n_heads)
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens [B, N, D] in, tokens [B, N, D] and what the MLP made before it was added to them [B, N, D] out.

        Where `visible` [B, N] is false, nobody looks at a token.
        """
        x = self.norm1(x + self.drop_path(self.attn(x, visible)))
        made = self.mlp(x)
        return self.norm2(x + self.drop_path(made)), made


@torch.no_grad()
def draw_weights(module: nn.Module, generator: torch.Generator, default_init: Iterable[nn.Module]) -> None:
    """Initial weights: N(0, 0.02) matrices and tokens, zero biases, norms at identity.

    Args:
        module: whose parameters are set.
        generator: source of the weights; global random state is neither used nor changed.
        default_init: layers drawn by torch's rule instead, uniform within 1/sqrt(fan-in).
    """
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.02, generator=generator)
        else:
            nn.init.constant_(parameter, float(name.endswith("weight")))
    for layer in default_init:
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        bound = layer.weight[0].numel() ** -0.5
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
