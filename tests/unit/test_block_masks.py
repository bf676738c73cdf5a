"""Block masks: exact numbers, blocks of the side asked for, padding left alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from torch import Tensor

from tymbal.config.pretrain import BlockMasking
from tymbal.pretrain.block_masks import BlockMask, draw, n_visible

GRID = (8, 64)  # patches of 16 x 16 of 1024 frames
PUBLISHED = BlockMasking()


def drawn(
    settings: BlockMasking = PUBLISHED,
    grid: tuple[int, int] = GRID,
    batch: int = 4,
    clones: int = 3,
    sounding: Tensor | None = None,
    seed: int = 0,
) -> BlockMask:
    return draw(settings, grid, batch, clones, sounding, torch.Generator().manual_seed(seed))


def pictures(mask: BlockMask, grid: tuple[int, int] = GRID) -> Tensor:
    """Which patches are visible, [masks, t_dim, f_dim]."""
    seen = torch.ones_like(mask.visible, dtype=torch.bool) if mask.seen is None else mask.seen
    visible = torch.zeros(*mask.visible.shape[:2], grid[0] * grid[1], dtype=torch.bool)
    return visible.scatter(2, mask.visible, seen).flatten(0, 1).unflatten(1, grid[::-1])


def sounding_of(columns: list[int], grid: tuple[int, int] = GRID) -> Tensor:
    return (torch.arange(grid[1]) < torch.tensor(columns)[:, None]).repeat_interleave(grid[0], dim=1)


@effort(deadline=None, max_examples=60)
@given(
    grid=st.tuples(st.integers(1, 8), st.integers(2, 20)),
    visible=st.floats(0.01, 0.99),
    block=st.integers(1, 9),
    surplus=st.floats(0, 0.9),
)
def test_every_patch_is_either_visible_or_hidden_in_exact_number(grid, visible, block, surplus):
    settings = BlockMasking(visible=visible, block=block, surplus=surplus)
    mask, n = drawn(settings, grid), grid[0] * grid[1]
    assert mask.visible.shape == (4, 3, n_visible(settings, n))
    assert torch.equal(
        torch.cat([mask.visible, mask.hidden], dim=2).sort(dim=2).values, torch.arange(n).expand(4, 3, n)
    )
    assert mask.seen is None and mask.scored is None
    assert (mask.n_masks, mask.n_hidden) == (12, mask.hidden.numel())


@pytest.mark.parametrize("n, expected", [(512, 102), (256, 51), (64, 12), (4, 1), (2, 1)])
def test_a_fifth_is_visible_rounded_down_but_never_none(n, expected):
    assert n_visible(BlockMasking(), n) == expected


@pytest.mark.parametrize("visible", [0.07, 0.13, 0.21, 0.29, 0.58])
def test_the_number_does_not_depend_on_what_holds_it(visible):
    """In single precision some products, as 0.21 * 600, are rounded up to a whole number, and others not."""
    settings, n = BlockMasking(visible=visible), torch.arange(4, 2049)
    assert n_visible(settings, n).tolist() == [int(n_visible(settings, each)) for each in n.tolist()]


def test_no_patch_is_visible_in_all_masks():
    grid, masks = (8, 75), 400
    share = pictures(drawn(BlockMasking(visible=0.21), grid, masks, 1), grid).double().mean(dim=0)
    assert share.max() < 0.4


def test_never_all_are_visible():
    assert n_visible(BlockMasking(visible=0.999), 4) == 3


@pytest.mark.parametrize("side", [3, 4, 5])
def test_a_block_is_a_square_of_its_side(side):
    """With as many visible patches as one block has, a mask is that block, wherever it is not cut off."""
    n, masks = GRID[0] * GRID[1], 20_000
    settings = BlockMasking(visible=(side**2 + 0.5) / n, block=side, surplus=0)
    found = pictures(drawn(settings, batch=masks, clones=1))
    assert (found.sum(dim=(1, 2)) == side**2).all()
    squares = (found.any(dim=2).sum(dim=1) == side) & (found.any(dim=1).sum(dim=1) == side)
    inside = (GRID[0] - side + 1) * (GRID[1] - side + 1) / n
    assert squares.double().mean() == pytest.approx(inside, abs=5 * (inside / masks) ** 0.5)


def test_an_even_block_reaches_one_patch_further_down_than_up():
    """Pairs in a row: that of a centre in the first patch is cut off, that of one in the last is not."""
    grid, masks = (1, 16), 8000
    found = pictures(drawn(BlockMasking(visible=2 / 16, block=2, surplus=0), grid, masks, 1), grid)[:, :, 0]
    cut = 1 / 16 / 15  # another patch is then added, any of the 15
    for patch, expected in ((0, 2 / 16), (1, 2 / 16 + cut), (15, 1 / 16 + cut)):
        assert found[:, patch].double().mean() == pytest.approx(expected, abs=5 * (expected / masks) ** 0.5)


def test_masks_of_a_clip_differ_and_depend_on_the_generator_alone():
    before = torch.random.get_rng_state()
    first = drawn()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len({tuple(row) for row in first.visible.flatten(0, 1).tolist()}) == 12
    torch.manual_seed(1)
    assert torch.equal(drawn().visible, first.visible)
    assert not torch.equal(drawn(seed=1).visible, first.visible)


@effort(deadline=None, max_examples=60)
@given(
    f_dim=st.integers(1, 8),
    columns=st.lists(st.integers(1, 24), min_size=1, max_size=5),
    visible=st.floats(0.05, 0.95),
)
def test_padding_is_neither_visible_nor_hidden(f_dim, columns, visible):
    grid = (f_dim, 24)
    settings, sounding = BlockMasking(visible=visible), sounding_of(columns, grid)
    mask = drawn(settings, grid, batch=len(columns), sounding=sounding)
    assert mask.seen is not None and mask.scored is not None
    for clip, valid in enumerate(sounding.sum(dim=1).tolist()):
        for clone in range(3):
            seen = mask.visible[clip, clone][mask.seen[clip, clone]].tolist()
            hidden = mask.hidden[clip, clone][mask.scored[clip, clone]].tolist()
            assert sorted(seen + hidden) == list(range(valid))
            assert len(seen) == n_visible(settings, valid)
    # What fills up the rest is padding, so that it can be put in its own place.
    for index, counted in ((mask.visible, mask.seen), (mask.hidden, mask.scored)):
        spare = sounding[:, None].expand(-1, 3, -1).gather(2, index)
        assert torch.equal(spare, counted)
    assert mask.n_hidden == mask.scored.sum()


def test_a_short_clip_has_blocks_as_one_that_is_alone():
    """Means of neighbouring visible patches: as dense as in a batch of its own length."""

    def neighbours(mask: BlockMask, t_dim: int) -> float:
        picture = pictures(mask, (8, t_dim))
        return (picture[:, 1:] & picture[:, :-1]).sum(dim=(1, 2)).double().mean().item()

    padded = drawn(batch=500, clones=8, sounding=sounding_of([32] * 500))
    alone = drawn(grid=(8, 32), batch=500, clones=8, seed=1)
    assert neighbours(padded, 64) == pytest.approx(neighbours(alone, 32), rel=0.02)


def test_masks_of_some_clips_know_how_many_there_are_of_all():
    for sounding in (None, sounding_of([64, 20, 3, 50])):
        mask = drawn(sounding=sounding)
        part = mask.of(slice(1, None, 2))
        assert torch.equal(part.visible, mask.visible[1::2]) and torch.equal(part.hidden, mask.hidden[1::2])
        assert (part.n_masks, part.n_hidden) == (mask.n_masks, mask.n_hidden)
        if sounding is not None:
            assert torch.equal(part.seen, mask.seen[1::2]) and torch.equal(part.scored, mask.scored[1::2])
        both = mask.twice()
        assert (both.n_masks, both.n_hidden) == (2 * mask.n_masks, 2 * mask.n_hidden)
        assert all(torch.equal(half, mask.hidden) for half in both.hidden.chunk(2))
