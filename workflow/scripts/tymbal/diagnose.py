"""What imported features look like, held against what is declared of them.

A feature file does not say at which rate it was computed, whether it is normalised, or what its padding is. The numbers
tell. A mel filter too narrow to hold an FFT point is empty, and its bin is always on the log floor, ln(2^-23) =
-15.94; which filters are empty depends on the rate (of 128: number 3 at 16 kHz, four at 8 kHz, none from 22.05 kHz).
So the constant bins give the rate away, and the value they hold must become -15.94 when the normalisation is undone.
Where no filter is empty, digital silence shows the floor: it is then the smallest value, and occurs again and again.
Without it some declarations can be told from others only in part; what is in doubt is a warning.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from tymbal.config.data import SIDE_FILE, Features, Normalised
from tymbal.errors import InputError
from tymbal.fbank import empty_filters
from tymbal.imported import load, near, read_side_file
from tymbal.profile import (
    BEATS,
    DEVIATIONS,
    FLOOR_TOLERANCE,
    OTHER_SIGN,
    Pool,
    Profile,
    candidates,
    fits,
    mistaken,
    of_int16,
    own_with_other_sign,
    undone,
    unlike,
)
from tymbal.spectrogram import LOG_FLOOR

SAMPLE = 200  # files looked at
ALIKE = 0.02  # deviation of the files' means, in deviations of all values
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000, 256000, 384000)  # Hz

Verdict = Literal[
    "raw",
    "normalised with the declared statistics",
    "normalised with other statistics",
    "normalised with the wrong sign of the mean",
    "computed from samples scaled to int16",
    "transposed",
    "other number of mel bins",
    "other sample rate",
    "other padding",
    "files of several kinds",
    "unknown",
]


@dataclass(frozen=True)
class Diagnosis:
    """What features are.

    Attributes:
        verdict: the most important finding.
        lines: what was seen, for people.
        problems: where it contradicts the declaration, and what would explain it; empty if the features may be
            imported.
        warnings: what cannot be told, and so is taken from the declaration.
    """

    verdict: Verdict
    lines: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Notes:
    """What is found on the way; what contradicts the declaration with its verdict, the most important first."""

    lines: list[str] = field(default_factory=list)
    problems: list[tuple[Verdict, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def conclude(self, otherwise: Verdict) -> Diagnosis:
        """The diagnosis; `otherwise` is the verdict if nothing contradicts the declaration or leaves it in doubt."""
        verdict = self.problems[0][0] if self.problems else "unknown" if self.warnings else otherwise
        problems = tuple(text for _, text in self.problems)
        return Diagnosis(verdict, (*self.lines, f"verdict: {verdict}"), problems, tuple(self.warnings))


def diagnose(paths: Sequence[Path], features: Features, n: int = SAMPLE) -> Diagnosis:
    """Look at some feature files and compare them with the declaration.

    Files that cannot be read are counted and left out: they are problems of their own.

    Args:
        paths: all files; some, evenly spread, are read.
        features: what is declared of them.
        n: how many are read.
    """
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(n, len(paths))).round().astype(int))]
    empty = empty_filters(features.sample_rate, features.n_mels)
    profiles, unreadable = [], []
    for path in chosen:
        try:
            profiles.append(Profile.of(path.name, load(path), features.n_mels, empty))
        except InputError as error:
            unreadable.append(f"{path.name} {error}")
    notes = Notes([f"files looked at: {len(profiles)} of {len(paths)}"])
    if unreadable:
        notes.lines.append(f"{len(unreadable)} more cannot be read, such as {unreadable[0]}")
    beside = {}
    for folder in sorted({path.parent for path in chosen}):
        conf = read_side_file(folder)
        if conf is not None:
            notes.lines.append(f"{folder.name}/{SIDE_FILE}: {conf}")
            if conf.mean is not None and conf.std:
                stats = Normalised(mean=conf.mean, std=abs(conf.std), factor=_factor(features))
                beside[f"those in {folder.name}/{SIDE_FILE}"] = stats
    return judge(profiles, features, beside, notes)


def judge(profiles: Sequence[Profile], features: Features, beside: Mapping[str, Normalised], notes: Notes) -> Diagnosis:
    """Compare the figures of files with the declaration.

    Args:
        profiles: of the files.
        features: what is declared of them.
        beside: statistics, by name, that they may have been normalised with, apart from the published ones.
        notes: what is known before; more is noted here.
    """
    _shapes(profiles, features, notes)
    profiles = [p for p in profiles if len(p.first) == features.n_mels]
    lively = [p for p in profiles if not p.constant.all()]
    if not lively:
        if not notes.problems:
            notes.warnings.append("none of the files looked at can be read and has more than silence or padding")
        return notes.conclude("unknown")
    pool = Pool.of(lively)
    notes.lines.append(
        f"frames: mean {pool.mean:.4f}, std {pool.std:.4f}, smallest {pool.low:.4f}, largest {pool.high:.4f}; "
        f"{pool.constant_rows:.1%} of them hold one value in all bins"
    )
    empty = _rate(lively, features, notes)
    floor = _floor(lively, pool, empty, notes)
    applied = _normalisation(lively, pool, floor, features, beside, notes)
    _padding(profiles, floor, features, applied, notes)
    return notes.conclude("normalised with the declared statistics" if features.normalised else "raw")


def _shapes(profiles: Sequence[Profile], features: Features, notes: Notes) -> None:
    shapes = Counter(f"{p.dtype} {list(p.shape)}" for p in profiles)
    notes.lines.append("shapes: " + ", ".join(f"{shape} in {k} files" for shape, k in shapes.most_common(3)))
    turned = [p for p in profiles if p.turned]
    others = [p for p in profiles if len(p.first) != features.n_mels]
    kinds: tuple[tuple[Verdict, list[Profile]], ...] = (("transposed", turned), ("other number of mel bins", others))
    for verdict, files in kinds:
        if files:
            expected = f"expected [frames, {features.n_mels} mel bins]"
            notes.problems.append((verdict, f"{verdict}: {_some(files, profiles)} {list(files[0].shape)}, {expected}"))


def _rate(lively: Sequence[Profile], features: Features, notes: Notes) -> tuple[int, ...]:
    """The empty filters of the rate that the features are of, as far as can be told."""
    filters = {rate: empty_filters(rate, features.n_mels) for rate in (features.sample_rate, *RATES)}
    declared = filters[features.sample_rate]
    notes.lines.append(f"bins that always hold one value: {list(_constant(lively))}; declared rate: {list(declared)}")
    stray = [p for p in lively if not p.constant[list(declared)].all()]
    seen = _constant(stray or lively)
    fitting = [str(rate) for rate in sorted(filters) if filters[rate] == seen != declared]
    if not stray and not (seen and fitting):
        return declared
    verdict: Verdict = "files of several kinds" if 0 < len(stray) < len(lively) else "other sample rate"
    problem = (
        f"not of {features.sample_rate} Hz: there the bins {list(declared)} always hold one value, but {list(seen)} do "
        f"in {_some(stray or lively, lively)}; rates that would explain it: {', '.join(fitting) or 'none known'}"
    )
    notes.problems.append((verdict, problem))
    return seen if fitting else ()


def _constant(files: Sequence[Profile]) -> tuple[int, ...]:
    """Bins that are constant in all files, without the highest, in which there may be no sound."""
    constant = np.all([p.constant for p in files], axis=0)
    top = int(np.flatnonzero(~constant).max(initial=0))
    return tuple(np.flatnonzero(constant[:top]).tolist())


def _floor(lively: Sequence[Profile], pool: Pool, empty: tuple[int, ...], notes: Notes) -> float | None:
    """The value on which the log floor lies in the files, if it is seen."""
    if not empty:
        return pool.repeated
    found = sorted((float(p.first[empty[0]]), p.name) for p in lively if p.constant[empty[0]])
    middle = found[len(found) // 2][0]
    if all(near(value, middle) for value, _ in found):
        return middle
    kinds = [found[:1]]
    for one in found[1:]:
        if near(one[0], kinds[-1][0][0]):
            kinds[-1].append(one)
        else:
            kinds.append([one])
    told = "; ".join(f"{kind[0][0]:.4f} in {len(kind)} files, such as {kind[0][1]}" for kind in kinds[:4])
    if len(kinds) > 4:
        told += f"; and so on to {found[-1][0]:.4f}, as if each file were normalised with statistics of its own"
    problem = f"not all normalised alike: bin {empty[0]}, which always holds the log floor, holds {told}"
    notes.problems.append(("files of several kinds", problem))
    return None


def _normalisation(
    lively: Sequence[Profile],
    pool: Pool,
    floor: float | None,
    features: Features,
    beside: Mapping[str, Normalised],
    notes: Notes,
) -> Normalised | None:
    """What was applied, as far as can be told; None for raw log-mel."""
    declared = features.normalised
    if floor is not None:
        notes.lines.append(
            f"log floor: {floor:.4f}, with the declared normalisation undone {undone(floor, declared):.2f}"
        )
    if any(verdict == "files of several kinds" for verdict, _ in notes.problems):
        return declared
    strays = [p for p in lively if unlike(p, declared)]
    rest = [p for p in lively if p not in strays]
    told = f"{_some(strays, lively)} do not look like log-mel with {_yaml(declared)} undone" if strays else ""
    if fits(pool, floor, declared):
        notes.warnings.extend([told] if strays else [])
        if floor is None:
            _doubt(lively, pool, declared, notes)
        if declared is not None and declared.mean > 0 and not notes.warnings:
            notes.lines.append("the mean was applied with the wrong sign; declared as it is, it is undone")
        return declared
    if strays and len(rest) > len(strays) and fits(others := Pool.of(rest), others.repeated, declared):
        notes.problems.append(("files of several kinds", f"{told}, but the others do"))
        return declared
    return _explanation(pool, floor, features, beside, notes)


def _doubt(lively: Sequence[Profile], pool: Pool, declared: Normalised | None, notes: Notes) -> None:
    """Without the log floor the numbers confirm a declaration only as far as nothing else fits as well."""
    others = [name for name, s in mistaken(declared).items() if s != declared and fits(pool, None, s)]
    unseen = "cannot be told from these numbers, as the log floor is not seen"
    if others:
        notes.warnings.append(f"whether {_yaml(declared)} is right {unseen}; {' or '.join(others)} would fit as well")
    if declared and len(lively) > 1 and np.std([Pool.of([p]).mean for p in lively]) < ALIKE * pool.std:
        notes.warnings.append(
            f"whether all files are normalised with the same statistics {unseen}; their means are so alike that "
            "statistics of each file's own would fit as well"
        )


def _explanation(
    pool: Pool, floor: float | None, features: Features, beside: Mapping[str, Normalised], notes: Notes
) -> Normalised | None:
    """What was applied instead of what is declared, as far as can be told."""
    declared = features.normalised
    fitting = {name: s for name, s in candidates(declared, beside).items() if fits(pool, floor, s)}
    for scaled in () if fitting else (declared, None, BEATS, *beside.values()):
        if of_int16(pool, floor, scaled):
            problem = (
                f"computed from samples scaled to int16, as BEATs does (mean {undone(pool.mean, scaled):.2f} with "
                f"{_yaml(scaled)} undone); they cannot be imported as Kaldi log-mel of samples in [-1, 1]"
            )
            notes.problems.append(("computed from samples scaled to int16", problem))
            return scaled
    if not fitting and (own := own_with_other_sign(pool, floor, _factor(features))) is not None:
        fitting = {f"the files' own, {OTHER_SIGN}": own}

    best = next(iter(fitting.values()), declared)
    told = " or ".join(f"{_yaml(stats)} ({name})" for name, stats in fitting.items()) or "no statistics known"
    verdict: Verdict = "unknown"
    if fitting and best is None:
        verdict = "raw"
    elif fitting or pool.std < DEVIATIONS[0]:
        # The right sign gives a mean of about 0, the wrong one of 2 mean / (factor std).
        wrong = best.mean > 0 if fitting and best is not None else pool.mean < -1.5
        verdict = "normalised with the wrong sign of the mean" if wrong else "normalised with other statistics"
    if not fitting and floor is not None:
        told += f"; of the right ones, mean + ({floor:.4f} x factor x std) is {LOG_FLOOR:.4f}"
    seen = f"mean {pool.mean:.2f}, std {pool.std:.2f}, values {pool.low:.2f} to {pool.high:.2f}"
    looks = "of an unknown kind" if verdict == "unknown" else verdict
    problem = f"declared is {_yaml(declared)}, but the features look {looks} ({seen}); what would explain it: {told}"
    notes.problems.append((verdict, problem))
    return best


def _padding(
    profiles: Sequence[Profile],
    floor: float | None,
    features: Features,
    applied: Normalised | None,
    notes: Notes,
) -> None:
    def silent(value: float) -> bool:
        on_floor = floor is not None and near(value, floor)
        ways = (features.normalised, applied)
        return on_floor or any(abs(undone(value, way) - LOG_FLOOR) < FLOOR_TOLERANCE for way in ways)

    declared = features.padding
    ended = [p for p in profiles if p.trailing]
    padded = [p for p in ended if declared is not None and near(p.trailing_value, declared)]
    others = [p for p in ended if p not in padded and not silent(p.trailing_value)]
    rows = sum(p.trailing for p in (*padded, *others)) / sum(p.rows + p.trailing for p in profiles)
    notes.lines.append(f"files that end in padding: {len(padded) + len(others)}, {rows:.0%} of all rows")
    if others:
        value, _ = Counter(float(f"{p.trailing_value:.5g}") for p in others).most_common(1)[0]
        files = [p for p in others if near(p.trailing_value, value)]
        problem = (
            f"declared is padding: {_null(declared)}, but rows of {value:g} are at the end of {_some(files, profiles)}"
        )
        if value != 0 and abs(undone(value, applied)) < FLOOR_TOLERANCE:
            problem += "; it is what normalising makes of padding with 0"
        notes.problems.append(("other padding", problem))
    within = [(p, value) for p in profiles for value in p.constant_values if not silent(value)]
    if within:
        files = list(dict.fromkeys(p for p, _ in within))
        problem = (
            f"padding not at the end: rows of {within[0][1]:g} are at the beginning of or within "
            f"{_some(files, profiles)}; only padding at the end is taken off"
        )
        notes.problems.append(("other padding", problem))


def _factor(features: Features) -> float:
    return features.normalised.factor if features.normalised else 2.0


def _some(files: Sequence[Profile], of: Sequence[Profile]) -> str:
    return f"{len(files)} of {len(of)} files, such as {files[0].name}"


def _yaml(applied: Normalised | None) -> str:
    """As the settings have it."""
    if applied is None:
        return "normalised: null"
    return f"normalised: {{mean: {applied.mean:g}, std: {applied.std:g}, factor: {applied.factor:g}}}"


def _null(value: float | None) -> str:
    return "null" if value is None else f"{value:g}"
