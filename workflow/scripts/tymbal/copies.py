"""Near copies: clips that hold the same sound again, louder, shifted a little, re-encoded or with noise added.

Pooled features tell which clips might be copies, and frames whether they are. Loudness does not count, nor what lies
far below a clip's loudest value, which codecs and added noise change. The benchmark `near_copies` tells how many of
each kind are found among real clips, and how many other clips are taken for copies. Excerpts, shorter by a tenth or
more, and clips shifted by much of their length are mostly not found.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.fft import irfft, next_fast_len, rfft
from torch import Tensor

from tymbal.progress import track

RANGE = 10.0  # natural log below a clip's loudest value, about 43 dB; quieter values count as this
COSINE = 0.9  # of pooled features, from which on frames are compared
CORRELATION = 0.9  # of frames, from which on a clip is a near copy
NEAREST = 3  # clips whose frames are compared
CELLS = 2**26  # cosines held in memory at a time: 256 MB

Frames = Callable[[str], np.ndarray]  # clip id -> [T, F] log-mel, natural log


def pool(clip_ids: Sequence[str], frames: Frames) -> Tensor:
    """Mean and standard deviation over time of each mel bin, standardised over the clips.

    Args:
        clip_ids: N clips.
        frames: of a clip.

    Returns:
        [N, 2 F] float32, each row of length 1, so that products are cosines.
    """
    rows = []
    for clip_id in track(clip_ids, "pooling", "clips"):
        levels = _levels(frames(clip_id))
        rows.append(np.concatenate([levels.mean(axis=0), levels.std(axis=0)]))
    x = torch.from_numpy(np.stack(rows))
    spread = x.std(dim=0, correction=0)
    x = (x - x.mean(dim=0)) / torch.where(spread > 1e-5, spread, torch.inf)  # a bin may be empty in every clip
    return torch.nn.functional.normalize(x, dim=1)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """How alike two clips are in the course of every mel bin, at the shift in time that suits them best.

    Args:
        a: [T, F] log-mel of one clip.
        b: [U, F] of the other.

    Returns:
        At most 1, which is for equal clips; 0 if one of them is digital silence.
    """
    a, b = (levels - levels.mean(axis=0) for levels in (_levels(a), _levels(b)))
    size = next_fast_len(len(a) + len(b) - 1, real=True)
    products = irfft((rfft(a, size, axis=0) * rfft(b, size, axis=0).conj()).sum(axis=1), size)
    scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float(products.max()) / scale if scale > 0 else 0.0


class Copies:
    """Finds near copies among the clips of a data set; frames of a pair are compared once.

    Args:
        clip_ids: N clips.
        frames: of a clip.
    """

    def __init__(self, clip_ids: Sequence[str], frames: Frames) -> None:
        self.clip_ids, self.frames = clip_ids, frames
        self.pooled = pool(clip_ids, frames)
        self._compared: dict[tuple[int, int], float] = {}

    def find(self, held_out: np.ndarray, train: np.ndarray) -> list[tuple[str, str, float, float]]:
        """The held-out clips that are near copies of a training clip.

        Args:
            held_out: [M] positions in `clip_ids`.
            train: [K] positions of those to compare with.

        Returns:
            Held-out clip, the training clip most like it, cosine and correlation; most alike first.
        """
        found = []
        base = self.pooled[train].T
        for chunk in torch.from_numpy(held_out).split(max(CELLS // len(train), 1)):
            cosines, nearest = (self.pooled[chunk] @ base).topk(min(NEAREST, len(train)))  # [B, NEAREST]
            for clip, row, others in zip(chunk.tolist(), cosines.tolist(), nearest.tolist(), strict=True):
                pairs = [
                    (self._correlation(clip, int(train[other])), cosine, int(train[other]))
                    for cosine, other in zip(row, others, strict=True)
                    if cosine >= COSINE
                ]
                alike, cosine, other = max(pairs, default=(0.0, 0.0, 0))
                if alike >= CORRELATION:
                    found.append((self.clip_ids[clip], self.clip_ids[other], round(cosine, 4), round(alike, 4)))
        return sorted(found, key=lambda pair: (-pair[3], pair[:2]))

    def _correlation(self, one: int, other: int) -> float:
        pair = (min(one, other), max(one, other))
        if pair not in self._compared:
            self._compared[pair] = correlation(*(self.frames(self.clip_ids[i]) for i in pair))
        return self._compared[pair]


def _levels(frames: np.ndarray) -> np.ndarray:
    """Log-mel relative to the clip's loudest value, cut off at RANGE below it: [T, F] float32, -RANGE to 0."""
    levels = frames.astype(np.float32)
    return np.maximum(levels - levels.max(), -RANGE)
