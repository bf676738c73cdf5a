"""Figures of feature files, and which normalisation can have given them: what is undone must be raw log-mel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tymbal.config.data import Normalised
from tymbal.fbank import LOG_FLOOR

REPEATS = 50  # the smallest value this often is a floor, not chance

# What raw log-mel can be. A sine of full scale, 1, reaches 9.6 at 16 kHz; samples may lie beyond full scale.
FLOOR_TOLERANCE = 0.1  # of the floor, undone: float16 and rounded settings
LARGEST = 25.0
MEANS = (-14.0, 6.5)
DEVIATIONS = (1.2, 8.0)


@dataclass(frozen=True, eq=False)
class Profile:
    """Figures of one file, [T, F]. Rows at its end that hold one value are apart: they are padding, or silence."""

    name: str
    shape: tuple[int, ...]  # as in the file
    dtype: str
    trailing: int  # rows at the end
    trailing_value: float
    rows: int  # but for those at the end; what follows is of these
    constant_rows: int
    total: float
    squares: float
    low: float
    n_low: int  # how often `low` occurs
    high: float
    constant: np.ndarray  # [F], whether a bin has one value throughout
    first: np.ndarray  # [F], the first row

    @classmethod
    def of(cls, name: str, features: Tensor, n_mels: int) -> "Profile":
        """Take the figures of a file's features. They are turned if only then they have the bins expected."""
        shape = tuple(features.shape)
        x = features.double().numpy()
        if shape[1] != n_mels and shape[0] == n_mels:
            x = x.T
        same = (x == x[:, :1]).all(axis=1) & (x[:, 0] == x[-1, 0])  # [T], rows of the value that the file ends with
        trailing = len(x) if same.all() else int(same[::-1].argmin())
        value, x = float(x[-1, 0]), x[: len(x) - trailing]
        low = float(x.min(initial=np.inf))
        return cls(
            name,
            shape,
            str(features.dtype).removeprefix("torch."),
            trailing,
            value,
            rows=len(x),
            constant_rows=int((x == x[:, :1]).all(axis=1).sum()),
            total=float(x.sum()),
            squares=float((x * x).sum()),
            low=low,
            n_low=int((x == low).sum()),
            high=float(x.max(initial=-np.inf)),
            constant=(x == x[:1]).all(axis=0),
            first=x[0] if len(x) else np.full(x.shape[1], np.nan),
        )


@dataclass(frozen=True)
class Pool:
    """Figures of several files together, over the rows that are not at their ends."""

    mean: float
    std: float
    low: float
    high: float
    constant_rows: float  # share
    repeated: float | None  # the smallest value, if it occurs again and again

    @classmethod
    def of(cls, profiles: Sequence[Profile]) -> "Pool":
        """Take the figures of files that have rows and equally many bins."""
        n_rows = sum(p.rows for p in profiles)
        n = n_rows * len(profiles[0].first)
        mean = sum(p.total for p in profiles) / n
        low = min(p.low for p in profiles)
        return cls(
            mean,
            std=max(0.0, sum(p.squares for p in profiles) / n - mean**2) ** 0.5,
            low=low,
            high=max(p.high for p in profiles),
            constant_rows=sum(p.constant_rows for p in profiles) / n_rows,
            repeated=low if sum(p.n_low for p in profiles if p.low == low) >= REPEATS else None,
        )


def fits(pool: Pool, floor: float | None, applied: Normalised | None) -> bool:
    """Whether the values can be raw log-mel once this normalisation is undone."""
    low, high, mean = (undone(value, applied) for value in (pool.low, pool.high, pool.mean))
    if low < LOG_FLOOR - FLOOR_TOLERANCE or high > LARGEST:
        return False
    if floor is not None:
        return abs(undone(floor, applied) - LOG_FLOOR) < FLOOR_TOLERANCE
    std = pool.std * _scale(applied)
    return MEANS[0] < mean < MEANS[1] and DEVIATIONS[0] < std < DEVIATIONS[1]


def own_with_other_sign(pool: Pool, floor: float | None, factor: float) -> Normalised | None:
    """The statistics, if the collection's own were applied with the sign of the mean turned: x = (raw + m) / (k s).

    The floor f and the mean m of raw features are seen at a = (f + m) / (k s) and M = 2 m / (k s), so that
    m = f M / (2 a - M) and k s = 2 m / M.
    """
    if floor is None or pool.mean == 0 or 2 * floor == pool.mean:
        return None
    mean = LOG_FLOOR * pool.mean / (2 * floor - pool.mean)
    scale = 2 * mean / pool.mean
    if scale <= 0 or not 0.75 < pool.std * factor < 1.33:  # own statistics give a deviation of 1 / k
        return None
    own = Normalised(mean=round(-mean, 4), std=round(scale / factor, 4), factor=factor)
    plausible = MEANS[0] < mean < -1 and DEVIATIONS[0] < own.std < DEVIATIONS[1]
    return own if plausible and fits(pool, floor, own) else None


def undone(value: float, applied: Normalised | None) -> float:
    """A value with a normalisation undone; None for none."""
    return value if applied is None else value * _scale(applied) + applied.mean


def _scale(applied: Normalised | None) -> float:
    return 1.0 if applied is None else applied.factor * applied.std
