"""Partial mixtures: where clips are mixed, with what result, and what of them is to be retained."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from tymbal.pretrain.mixtures import Mixing, draw_mixed_columns, mix, mixed_columns, region_columns, retention


@pytest.mark.parametrize(
    "t_dim, unmixed, expected",
    [(64, 15 / 64, 15), (64, 1 / 4, 16), (32, 15 / 64, 8), (8, 0.01, 1), (10, 0.49, 4), (3, 0.3, 1), (2, 0.3, 0)],
)
def test_width_of_a_region(t_dim, unmixed, expected):
    assert region_columns(t_dim, unmixed) == expected


def test_columns_outside_two_regions():
    assert mixed_columns(torch.tensor([1, 5]), 2, 9).tolist() == [0, 3, 4, 7, 8]
    assert mixed_columns(torch.tensor([0, 3]), 3, 8).tolist() == [6, 7]  # they touch


def starts(columns: list[int], t_dim: int, width: int) -> tuple[int, int]:
    """First column of each region."""
    unmixed = sorted(set(range(t_dim)) - set(columns))
    return unmixed[0], unmixed[-1] - width + 1


@effort(deadline=None, max_examples=200)
@given(t_dim=st.integers(1, 70), unmixed=st.floats(0.01, 0.49), seed=st.integers(0, 2**31))
def test_both_regions_fit_and_something_is_mixed(t_dim, unmixed, seed):
    columns = draw_mixed_columns(t_dim, unmixed, torch.Generator().manual_seed(seed)).tolist()
    width = region_columns(t_dim, unmixed)
    assert len(columns) == t_dim - 2 * width > 0
    assert columns == sorted(set(columns)) and columns[0] >= 0 and columns[-1] < t_dim
    if width:
        first, second = starts(columns, t_dim, width)
        whole = set(range(first, first + width)) | set(range(second, second + width))
        assert whole == set(range(t_dim)) - set(columns)
        assert len(whole) == 2 * width


def test_regions_are_those_of_the_released_code():
    """Of 64 columns, the first begins at 0 to 31, the second from its end to 48, each as often."""
    generator, n = torch.Generator().manual_seed(0), 4000
    pairs = [starts(draw_mixed_columns(64, 15 / 64, generator).tolist(), 64, 15) for _ in range(n)]
    first = torch.tensor([pair[0] for pair in pairs]).bincount(minlength=32)
    assert len(first) == 32
    assert (first - n / 32).abs().max() < 5 * (n / 32) ** 0.5
    places = torch.tensor([(second - first - 15) / (48 - first - 15) for first, second in pairs])
    assert places.min() == 0 and places.max() == 1
    assert places.mean() == pytest.approx(0.5, abs=5 * (1 / 12 / n) ** 0.5 + 0.01)


def test_regions_depend_on_the_generator_alone():
    before = torch.random.get_rng_state()
    first, second, other = (draw_mixed_columns(64, 0.2, torch.Generator().manual_seed(seed)) for seed in (1, 1, 3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, second) and not torch.equal(first, other)


X = torch.tensor([[1.0, 5, 2, 0, 3, 3, 9], [0, 0, 0, 0, 0, 0, 0]])[:, :, None]  # [2, 7, 1]: 3 columns of 2 frames
OTHER = torch.tensor([[4.0, 4, 4, 4, 4, 4, 99], [1, -1, 1, -1, 1, -1, 1]])[:, :, None]


def test_the_louder_is_heard_outside_the_regions():
    mixed = mix(X, Mixing(OTHER, torch.tensor([0, 2]), None), 2)
    assert mixed[:, :, 0].tolist() == [[4, 5, 2, 0, 4, 4, 9], [1, 0, 0, 0, 1, 0, 0]]


def test_padding_of_the_partner_is_not_heard():
    heard = torch.tensor([[True, False], [False, False]])
    mixed = mix(X, Mixing(OTHER, torch.tensor([0, 2]), heard), 2)
    assert mixed[:, :, 0].tolist() == [[4, 5, 2, 0, 3, 3, 9], [0] * 7]


def test_mixing_changes_none_of_the_clips():
    x, other = X.clone(), OTHER.clone()
    mix(x, Mixing(other, torch.tensor([0, 1, 2]), None), 2)
    assert torch.equal(x, X) and torch.equal(other, OTHER)


def test_patches_of_the_mixed_columns():
    assert Mixing(OTHER, torch.tensor([0, 2]), None).patches(3).tolist() == [0, 1, 2, 6, 7, 8]


def test_what_is_retained():
    """The clip's own target in the regions, the mean of both where both are heard."""
    own, its = torch.tensor([[1.0, 2, 3, 4]])[:, :, None], torch.tensor([[10.0, 20]])[:, :, None]
    patches = torch.tensor([1, 3])
    assert retention(own, its, patches, None)[0, :, 0].tolist() == [1, 6, 3, 12]
    assert retention(own, its, patches, torch.tensor([[False, True]]))[0, :, 0].tolist() == [1, 2, 3, 12]
