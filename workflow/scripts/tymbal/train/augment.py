"""Changes to a training batch, in the order of SSAST's loader: mixup, SpecAugment, noise, roll.

Everything is vectorised over the batch. The few numbers a clip needs (spans, shifts, weights) come from a NumPy
generator, so that they are the same on every device; only the noise itself is drawn on the device. Each of several
processes draws the numbers of all clips of the batch, and takes those of its own.
"""

import numpy as np
import torch
from torch import Tensor

from tymbal.config.models import Augment
from tymbal.norm import Scale
from tymbal.train.data import Batch
from tymbal.train.distributed import Share


def augment(batch: Batch, settings: Augment, scale: Scale, rng: np.random.Generator) -> Batch:
    """Apply what the settings switch on.

    Args:
        batch: read `whole` if mixup is on, because any clip may be another's partner.
        settings: what to do and how much.
        scale: normalisation of the batch.
        rng: source of all randomness.

    Returns:
        The batch with other x and y; the input is left alone.
    """
    x, y, share = batch.x, batch.y, batch.share
    if settings.mixup:
        x, y = mixup(x, batch.n_frames, y, settings.mixup, scale, rng)
        x = x[share.rows]
    if settings.freq_mask or settings.time_mask:
        x = spec_augment(x, settings.freq_mask, settings.time_mask, scale.pad, rng, share)
    if settings.noise:
        x = add_noise(x, rng, share)
    if settings.roll:
        x = roll(x, settings.roll, rng, share)
    return batch._replace(x=x, y=y)


def mixup(
    x: Tensor, n_frames: Tensor, y: Tensor, probability: float, scale: Scale, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mix clips as if their waveforms were mixed: lam A + (1 - lam) B, lam ~ Beta(10, 10) (SSAST's loader).

    Features are stored, not waveforms. The power of a sum of unrelated signals is the sum of their powers, so
    the mix is log(lam^2 exp A + (1 - lam)^2 exp B) in log-mel; a test compares it with real waveform mixes. The
    partner is any clip of the batch (itself possible), cut or extended by silence to the first clip's length.
    Labels mix linearly.

    Args:
        x: [B, T, F].
        n_frames: true frames, [B].
        y: soft labels, [B, C].
        probability: of each clip to be mixed.
        scale: normalisation of x.
        rng: source of decisions, partners and weights.
    """
    size = len(x)
    chosen = rng.random(size) < probability
    weight = np.where(chosen, rng.beta(10, 10, size), 1.0)
    partner = torch.from_numpy(rng.integers(size, size=size)).to(x.device)
    lam = torch.from_numpy(weight).to(x)  # [B]

    time = torch.arange(x.shape[1], device=x.device)
    sounding = (time < n_frames[:, None])[:, :, None]  # [B, T, 1]
    partner_sounding = sounding[partner]
    log_mel = x * (2 * scale.std) + scale.mean
    a = log_mel + 2 * lam.log()[:, None, None]
    b = log_mel[partner] + 2 * (1 - lam).log()[:, None, None]  # -inf where lam is 1: adds nothing
    b = b.masked_fill(~partner_sounding, -torch.inf)
    mixed = (torch.logaddexp(a, b) - scale.mean) / (2 * scale.std)
    x = torch.where(sounding & torch.from_numpy(chosen).to(x.device)[:, None, None], mixed, x)
    lam = lam[:, None]  # [B, 1]
    return x, lam * y + (1 - lam) * y[partner]


def spec_augment(x: Tensor, freq: int, time: int, fill: float, rng: np.random.Generator, share: Share) -> Tensor:
    """One frequency mask, then one time mask for every clip (SpecAugment with SSAST's draw of widths).

    For an axis of size S and bound p: w = U1 p, start = floor(U2 (S - w)), width = floor(w), so 0..p-1.

    Args:
        x: [B, T, F].
        freq: bound of the frequency mask in mel bins; 0 for none.
        time: bound of the time mask in frames; 0 for none.
        fill: value written into masks: that of padding.
        rng: source of the spans.
        share: which clips of the batch these are.
    """
    masked = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    for bound, axis in ((freq, 2), (time, 1)):
        if bound:
            masked |= _spans(share, x.shape[axis], bound, rng).to(x.device).unsqueeze(3 - axis)
    return x.masked_fill(masked, fill)


def _spans(share: Share, size: int, bound: int, rng: np.random.Generator) -> Tensor:
    """One span for each clip as a mask [B, size]."""
    width = rng.random(share.n) * bound
    start = np.floor(rng.random(share.n) * (size - width))[share.rows, None]
    index = np.arange(size)
    return torch.from_numpy((index >= start) & (index < start + np.floor(width)[share.rows, None]))


def add_noise(x: Tensor, rng: np.random.Generator, share: Share) -> Tensor:
    """Add U(0, 1) r / 10 to every value, one r ~ U(0, 1) for each clip (SSAST's noise augmentation).

    Args:
        x: [B, T, F].
        rng: source of r and of the seed of the noise.
        share: which clips of the batch these are.
    """
    strength = torch.from_numpy(rng.random(share.n) / 10).to(x)[share.rows, None, None]
    generator = torch.Generator(x.device).manual_seed(int(rng.integers(2**62)))
    noise = torch.rand((share.n, *x.shape[1:]), generator=generator, device=x.device, dtype=x.dtype)
    return x + strength * noise[share.rows]


def roll(x: Tensor, largest: int, rng: np.random.Generator, share: Share) -> Tensor:
    """Shift every clip along time by its own whole number of frames in -largest..largest - 1, circularly.

    Args:
        x: [B, T, F].
        largest: largest shift in frames; SSAST uses 10.
        rng: source of the shifts.
        share: which clips of the batch these are.
    """
    shift = torch.from_numpy(rng.integers(-largest, largest, size=share.n)[share.rows]).to(x.device)
    source = (torch.arange(x.shape[1], device=x.device) - shift[:, None]) % x.shape[1]  # [B, T]
    return x.gather(1, source[:, :, None].expand_as(x))
