"""Figures of feature files, and which normalisation can have given them: what is undone must be raw log-mel."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tymbal.config.data import Normalised
from tymbal.spectrogram import LOG_FLOOR

REPEATS = 50  # the smallest value this often is a floor, not chance

# What raw log-mel can be. A sine of full scale, 1, reaches 9.6 at 16 kHz; samples may lie beyond full scale.
FLOOR_TOLERANCE = 0.1  # of the floor, undone: float16 and rounded settings
LARGEST = 25.0
MEANS = (-14.0, 6.5)
DEVIATIONS = (1.2, 8.0)
INT16 = 2 * math.log(2**15)  # what scaling samples to int16 adds

# What public recipes normalise features with.
PUBLISHED = {
    "those of AudioSet and LibriSpeech (SSAST), AudioSet (AST, EAT)": Normalised(mean=-4.2677393, std=4.5689974),
    "those of ESC-50 (SSAST)": Normalised(mean=-6.6268077, std=5.358466),
    "those of Speech Commands v2 (EAT)": Normalised(mean=-6.846, std=5.565),
    "those of a field collection of 60 s recordings": Normalised(mean=-7.4482, std=2.4689),
}
BEATS = Normalised(mean=15.41663, std=6.55582)  # of samples scaled to int16
OTHER_SIGN = "with the other sign of the mean"


@dataclass(frozen=True, eq=False)
class Profile:
    """Figures of one file, [T, F].

    Rows that hold one value in all bins are padding, or silence. Those at the end are apart.
    """

    name: str
    shape: tuple[int, ...]  # as in the file
    turned: bool  # the file holds [F, T]
    dtype: str
    trailing: int  # rows at the end
    trailing_value: float
    rows: int  # but for those at the end; what follows is of these
    constant_rows: int
    constant_values: tuple[float, ...]  # of these rows, each once
    low: float
    n_low: int  # how often `low` occurs
    high: float
    total: float  # this and what follows is without constant rows
    squares: float
    constant: np.ndarray  # [F], whether a bin has one value throughout
    first: np.ndarray  # [F], the first row

    @classmethod
    def of(cls, name: str, features: Tensor, n_mels: int, empty: Sequence[int]) -> "Profile":
        """Take the figures of a file's features.

        Args:
            name: of the file.
            features: [T, F], or [F, T], which is turned: if only then there are `n_mels` bins, or, of a square, only
                then the empty ones are constant.
            n_mels: F, as declared.
            empty: bins that are always constant at the declared rate.
        """
        shape = tuple(features.shape)
        x = features.double().numpy()
        turned = shape[0] == n_mels != shape[1]
        if shape == (n_mels, n_mels):
            turned = not _constant(x)[list(empty)].all() and bool(_constant(x.T)[list(empty)].all())
        if turned:
            x = x.T
        same = (x == x[:, :1]).all(axis=1) & (x[:, 0] == x[-1, 0])  # [T], rows of the value that the file ends with
        trailing = len(x) if same.all() else int(same[::-1].argmin())
        value, x = float(x[-1, 0]), x[: len(x) - trailing]
        low = float(x.min(initial=np.inf))
        varied = _varied(x)
        return cls(
            name,
            shape,
            turned,
            str(features.dtype).removeprefix("torch."),
            trailing,
            value,
            rows=len(x),
            constant_rows=len(x) - len(varied),
            constant_values=tuple(np.unique(x[(x == x[:, :1]).all(axis=1), 0]).tolist()),
            low=low,
            n_low=int((x == low).sum()),
            high=float(x.max(initial=-np.inf)),
            total=float(varied.sum()),
            squares=float((varied * varied).sum()),
            constant=_constant(x),
            first=varied[0] if len(varied) else np.full(x.shape[1], np.nan),
        )


def _varied(x: np.ndarray) -> np.ndarray:
    """The rows of [T, F] that do not hold one value in all bins."""
    return x[(x != x[:, :1]).any(axis=1)]


def _constant(x: np.ndarray) -> np.ndarray:
    """[F], whether a bin has one value in all these rows."""
    varied = _varied(x)
    return (varied == varied[:1]).all(axis=0)


@dataclass(frozen=True)
class Pool:
    """Figures of several files together, over the rows that are not at their ends."""

    mean: float  # this and std are without constant rows
    std: float
    low: float
    high: float
    constant_rows: float  # share
    repeated: float | None  # the smallest value, if it occurs again and again

    @classmethod
    def of(cls, profiles: Sequence[Profile]) -> "Pool":
        """Take the figures of files that have varied rows and equally many bins."""
        n_rows = sum(p.rows for p in profiles)
        n_constant = sum(p.constant_rows for p in profiles)
        n = (n_rows - n_constant) * len(profiles[0].first)
        mean = sum(p.total for p in profiles) / n
        low = min(p.low for p in profiles)
        return cls(
            mean,
            std=max(0.0, sum(p.squares for p in profiles) / n - mean**2) ** 0.5,
            low=low,
            high=max(p.high for p in profiles),
            constant_rows=n_constant / n_rows,
            repeated=low if sum(p.n_low for p in profiles if p.low == low) >= REPEATS else None,
        )


def fits(pool: Pool, floor: float | None, applied: Normalised | None) -> bool:
    """Whether the values can be raw log-mel once this normalisation is undone."""
    if not _within(pool, applied, LARGEST):
        return False
    mean = undone(pool.mean, applied)
    if floor is not None:
        return _on_floor(floor, applied) and mean < MEANS[1]
    return MEANS[0] < mean < MEANS[1] and _plausible(pool.std * _scale(applied))


def unlike(file: Profile, applied: Normalised | None) -> bool:
    """Whether the values of one file, without the padding at its end, can hardly be raw log-mel once undone."""
    pool = Pool.of([file])
    quiet = undone(pool.mean, applied) <= MEANS[0]  # then most values are on the floor
    return not (_within(pool, applied, LARGEST) if quiet else fits(pool, None, applied))


def of_int16(pool: Pool, floor: float | None, applied: Normalised | None) -> bool:
    """Whether the values can be log-mel of samples scaled to int16 once this normalisation is undone."""
    if not _within(pool, applied, LARGEST + INT16):
        return False
    seen = _plausible(pool.std * _scale(applied)) if floor is None else _on_floor(floor, applied)
    return seen and MEANS[1] < undone(pool.mean, applied) < MEANS[1] + INT16


def candidates(declared: Normalised | None, beside: Mapping[str, Normalised]) -> dict[str, Normalised | None]:
    """What may have been applied, by name: nothing, the statistics that are known, and these with the other sign."""
    named = {**({"those declared": declared} if declared else {}), **beside, **PUBLISHED}
    turned = {f"{name}, {OTHER_SIGN}": other_sign(stats) for name, stats in named.items()}
    return {"no normalisation": None, **named, **turned}


def mistaken(declared: Normalised | None) -> dict[str, Normalised | None]:
    """What may really have been applied where this is declared: what is easily mistaken for it, by name."""
    if declared is None:
        return {f"{name}, factor {k:g}": with_factor(s, k) for name, s in PUBLISHED.items() for k in (1.0, 2.0)}
    factors = {f"factor {k:g}": with_factor(declared, k) for k in (1.0, 2.0)}
    return {"the other sign of the mean": other_sign(declared), **factors, "no normalisation": None}


def other_sign(stats: Normalised) -> Normalised:
    """The same statistics with the mean turned."""
    return stats.model_copy(update={"mean": -stats.mean})


def with_factor(stats: Normalised, factor: float) -> Normalised:
    """The same statistics with this factor."""
    return stats.model_copy(update={"factor": factor})


def _within(pool: Pool, applied: Normalised | None, largest: float) -> bool:
    return undone(pool.low, applied) >= LOG_FLOOR - FLOOR_TOLERANCE and undone(pool.high, applied) <= largest


def _on_floor(value: float, applied: Normalised | None) -> bool:
    return abs(undone(value, applied) - LOG_FLOOR) < FLOOR_TOLERANCE


def _plausible(std: float) -> bool:
    return DEVIATIONS[0] < std < DEVIATIONS[1]


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
    plausible = MEANS[0] < mean < -1 and _plausible(own.std)
    return own if plausible and fits(pool, floor, own) else None


def undone(value: float, applied: Normalised | None) -> float:
    """A value with a normalisation undone; None for none."""
    return value if applied is None else value * _scale(applied) + applied.mean


def _scale(applied: Normalised | None) -> float:
    return 1.0 if applied is None else applied.factor * applied.std
