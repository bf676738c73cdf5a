"""Changes to a training batch.

First what SSLAM does to a waveform: shift and gain. Then, in the order of SSAST's loader: mixup, SpecAugment, noise,
roll. If whole batches are mixed, noise and roll come before that, as SSLAM's loader applies them to each clip, and its
model mixes and masks. Everything is vectorised over the batch. The few numbers a clip needs (spans, shifts, weights)
come from a NumPy generator, so that they are the same on every device; only the noise itself is drawn on the device.
Each of several processes draws the numbers of all clips of the batch, and takes those of its own.
"""

import numpy as np
import torch
from torch import Tensor

from tymbal.config.models import Augment, BatchMixup
from tymbal.devices import send
from tymbal.norm import Scale
from tymbal.train.data import Batch
from tymbal.train.distributed import Share


def augment(batch: Batch, settings: Augment, scale: Scale, rng: np.random.Generator) -> Batch:
    """Apply what the settings switch on.

    Args:
        batch: read `whole` if the settings mix clips, because any clip may be another's partner.
        settings: what to do and how much.
        scale: normalisation of the batch.
        rng: source of all randomness.

    Returns:
        The batch with other x and y, and n_frames where clips were mixed; the input is left alone.
    """
    x, y, n_frames, share = batch.x, batch.y, batch.n_frames, batch.share
    held = Share(share.n) if settings.mixes else share  # whose clips x has
    if settings.clip_roll:
        x = clip_roll(x, n_frames, rng, held)
    if settings.gain:
        x = gain(x, n_frames, scale, rng, held)
    if settings.mixup:
        x, y = mixup(x, n_frames, y, settings.mixup, scale, rng)
    if settings.batch_mixup:
        x = _noise_and_roll(x, settings, rng, held)
        x, n_frames, y = batch_mixup(x, n_frames, y, settings.batch_mixup, rng)
    if settings.mixes:
        x = x[share.rows]
    if settings.freq_mask or settings.time_mask:
        fill = {"padding": scale.pad, "mean": 0.0}[settings.mask_fill]
        maskable = n_frames if scale.ignored else None
        x = spec_augment(x, settings.freq_mask, settings.time_mask, fill, rng, share, maskable)
    if not settings.batch_mixup:
        x = _noise_and_roll(x, settings, rng, share)
    return batch._replace(x=x, y=y, n_frames=n_frames)


def _noise_and_roll(x: Tensor, settings: Augment, rng: np.random.Generator, share: Share) -> Tensor:
    if settings.noise:
        x = add_noise(x, rng, share)
    if settings.roll:
        x = roll(x, settings.roll, rng, share)
    return x


def clip_roll(x: Tensor, n_frames: Tensor, rng: np.random.Generator, share: Share) -> Tensor:
    """Shift every clip along time by its own number of frames, any from 0 to its length, circularly; not its padding.

    So the waveform is shifted in SSLAM's loader, but for the frames around the seam.

    Args:
        x: [B, T, F].
        n_frames: true frames of all clips of the batch, [N].
        rng: source of the shifts.
        share: which clips of the batch these are.
    """
    length = n_frames[share.rows, None]
    part = _beside(x, rng.random(share.n)[share.rows])
    shift = (part[:, None] * length).long()
    time = torch.arange(x.shape[1], device=x.device)  # [T]
    source = torch.where(time < length, (time - shift) % length, time)  # [B, T]
    return _at(x, source)


def gain(x: Tensor, n_frames: Tensor, scale: Scale, rng: np.random.Generator, share: Share) -> Tensor:
    """Make every clip its own g times as loud, g = 0.5 + Beta(10, 10) (SSLAM's loader): 2 ln g in log-mel.

    Args:
        x: [B, T, F]; padding stays as it is.
        n_frames: true frames of all clips of the batch, [N].
        scale: normalisation of x.
        rng: source of the gains.
        share: which clips of the batch these are.
    """
    louder = np.log(0.5 + rng.beta(10, 10, share.n)) / scale.std  # 2 ln g / (2 std)
    sounding = torch.arange(x.shape[1], device=x.device) < n_frames[share.rows, None]  # [B, T]
    return x + (sounding * _beside(x, louder).to(x.dtype)[share.rows, None])[:, :, None]


def batch_mixup(
    x: Tensor, n_frames: Tensor, y: Tensor, settings: BatchMixup, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix a batch with itself in reverse: lam A + (1 - lam) B, one lam for all (SSLAM's fine-tuning).

    Not the waveforms are mixed, as by `mixup`, but the features as they are, padding included. The middle clip of an
    odd batch is its own partner.

    Args:
        x: [B, T, F].
        n_frames: true frames, [B]; a mixture has those of the longer clip.
        y: soft labels, [B, C]; they mix likewise.
        settings: how often, and alpha of lam ~ Beta(alpha, alpha).
        rng: source of decision and weight.
    """
    if rng.random() >= settings.probability:
        return x, n_frames, y
    lam = rng.beta(settings.alpha, settings.alpha)
    longer = torch.maximum(n_frames, n_frames.flip(0))
    return lam * x + (1 - lam) * x.flip(0), longer, lam * y + (1 - lam) * y.flip(0)


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
    partner = _beside(x, rng.integers(size, size=size))
    lam = _beside(x, weight).to(x.dtype)  # [B]

    rows = _beside(x, np.flatnonzero(chosen))
    other, weights = partner[rows], lam[rows, None, None]
    sounding = (torch.arange(x.shape[1], device=x.device) < n_frames[:, None])[:, :, None]  # [B, T, 1]
    kept = x[rows]
    a = kept * (2 * scale.std) + scale.mean + 2 * weights.log()
    b = x[other] * (2 * scale.std) + scale.mean + 2 * (1 - weights).log()
    b = b.masked_fill(~sounding[other], -torch.inf)
    mixed = (torch.logaddexp(a, b) - scale.mean) / (2 * scale.std)
    x = x.index_copy(0, rows, torch.where(sounding[rows], mixed, kept))
    lam = lam[:, None]  # [B, 1]
    return x, lam * y + (1 - lam) * y[partner]


def spec_augment(
    x: Tensor,
    freq: float,
    time: float,
    fill: float,
    rng: np.random.Generator,
    share: Share,
    n_frames: Tensor | None = None,
) -> Tensor:
    """One frequency mask, then one time mask for every clip (SpecAugment with SSAST's draw of widths).

    For an axis of size S and bound p: w = U1 p, start = floor(U2 (S - w)), width = floor(w), so below p. A bound below
    1 is a share of S.

    Args:
        x: [B, T, F].
        freq: bound of the frequency mask in mel bins, or a share of them; 0 for none.
        time: bound of the time mask in frames, or a share of them; 0 for none.
        fill: value written into masks.
        rng: source of the spans.
        share: which clips of the batch these are.
        n_frames: true frames of all clips of the batch, [N], to which time masks keep, so that S is a clip's own; None
            for T.
    """
    masked = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    for bound, axis in ((freq, 2), (time, 1)):
        if bound:
            sizes = x.new_full((len(x),), x.shape[axis])
            if axis == 1 and n_frames is not None:
                sizes = n_frames[share.rows]
            masked |= _spans(sizes.double()[:, None], x.shape[axis], bound, rng, share).unsqueeze(3 - axis)
    return x.masked_fill(masked, fill)


def _spans(sizes: Tensor, length: int, bound: float, rng: np.random.Generator, share: Share) -> Tensor:
    """One span for each clip as a mask [B, length], within its size, [B, 1]."""
    part, place = (_beside(sizes, rng.random(share.n))[share.rows, None] for _ in range(2))  # U1 and U2
    width = part * (bound * sizes if bound < 1 else sizes.clamp(max=bound))
    start = (place * (sizes - width)).floor()
    index = torch.arange(length, device=sizes.device)
    return (index >= start) & (index < start + width.floor())


def add_noise(x: Tensor, rng: np.random.Generator, share: Share) -> Tensor:
    """Add U(0, 1) r / 10 to every value, one r ~ U(0, 1) for each clip (SSAST's noise augmentation).

    Args:
        x: [B, T, F].
        rng: source of r and of the seed of the noise.
        share: which clips of the batch these are.
    """
    strength = _beside(x, rng.random(share.n) / 10).to(x.dtype)[share.rows, None, None]
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
    shift = _beside(x, rng.integers(-largest, largest, size=share.n)[share.rows])
    source = (torch.arange(x.shape[1], device=x.device) - shift[:, None]) % x.shape[1]  # [B, T]
    return _at(x, source)


def _beside(x: Tensor, numbers: np.ndarray) -> Tensor:
    """Numbers on the device of x."""
    return send(torch.from_numpy(numbers), x.device)


def _at(x: Tensor, source: Tensor) -> Tensor:
    """Of x [B, T, F] the frames at the places `source` [B, T] of each clip."""
    return x.gather(1, source[:, :, None].expand_as(x))
