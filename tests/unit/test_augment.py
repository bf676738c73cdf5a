"""Augmentation does what SSAST's and SSLAM's loaders do, on the whole batch at once."""

import numpy as np
import pytest
import torch

from tymbal.config.models import Augment, BatchMixup
from tymbal.fbank import fbank
from tymbal.norm import Scale
from tymbal.train.augment import add_noise, augment, batch_mixup, clip_roll, gain, mixup, roll, spec_augment
from tymbal.train.data import Batch
from tymbal.train.distributed import Share

SCALE = Scale(mean=-6.0, std=4.0, pad=0.0)
B, T, F, C = 64, 50, 32, 3
ALL_ON = Augment(freq_mask=8, time_mask=10, mixup=0.5, noise=True, roll=5)
OF_WAVEFORMS = {"clip_roll": True, "gain": True}
BATCH_MIXUP = BatchMixup(probability=1, alpha=0.8)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(B, T, F, generator=generator)
    n_frames = torch.randint(20, T + 1, (B,), generator=generator)
    x[torch.arange(T) >= n_frames[:, None]] = SCALE.pad
    return x, n_frames, torch.eye(C)[torch.arange(B) % C]


def whole(x, n_frames, y) -> Batch:
    return Batch(x, n_frames, y, False, Share(len(x)))


def rng(seed=0):
    return np.random.default_rng(seed)


def test_everything_off_changes_nothing(batch):
    same = augment(whole(*batch), Augment(), SCALE, rng())
    assert torch.equal(same.x, batch[0])
    assert torch.equal(same.y, batch[2])


def test_all_on_is_reproducible_and_leaves_the_input_alone(batch):
    before = batch[0].clone()
    first, second = (augment(whole(*batch), ALL_ON, SCALE, rng(3)) for _ in range(2))
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.y, second.y)
    assert not torch.equal(first.x, augment(whole(*batch), ALL_ON, SCALE, rng(4)).x)
    assert torch.equal(batch[0], before)


@pytest.mark.parametrize(
    "settings",
    [
        ALL_ON,
        ALL_ON.model_copy(update={"mixup": 0.0, **OF_WAVEFORMS}),
        ALL_ON.model_copy(update={"mixup": 0.0, "batch_mixup": BATCH_MIXUP, "mask_fill": "mean", **OF_WAVEFORMS}),
    ],
    ids=["mixup", "none", "batch mixup"],
)
def test_a_share_of_a_batch_is_changed_as_in_the_whole(batch, settings):
    """Of 65 clips and three processes the shares have 22, 22 and 21."""
    x, n_frames, y = (torch.cat([part, part[:1]]) for part in batch)
    expected = augment(whole(x, n_frames, y), settings, SCALE, rng(3))
    for rank in range(3):
        share = Share(B + 1, slice(rank, None, 3))
        given = x if settings.mixes else x[share.rows]
        found = augment(Batch(given, n_frames, y, False, share), settings, SCALE, rng(3))
        assert torch.equal(found.x, expected.x[share.rows])
        assert torch.equal(found.y, expected.y)


def test_masks_are_one_span_an_axis_below_the_bound(batch):
    x = torch.ones(2000, T, F)
    masked = spec_augment(x, 8, 10, -5.0, rng(), Share(2000)) == -5.0
    bins, frames = masked.all(dim=1), masked.all(dim=2)
    for spans, bound in ((bins, 8), (frames, 10)):
        width = spans.sum(dim=1)
        assert width.min() == 0
        assert width.max() == bound - 1
        edges = (spans[:, 1:] != spans[:, :-1]).sum(dim=1) + spans[:, 0].int() + spans[:, -1].int()
        assert set(edges.tolist()) <= {0, 2}  # one span, or none
    assert bins[:, 0].any()
    assert bins[:, -2].any()  # the width is cut after the start was drawn: the last bin is hardly ever reached


def test_bounds_below_one_are_shares_of_the_size(batch):
    """0.3 of 32 bins are 9.6, of 50 frames 15: widths up to 9 and 14."""
    share = Share(2000)
    masked = spec_augment(torch.ones(2000, T, F), 0.3, 0.3, -5.0, rng(), share) == -5.0
    assert masked.all(dim=1).sum(dim=1).max() == 9
    assert masked.all(dim=2).sum(dim=1).max() == 14
    same = spec_augment(torch.ones(2000, T, F), 0.25, 0.5, -5.0, rng(), share)
    assert torch.equal(same, spec_augment(torch.ones(2000, T, F), 8, 25, -5.0, rng(), share))


def test_masks_can_keep_to_what_sounds():
    n_frames = torch.tensor([T, 20, 3]).repeat(1000)
    for bound, widest in ((30, (29, 19, 2)), (0.5, (24, 9, 1))):  # each below the bound, or below its part of the clip
        x = torch.ones(3000, T, F)
        masked = (spec_augment(x, 8, bound, -5.0, rng(), Share(3000), n_frames) == -5.0).all(dim=2)
        assert not masked[torch.arange(T) >= n_frames[:, None]].any()
        assert tuple(masked.sum(dim=1).view(1000, 3).max(dim=0).values.tolist()) == widest
    full = spec_augment(x, 8, 20, -5.0, rng(), Share(3000), torch.full((3000,), T))
    assert torch.equal(full, spec_augment(x, 8, 20, -5.0, rng(), Share(3000)))


def test_masks_differ_between_clips():
    masked = spec_augment(torch.ones(50, T, F), 0, 20, 0.0, rng(), Share(50)) == 0
    assert len({tuple(row.tolist()) for row in masked[:, :, 0]}) > 20


def test_mixed_labels_are_weighted_and_unmixed_clips_untouched(batch):
    x, n_frames, y = batch
    mixed_x, mixed_y = mixup(x, n_frames, y, 0.5, SCALE, rng())
    assert torch.allclose(mixed_y.sum(dim=1), torch.ones(B))
    untouched = (mixed_x == x).flatten(1).all(dim=1)
    assert 10 < untouched.sum() < 54
    assert torch.equal(mixed_y[untouched], y[untouched])
    changed = mixed_y[~untouched].max(dim=1).values
    assert changed.min() >= 0.5 - 0.35  # Beta(10, 10) stays near one half


def test_mixing_adds_powers_and_keeps_padding():
    quiet, loud = -12.0, 0.0
    log_mel = torch.full((2, 4, 1), quiet)
    log_mel[1] = loud
    x = (log_mel - SCALE.mean) / (2 * SCALE.std)
    n_frames = torch.tensor([4, 2])
    x[1, 2:] = SCALE.pad

    class Fixed:
        def random(self, n):
            return np.zeros(n)

        def beta(self, a, b, n):
            return np.full(n, 0.3)

        def integers(self, high, size):
            return np.array([1, 0])

    mixed, _ = mixup(x, n_frames, torch.eye(2), 1.0, SCALE, Fixed())
    back = mixed * 2 * SCALE.std + SCALE.mean
    both = np.log(0.09 * np.exp(quiet) + 0.49 * np.exp(loud))
    assert back[0, :2, 0].tolist() == pytest.approx([both] * 2, abs=1e-5)
    assert back[0, 2:, 0].tolist() == pytest.approx([quiet + 2 * np.log(0.3)] * 2, abs=1e-5)  # the partner is over
    assert torch.equal(mixed[1, 2:], x[1, 2:])


def test_noise_is_positive_and_at_most_a_tenth():
    x = add_noise(torch.zeros(200, T, F), rng(), Share(200))
    assert x.min() >= 0
    assert x.max() < 0.1
    strengths = x.amax(dim=(1, 2))
    assert strengths.std() > 0.01  # one strength a clip


def test_roll_is_circular_with_its_own_shift():
    ramp = torch.arange(T, dtype=torch.float32)[None, :, None].expand(2000, T, 2)
    rolled = roll(ramp, 10, rng(), Share(2000))
    shifts = (-rolled[:, 0, 0]).remainder(T)
    shifts = torch.where(shifts > T / 2, shifts - T, shifts)
    assert set(shifts.int().tolist()) == set(range(-10, 10))
    assert torch.equal(rolled.sort(dim=1).values, ramp)


def test_a_clip_is_shifted_by_any_part_of_itself_and_its_padding_stays():
    n_frames = torch.tensor([5, T]).repeat(1000)
    x = torch.arange(T, dtype=torch.float32)[None, :, None].repeat(2000, 1, 2)
    x[torch.arange(T) >= n_frames[:, None]] = -7.0
    shifted = clip_roll(x, n_frames, rng(), Share(2000))
    for length in (5, T):
        clips = shifted[n_frames == length, :, 0]
        shifts = (-clips[:, 0]).remainder(length)
        assert set(shifts.int().tolist()) == set(range(length))
        assert torch.equal(clips[:, 1:length], (clips[:, : length - 1] + 1).remainder(length))
        assert (clips[:, length:] == -7).all()


def test_a_gain_is_as_if_the_waveform_were_louder():
    wave = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    log_mel = fbank(wave, 16000, F)
    x = torch.cat([(log_mel - SCALE.mean) / (2 * SCALE.std), torch.full((1, 3, F), SCALE.pad)], dim=1)
    n_frames = torch.tensor([log_mel.shape[1]])
    changed = gain(x, n_frames, SCALE, rng(), Share(1))
    louder = 0.5 + rng().beta(10, 10, 1)[0]
    expected = (fbank(louder * wave, 16000, F) - SCALE.mean) / (2 * SCALE.std)
    assert torch.allclose(changed[:, :-3], expected, atol=1e-4)
    assert torch.equal(changed[:, -3:], x[:, -3:])


def test_gains_are_between_half_and_one_and_a_half_one_a_clip():
    x = gain(torch.zeros(1000, T, 1), torch.full((1000,), T), SCALE, rng(), Share(1000))
    gains = (x[:, 0, 0] * SCALE.std).exp()
    assert gains.min() > 0.5 and gains.max() < 1.5
    assert gains.mean() == pytest.approx(1, abs=0.02) and gains.std() == pytest.approx(0.109, abs=0.01)
    assert torch.equal(x, x[:, :1].expand_as(x))


def test_a_batch_is_mixed_with_itself_in_reverse_by_one_weight():
    """An odd one, too: its middle clip stays."""
    x, y = torch.randn(5, T, F, generator=torch.Generator().manual_seed(0)), torch.eye(5)
    n_frames = torch.tensor([50, 20, 30, 40, 10])
    mixed_x, longer, mixed_y = batch_mixup(x, n_frames, y, BATCH_MIXUP, rng(1))
    assert longer.tolist() == [50, 40, 30, 40, 50]
    lam = mixed_y[0, 0].item()
    assert 0 < lam < 1
    assert torch.allclose(mixed_y, lam * y + (1 - lam) * y.flip(0))
    assert torch.allclose(mixed_x, lam * x + (1 - lam) * x.flip(0), atol=1e-6)
    assert torch.allclose(mixed_x[2], x[2], atol=1e-6)


def test_batches_are_mixed_as_often_and_as_much_as_told():
    settings, source = BatchMixup(probability=0.9, alpha=0.8), rng()
    two = torch.zeros(2, 1, 1), torch.ones(2), torch.eye(2)
    weights = torch.stack([batch_mixup(*two, settings, source)[2][0, 0] for _ in range(4000)])
    mixed = weights[weights < 1]
    assert len(mixed) / 4000 == pytest.approx(0.9, abs=0.02)
    assert mixed.mean() == pytest.approx(0.5, abs=0.02)
    assert mixed.std() == pytest.approx((0.25 / 2.6) ** 0.5, abs=0.02)  # of Beta(a, a): 1 / (4 (2a + 1))


def test_of_a_batch_to_mix_clips_are_changed_first_and_masked_last(batch):
    """SSLAM: what a partner is mixed in with is its own changed clip, and a mask hides the mixture."""
    x, n_frames, y = batch
    settings = Augment(**OF_WAVEFORMS, noise=True, roll=5, batch_mixup=BATCH_MIXUP, time_mask=20, mask_fill="mean")
    source = rng(3)
    changed = clip_roll(x, n_frames, source, Share(B))
    changed = gain(changed, n_frames, SCALE, source, Share(B))
    changed = roll(add_noise(changed, source, Share(B)), 5, source, Share(B))
    changed, _, labels = batch_mixup(changed, n_frames, y, BATCH_MIXUP, source)
    masked = spec_augment(changed, 0, 20, 0.0, source, Share(B))
    found = augment(whole(*batch), settings, Scale(SCALE.mean, SCALE.std, 5.0), rng(3))
    assert torch.equal(found.x, masked) and torch.equal(found.y, labels)


def test_otherwise_noise_and_roll_come_after_mixing_and_masks(batch):
    """SSAST: masks are noisy and shifted too."""
    x, n_frames, y = batch
    scale, source = Scale(SCALE.mean, SCALE.std, 5.0), rng(3)
    changed, labels = mixup(x, n_frames, y, 0.5, scale, source)
    changed = spec_augment(changed, 8, 10, 5.0, source, Share(B))
    changed = roll(add_noise(changed, source, Share(B)), 5, source, Share(B))
    found = augment(whole(*batch), ALL_ON, scale, rng(3))
    assert torch.equal(found.x, changed) and torch.equal(found.y, labels)
