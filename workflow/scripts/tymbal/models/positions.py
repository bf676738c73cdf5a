"""Learned positions of one grid of patches, fitted to another."""

import torch.nn.functional as F
from torch import Tensor


def adapt_positions(table: Tensor, size: tuple[int, int]) -> Tensor:
    """Fit a grid of learned positions to another grid, each axis by itself.

    A larger axis is cropped to its centre, a smaller one interpolated linearly (half-pixel centres, edges clamped),
    an equal one left exactly as it is. The original agrees where the pre-training grid has 8 rows (128 mel bins,
    16 x 16 patches) or 1 (frame patches). Elsewhere we differ on purpose: tables that it does not crop in time pass
    through a fixed 8 rows there, which blurs them, and rows are cropped by the number of columns, which mostly fails.

    Args:
        table: positions [D, f, t].
        size: the grid wanted, (f_dim, t_dim).

    Returns:
        Positions [D, f_dim, t_dim].
    """
    for axis, n in enumerate(size, start=1):
        if n < table.shape[axis]:
            table = table.narrow(axis, _crop_start(table.shape[axis], n), n)
    return F.interpolate(table[None], size=size, mode="bilinear", align_corners=False)[0]


def _crop_start(old: int, new: int) -> int:
    return old // 2 - new // 2


def describe_fit(old: int, new: int, what: str) -> str:
    """What `adapt_positions` does along one axis, such as 'kept' or 'cropped 64 -> 50 (columns 7..56)'."""
    if new < old:
        start = _crop_start(old, new)
        return f"cropped {old} -> {new} ({what} {start}..{start + new - 1})"
    return "kept" if new == old else f"interpolated {old} -> {new}"
