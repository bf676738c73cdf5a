"""Which patches are seen: a few square blocks, while all the others are hidden (EAT, section 3.2; data2vec 2.0).

Several masks for each clip of a batch are drawn at once, on the device, with exact numbers. A patch lies in a block if
there is a centre near it: one pooling for all masks. What blocks cover too much is taken away at random, what they
cover too little is added at random.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from tymbal.config.pretrain import BlockMasking


@dataclass(frozen=True)
class BlockMask:
    """Visible and hidden patches of K masks of each clip. Index of a patch: t * f_dim + f (time-major)."""

    visible: Tensor  # [B, K, V], ascending
    hidden: Tensor  # [B, K, H]; together they are all patches
    seen: Tensor | None  # [B, K, V], false where a short clip has fewer visible patches; None if all are seen
    scored: Tensor | None  # [B, K, H], the same of the hidden ones
    # Of the whole batch, of whose clips these may be some
    n_masks: int
    n_hidden: Tensor | int  # in all masks

    @classmethod
    def at(cls, visible: Tensor, n_visible: int, sounding: Tensor | None = None) -> "BlockMask":
        """Masks from pictures of them.

        Args:
            visible: which patches are, [B, K, n] bool.
            n_visible: V, how many of a clip without padding.
            sounding: which patches hold no padding, [B, n]; None for all.
        """
        kind = torch.where(visible, 0, 2)
        if sounding is not None:
            kind = kind.masked_fill(~sounding[:, None], 1)  # between the others, to end up in the rest of each
        index = kind.to(torch.uint8).argsort(dim=2, stable=True)
        seen, hidden = index[..., :n_visible], index[..., n_visible:]
        n_masks = index.shape[0] * index.shape[1]
        if sounding is None:
            return cls(seen, hidden, None, None, n_masks, hidden.numel())
        scored = kind.gather(2, hidden) == 2
        return cls(seen, hidden, kind.gather(2, seen) == 0, scored, n_masks, scored.sum())

    def of(self, rows: slice) -> "BlockMask":
        """The masks of some clips of the batch."""
        seen, scored = (None if part is None else part[rows] for part in (self.seen, self.scored))
        return replace(self, visible=self.visible[rows], hidden=self.hidden[rows], seen=seen, scored=scored)

    def twice(self) -> "BlockMask":
        """The same masks for two versions of all clips, one after the other."""
        seen, scored = (None if part is None else torch.cat([part, part]) for part in (self.seen, self.scored))
        visible, hidden = (torch.cat([part, part]) for part in (self.visible, self.hidden))
        return BlockMask(visible, hidden, seen, scored, 2 * self.n_masks, 2 * self.n_hidden)


def n_visible(settings: BlockMasking, n: Tensor | int) -> Tensor:
    """How many of `n` patches are visible: the share, rounded down, but never none or all.

    The original computes a fifth as 1 - 0.8, a little less: where it is a whole number, one patch fewer can be visible.
    """
    n = torch.as_tensor(n)
    return _portion(n, settings.visible).minimum(n - 1).clamp(min=1)


def _portion(n: Tensor, share: float) -> Tensor:
    """A share of `n`, rounded down; in double precision on any device, so that a number always gives the same."""
    return (n.double() * share).long()


def draw(
    settings: BlockMasking,
    grid: tuple[int, int],
    batch: int,
    clones: int,
    sounding: Tensor | None,
    generator: torch.Generator,
) -> BlockMask:
    """Masks of one batch; in a clip with padding, of its other patches as of a shorter clip.

    Args:
        settings: how many patches are visible, in which blocks.
        grid: patches along mel bins and along time, (f_dim, t_dim).
        batch: number of clips B.
        clones: masks of each clip, K.
        sounding: which patches hold no padding, [B, n]; None for all. They come before the others.
        generator: source of all draws, on the device of the batch.
    """
    f_dim, t_dim = grid
    n, block, device = f_dim * t_dim, settings.block, generator.device
    area = min(block, f_dim) * min(block, t_dim)
    per_patch = (settings.visible + settings.surplus) / area  # blocks
    n_patches = torch.full((batch,), n, device=device) if sounding is None else sounding.sum(dim=1)
    n_blocks, most_blocks = (_portion(each, per_patch).clamp(min=1) for each in (n_patches, torch.tensor(n)))
    draws = (batch, clones, int(most_blocks))
    places = torch.rand(draws, dtype=torch.float64, generator=generator, device=device) * n_patches[:, None, None]
    surplus = torch.arange(draws[2], device=device) >= n_blocks[:, None]  # of clips with padding
    centres = places.long()
    centres = torch.where(surplus[:, None], centres[..., :1], centres)
    picture = torch.zeros(batch, clones, n, device=device).scatter(2, centres, 1.0)
    # Blocks are cut off at the edges. A side that is even reaches one patch further down than up, as in the original.
    before, after = (block - 1) // 2, block // 2
    picture = F.pad(picture.unflatten(2, (t_dim, f_dim)), (before, after, before, after))
    covered = F.max_pool2d(picture, block, stride=1).flatten(2)  # [B, K, n]

    order = covered + torch.rand(covered.shape, generator=generator, device=device)
    if sounding is not None:
        order = order.masked_fill(~sounding[:, None], -1)
    first = torch.arange(n, device=device) < n_visible(settings, n_patches)[:, None]
    first = first[:, None].expand(-1, clones, -1)
    visible = torch.zeros_like(first).scatter(2, order.argsort(dim=2, descending=True), first)
    return BlockMask.at(visible, int(n_visible(settings, n)), sounding)
