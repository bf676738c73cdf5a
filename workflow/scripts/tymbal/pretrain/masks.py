"""Which patches are hidden: drawn for a whole batch at once, on the device, in exact number.

Drawing blocks one after the other until enough patches are covered means: give every possible block a random rank; a
patch is covered as soon as the first of the blocks that hold it, so by the smallest of their ranks; the patches covered
first are masked. Smallest ranks over all blocks of a side are one pooling, without any loop over clips or blocks.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tymbal.config.pretrain import FEWEST_PATCHES, Masking

SHARE = 400 / 512  # of the patches, as in SSAST
SIDES = (3, 4, 5)  # of blocks, in patches, as in SSAST
RANKS = 2**24  # different values of a float32 in [0, 1)


@dataclass(frozen=True)
class Mask:
    """Masked patches of each clip. Index of a patch: f * t_dim + t."""

    index: Tensor  # [B, K]
    scored: Tensor | None  # [B, K], false where a short clip has fewer masked patches than K; None if all are masked
    n: Tensor | int | None = None  # how many are scored in the batch, if these are only some of its clips

    def of(self, rows: slice) -> "Mask":
        """The masks of some clips of the batch."""
        if self.scored is None:
            return Mask(self.index[rows], None, self.index.numel())
        return Mask(self.index[rows], self.scored[rows], self.scored.sum())


def sides(settings: Masking, grid: tuple[int, int]) -> tuple[int, ...]:
    """Sides of the blocks: those asked for, or SSAST's, whose patches of all mel bins are masked one by one."""
    if settings.cluster is not None:
        return settings.cluster
    return (1,) if grid[0] == 1 else SIDES


def n_masked(settings: Masking, grid: tuple[int, int]) -> int:
    """How many patches of an input of full length are masked."""
    n = grid[0] * grid[1]
    return settings.n_masked or min(n - 1, max(1, round(SHARE * n)))


def fewest_frames(patch: tuple[int, int], n_mels: int) -> int:
    """Length of the shortest clip of which something can be masked."""
    return -(-FEWEST_PATCHES // (n_mels // patch[0])) * patch[1]


def draw(
    settings: Masking,
    full: tuple[int, int],
    t_dim: int,
    valid: Tensor | None,
    batch: int,
    generator: torch.Generator,
) -> Mask:
    """Masks of one batch.

    Args:
        settings: how many, in which blocks, drawn how.
        full: patches of an input of full length along mel bins and time, from which the number is counted.
        t_dim: patches along time in this batch, at most those of a full length.
        valid: patches along time that hold no padding, of each clip, [B]; None if all are full.
        batch: number of clips B.
        generator: source of all draws, on the device of the batch.
    """
    rows = full[0]
    grid, n = (rows, t_dim), rows * t_dim
    share = n_masked(settings, full) / (rows * full[1])
    seen = 2 if settings.sampling == "original" and rows > 1 else 1  # at least
    k = max(1, min(n - seen, round(share * n)))
    which = sides(settings, full)
    side = torch.randint(len(which), (batch,), generator=generator, device=generator.device)
    if settings.sampling == "original":
        ranks = torch.rand(batch, n, generator=generator, device=generator.device)
        index = original(ranks, side, grid, k) if rows > 1 else ranks.argsort()[:, :k]
        return Mask(index, None if valid is None else index % t_dim < valid[:, None])
    largest = max(which)
    shape = (batch, rows + largest - 1, t_dim + largest - 1)
    ranks = torch.rand(shape, generator=generator, device=generator.device)
    covered = torch.stack([_first_block(ranks, c, grid) for c in which])
    covered = covered[side, torch.arange(batch, device=side.device)]  # [B, f_dim, t_dim]
    # Patches of the last block that is needed come in random order: below the smallest difference of two ranks.
    order = torch.rand(covered.shape, generator=generator, device=generator.device)
    covered = covered.double() + order / (2 * RANKS)
    if valid is None:
        return Mask(covered.flatten(1).argsort()[:, :k], None)
    padding = torch.arange(t_dim, device=valid.device) >= valid[:, None]  # [B, t_dim]
    index = covered.masked_fill(padding[:, None, :], torch.inf).flatten(1).argsort()
    n_valid = rows * valid
    count = (n_valid * share).round().long().clamp(min=1).minimum(n_valid - 1)  # [B]
    index = index[:, :k]
    return Mask(index, torch.arange(index.shape[1], device=index.device) < count[:, None])


def _first_block(ranks: Tensor, side: int, grid: tuple[int, int]) -> Tensor:
    """Smallest rank of the blocks that hold each patch, [B, f_dim, t_dim].

    Blocks may begin before the first row and column and end after the last, so that as many hold a patch in a corner
    as one in the middle.

    Args:
        ranks: of blocks by their first row and column, [B, f_dim + s, t_dim + s] with s at least side - 1.
        side: of the blocks.
        grid: patches along mel bins and time, (f_dim, t_dim).
    """
    ranks = ranks[:, : grid[0] + side - 1, : grid[1] + side - 1]
    return -F.max_pool2d(-ranks[:, None], side, stride=1)[:, 0]


def original(ranks: Tensor, side: Tensor, grid: tuple[int, int], k: int) -> Tensor:
    """Masks as SSAST's released code draws them, with its peculiarities, for a grid of several rows.

    Blocks extend from their first patch to higher mel bins and later times; columns that leave a row go on at the
    beginning of the next; patch 0 is never masked; of the k + 1 or more patches that are covered when it stops, those
    with the lowest indices are kept.

    Args:
        ranks: of each patch as the first of a block, [B, n]: which starts are drawn first.
        side: 0, 1 or 2 for blocks of 3, 4 or 5, [B].
        grid: patches along mel bins and time, (f_dim, t_dim).
        k: number of masked patches, at most n - 2.

    Returns:
        Indices [B, k], ascending.
    """
    batch, n = ranks.shape
    assert k <= n - 2, "the released code never ends with so many"
    covered = torch.full((len(SIDES), batch, n), torch.inf, device=ranks.device)
    for offset_f in range(max(SIDES)):
        for offset_t in range(max(SIDES)):
            shift = grid[1] * offset_f + offset_t
            if shift < n:
                smallest = SIDES.index(max(offset_f + 1, offset_t + 1, SIDES[0]))  # of the blocks that reach so far
                torch.minimum(covered[smallest:, :, shift:], ranks[:, : n - shift], out=covered[smallest:, :, shift:])
    mine = covered[side, torch.arange(batch, device=ranks.device)]  # [B, n]
    mine[:, 0] = torch.inf
    last = mine.kthvalue(k + 1, dim=1, keepdim=True).values
    held = mine <= last
    kept = held & (held.cumsum(dim=1) <= k)
    return kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :k]
