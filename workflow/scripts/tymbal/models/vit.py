"""Plain pre-norm transformer blocks, as in the vision transformer (Dosovitskiy et al., ICLR 2021).

Parameter names are timm's, so that published weights load by name.
"""

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
