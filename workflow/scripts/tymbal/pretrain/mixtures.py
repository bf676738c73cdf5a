"""Partial mixtures of clips, and what is to be retained of each (SSLAM, sections 3.1 and 3.3).

Two regions of the length are left as they are; everywhere else, two clips sound together. The louder of both values of
each time and frequency is taken for their sum, on which log-mel spectrograms are nearly right.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixing:
    """What is laid over the clips of a batch, and where."""

    partner: Tensor  # normalised log-mel of the other clip of each, [B, T, F]
    columns: Tensor  # columns of patches in which it sounds, [C], ascending
    heard: Tensor | None  # in which of them it is no padding, [B, C]; None for all

    def patches(self, f_dim: int) -> Tensor:
        """Indices of the mixed patches, [C * f_dim], ascending, of `f_dim` in a column."""
        return _within(self.columns, f_dim)


def region_columns(t_dim: int, unmixed: float) -> int:
    """Columns of patches of each of the two regions: at least one, as far as a column is left to be mixed."""
    return min(max(1, round(unmixed * t_dim)), (t_dim - 1) // 2)


def mixed_columns(starts: Tensor, width: int, t_dim: int) -> Tensor:
    """Columns outside both regions, [t_dim - 2 * width], ascending.

    Args:
        starts: first column of each region, [2]; they do not overlap.
        width: columns of a region.
        t_dim: columns of patches.
    """
    column = torch.arange(t_dim, device=starts.device)
    unmixed = ((column >= starts[:, None]) & (column < starts[:, None] + width)).any(dim=0)
    return unmixed.to(torch.uint8).argsort(stable=True)[: t_dim - 2 * width]


def draw_mixed_columns(t_dim: int, unmixed: float, generator: torch.Generator) -> Tensor:
    """Columns outside two regions that are drawn for a batch, as the released code draws them of 64 columns.

    The first region begins in the first half; the second follows it anywhere, beginning in the first three quarters.

    Args:
        t_dim: columns of patches.
        unmixed: width of each region as a share of the length.
        generator: source of the draws, on the device of the batch.
    """
    width = region_columns(t_dim, unmixed)
    last = min(t_dim - t_dim // 4, t_dim - width)  # column at which the second can begin
    first, second = torch.rand(2, dtype=torch.float64, generator=generator, device=generator.device)
    start = (first * max(1, min(t_dim // 2, last - width + 1))).long()
    follower = start + width + (second * (last - width - start + 1)).long()
    return mixed_columns(torch.stack([start, follower]), width, t_dim)


def mix(x: Tensor, mixing: Mixing, columns: int) -> Tensor:
    """Partial mixtures, [B, T, F] (SSLAM, equation 3): the larger of both values in the mixed columns.

    Padding of a partner changes nothing, though its value may be louder than what sounds there.

    Args:
        x: normalised log-mel, [B, T, F].
        mixing: the partners, and where they sound.
        columns: frames of a patch.
    """
    frames = _within(mixing.columns, columns)
    partner = mixing.partner[:, frames]
    if mixing.heard is not None:
        partner = partner.masked_fill(~mixing.heard.repeat_interleave(columns, dim=1)[:, :, None], -torch.inf)
    return x.index_copy(1, frames, x[:, frames].maximum(partner))


def retention(target: Tensor, partner: Tensor, patches: Tensor, heard: Tensor | None) -> Tensor:
    """What a mixture is to retain of both its clips, [B, n, D] (SSLAM, equation 4).

    Args:
        target: of the clip alone, [B, n, D].
        partner: target of the other clip in the mixed patches, [B, m, D].
        patches: their indices, [m].
        heard: in which of them the other clip sounds, [B, m]; None for all.
    """
    own = target[:, patches]
    both = (own + partner) / 2
    return target.index_copy(1, patches, both if heard is None else torch.where(heard[:, :, None], both, own))


def _within(columns: Tensor, size: int) -> Tensor:
    """Indices of what is in some columns, each with `size` of it."""
    return (columns[:, None] * size + torch.arange(size, device=columns.device)).flatten()
