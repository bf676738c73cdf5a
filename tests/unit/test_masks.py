"""Masks: exact numbers, blocks of the sizes asked for, no patch favoured, padding left alone."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from torch import Tensor

from tymbal.config.pretrain import Masking
from tymbal.pretrain.masks import Mask, draw, n_masked

SSAST, FRAMES = (8, 64), (1, 512)  # patches of 1024 frames: 16 x 16, and 128 x 2


def drawn(
    settings: Masking, grid: tuple[int, int] = SSAST, batch: int = 64, seed: int = 0, valid: Tensor | None = None
) -> Mask:
    return draw(settings, grid, grid[1], valid, batch, torch.Generator().manual_seed(seed))


def pictures(mask: Mask, grid: tuple[int, int]) -> Tensor:
    """Which patches are masked and scored, [B, f_dim, t_dim]."""
    scored = torch.ones_like(mask.index, dtype=torch.bool) if mask.scored is None else mask.scored
    hidden = torch.zeros(len(mask.index), grid[0] * grid[1], dtype=torch.bool)
    return hidden.scatter(1, mask.index, scored).unflatten(1, grid)


def blocks(picture: Tensor, side: int) -> Tensor:
    """Which masked patches lie in a masked block of this side; blocks may hang over the edges."""
    padded = torch.nn.functional.pad(picture, [side - 1] * 4, value=True)
    found = torch.zeros_like(padded)
    for f, t in itertools.product(range(picture.shape[0] + side - 1), range(picture.shape[1] + side - 1)):
        if padded[f : f + side, t : t + side].all():
            found[f : f + side, t : t + side] = True
    return found[side - 1 : 1 - side, side - 1 : 1 - side] if side > 1 else found


def squares(masked: Tensor, side: int) -> Tensor:
    """Where nothing but one whole block is masked: as many patches as its area, in as many rows and columns."""
    rows, columns = (masked.any(dim=axis).sum(dim=1) for axis in (2, 1))
    return (masked.sum(dim=(1, 2)) == side**2) & (rows == side) & (columns == side)


@effort(deadline=None, max_examples=60)
@given(
    grid=st.tuples(st.integers(1, 8), st.integers(4, 20)),
    cluster=st.none() | st.sets(st.integers(1, 9), min_size=1).map(sorted),
    sampling=st.sampled_from(["even", "original"]),
    data=st.data(),
)
def test_always_exactly_so_many_different_patches(grid, cluster, sampling, data):
    n = grid[0] * grid[1]
    k = data.draw(st.none() | st.integers(1, n - 2))
    if sampling == "original":
        cluster = None
    settings = Masking(n_masked=k, cluster=cluster and tuple(cluster), sampling=sampling)
    index = drawn(settings, grid, batch=5).index
    assert index.shape == (5, n_masked(settings, grid))
    assert all(len(set(row)) == len(row) and min(row) >= 0 and max(row) < n for row in index.tolist())


@pytest.mark.parametrize("grid", [SSAST, FRAMES, (8, 32)])
def test_the_share_of_ssast_unless_told(grid):
    assert drawn(Masking(), grid).index.shape[1] == grid[0] * grid[1] * 400 // 512


@pytest.mark.parametrize("side", [3, 4, 5])
def test_sides_are_drawn_from_three_to_five_each_as_often(side):
    """With as many patches as a block has, a mask is one square: if this side is drawn and the block is inside."""
    batch = 20_000
    found = squares(pictures(drawn(Masking(n_masked=side**2), batch=batch), SSAST), side).double().mean()
    f_dim, t_dim = SSAST
    inside = (f_dim - side + 1) * (t_dim - side + 1) / ((f_dim + side - 1) * (t_dim + side - 1))
    expected = inside / 3
    # Two smaller blocks seldom make a square too.
    assert found == pytest.approx(expected, abs=5 * (expected / batch) ** 0.5 + 0.002)


def test_one_side_in_a_clip_and_another_in_the_next():
    settings = Masking(n_masked=100)
    sides = [max(s for s in (1, 3, 4, 5) if blocks(p, s).any()) for p in pictures(drawn(settings), SSAST)]
    assert {3, 4, 5} <= set(sides)


@pytest.mark.parametrize("side", [2, 3, 5])
def test_blocks_are_whole_but_for_the_last_and_never_go_on_in_the_next_row(side):
    def outside(settings: Masking) -> list[Tensor]:
        return [p & ~blocks(p, side) for p in pictures(drawn(settings), SSAST)]

    for rest in outside(Masking(n_masked=60, cluster=(side,))):
        for line in (rest.any(dim=0), rest.any(dim=1)):
            places = line.nonzero().flatten()
            assert not len(places) or places[-1] - places[0] < side
    wrapped = outside(Masking(n_masked=60, sampling="original"))  # the check finds what it is to find
    assert any(rest.any(dim=0).nonzero().flatten().diff().sum() > 5 for rest in wrapped)


@pytest.mark.parametrize("grid, k", [(SSAST, None), (SSAST, 250), (SSAST, 40), ((8, 31), None), (FRAMES, None)])
def test_every_patch_is_masked_as_often(grid, k):
    settings, n = Masking(n_masked=k), 8000
    share = pictures(drawn(settings, grid, n), grid).double().mean(dim=0)
    expected = n_masked(settings, grid) / (grid[0] * grid[1])
    error = (expected * (1 - expected) / n) ** 0.5
    # As the number is exact, edges differ a little from the middle: a hundredth of masks at most.
    assert (share - expected).abs().max() < 5 * error + 0.01


def test_the_released_sampler_spares_the_first_patch_and_favours_the_middle():
    share = pictures(drawn(Masking(sampling="original"), batch=5000), SSAST).double().mean(dim=0)
    assert share[0, 0] == 0
    assert share[0].mean() < 0.5 < 0.85 < share[4].mean()


@pytest.mark.parametrize("sampling", ["even", "original"])
def test_patches_of_all_mel_bins_are_masked_one_by_one(sampling):
    """Two neighbours are masked together as often as any two patches."""
    masked = pictures(drawn(Masking(n_masked=256, sampling=sampling), FRAMES, 4000), FRAMES)[:, 0].double()
    together = (masked[:, 1:] * masked[:, :-1]).mean()
    assert together == pytest.approx(256 * 255 / (512 * 511), abs=0.003)


# --- short clips -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["even", "original"])
@pytest.mark.parametrize("grid", [SSAST, FRAMES])
def test_padding_is_never_masked(sampling, grid):
    valid = torch.randint(2, grid[1] + 1, (200,), generator=torch.Generator().manual_seed(1))
    masked = pictures(drawn(Masking(sampling=sampling), grid, 200, valid=valid), grid)
    for picture, end in zip(masked, valid.tolist(), strict=True):
        assert not picture[:, end:].any()
        if sampling == "even":
            assert 0 < picture.sum() < grid[0] * end  # something to score, something to see


@pytest.mark.parametrize("grid", [SSAST, FRAMES])
def test_of_a_short_clip_the_same_share_is_masked(grid):
    valid = torch.arange(2, grid[1] + 1)
    counts = pictures(drawn(Masking(), grid, len(valid), valid=valid), grid).sum(dim=(1, 2))
    expected = (grid[0] * valid * 400 / 512).round()
    torch.testing.assert_close(counts.float(), expected.clamp(max=grid[0] * valid - 1))


@pytest.mark.parametrize("sampling", ["even", "original"])
@pytest.mark.parametrize("t_dim", [2, 31, 32, 64])
def test_of_a_batch_of_short_clips_the_same_share_is_masked(sampling, t_dim):
    """Whether a clip comes with padding or alone."""
    settings = Masking(sampling=sampling)
    mask = draw(settings, SSAST, t_dim, None, 4, torch.Generator().manual_seed(0))
    assert mask.index.shape == (4, round(8 * t_dim * 400 / 512))
    assert mask.index.max() < 8 * t_dim
    full = draw(settings, SSAST, t_dim, torch.full((4,), t_dim), 4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(pictures(full, (8, t_dim)), pictures(mask, (8, t_dim)))


# --- draws -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["even", "original"])
def test_masks_depend_on_the_generator_alone(sampling):
    settings = Masking(sampling=sampling)
    before = torch.random.get_rng_state()
    first = drawn(settings, seed=3).index
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(drawn(settings, seed=3).index, first)
    assert not torch.equal(drawn(settings, seed=4).index, first)
    assert not torch.equal(first[0].sort().values, first[1].sort().values)
