"""The drawn values of a run's figures on disk (`draws.npz`): intervals over several runs are made from these alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tymbal.errors import InputError
from tymbal.evaluate.bootstrap import Draws, draw_groups
from tymbal.files import atomic
from tymbal.runs import Run
from tymbal.seeds import derive


class Key(NamedTuple):
    """What a figure is of; fields as in `rows.MetricRow`."""

    metric: str
    class_name: str
    thresholds: str
    unit: str
    slice: str
    level: str


class Sample(NamedTuple):
    """What was drawn from: of one fold, the same for all models and seeds.

    Args:
        clip_ids: of the N test clips.
        groups: the group of each, N names.
        group: what the groups are, `recording` or `site-day`.
        n_draws: D.
    """

    clip_ids: list[str]
    groups: list[str]
    group: str
    n_draws: int


OF_FOLD = ("clip_ids", "groups")  # of a sample; the rest is the same in all folds of a data set


@dataclass(frozen=True)
class Drawn:
    """The figures of one run, and what they would have been with other groups of test clips.

    Args:
        keys: M.
        figures: [M, 1 + D] float32, the value first, NaN where undefined.
        sample: what was drawn from.
        levels: slice -> level of each clip, [N], "" where not known.
    """

    keys: list[Key]
    figures: np.ndarray
    sample: Sample
    levels: Mapping[str, np.ndarray] = field(default_factory=dict)


def draw(groups: Sequence[str], n_draws: int, dataset: str, fold: int, part: str) -> Draws:
    """Draw groups of one part of a fold: the same ones for every model and seed.

    Args:
        groups: the group of each clip, N names.
        n_draws: D.
        dataset: whose clips they are.
        fold: in which they are.
        part: of the fold, `val` or `test`.
    """
    known, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return Draws(group, draw_groups(len(known), n_draws, derive(0, "bootstrap", dataset, fold, part)))


def draw_together(runs: Sequence[tuple[Run, Sample]]) -> Draws:
    """Draw groups of the test clips of several runs of one data set, one after another, within each fold.

    Args:
        runs: with what is drawn from, which must be the same in all runs of a fold.
    """
    folds = {run.fold: draw(sample.groups, sample.n_draws, run.dataset, run.fold, "test") for run, sample in runs}
    first = np.cumsum([0, *(draws.counts.shape[1] for draws in folds.values())])
    begin = dict(zip(folds, first, strict=False))
    return Draws(
        np.concatenate([begin[run.fold] + folds[run.fold].group for run, _ in runs]),
        np.concatenate([draws.counts for draws in folds.values()], axis=1),
    )


def check_samples(samples: Mapping[Run, Sample]) -> None:
    """Verify that runs of a data set were drawn alike, and those of a fold scored on the same clips.

    Raises:
        InputError: the runs that differ from the first of their data set or fold.
    """
    first: dict[tuple[object, ...], Run] = {}
    problems = []
    for run, sample in samples.items():
        differ: dict[Run, list[str]] = {}
        for what in Sample._fields:
            fold = run.fold if what in OF_FOLD else None
            other = first.setdefault((what, run.dataset, fold), run)
            if getattr(sample, what) != getattr(samples[other], what):
                differ.setdefault(other, []).append(what)
        problems += [f"{run.folder}: other {', '.join(whats)} than {other.folder}" for other, whats in differ.items()]
    if problems:
        raise InputError.listing(
            "results that cannot be compared",
            problems,
            "some are of an older split or of older settings: delete metrics.json of each folder named, and run again",
        )


def write_drawn(drawn: Drawn, path: Path) -> None:
    """Write `draws.npz`; levels take two bytes a clip and slice."""
    sample = drawn.sample
    levels = np.array(list(drawn.levels.values()), dtype=str).reshape(len(drawn.levels), len(sample.clip_ids))
    names, codes = np.unique(levels, return_inverse=True)
    with atomic(path) as partial:
        np.savez(
            partial,
            keys=np.array(drawn.keys, dtype=str),
            values=drawn.figures,
            clip_ids=np.array(sample.clip_ids, dtype=str),
            groups=np.array(sample.groups, dtype=str),
            group=sample.group,
            n_draws=sample.n_draws,
            slices=np.array(list(drawn.levels), dtype=str),
            level_names=names,
            levels=codes.reshape(levels.shape).astype(np.int16),
        )


def read_sample(path: Path) -> Sample:
    """Read from `draws.npz` what was drawn from."""
    with np.load(path) as file:
        return _sample(file)


def read_drawn(path: Path) -> Drawn:
    """Read `draws.npz`; of an earlier version's, which has none, without levels."""
    with np.load(path) as file:
        keys = [Key(*key) for key in file["keys"].tolist()]
        levels = {}
        if "levels" in file:
            levels = dict(zip(file["slices"].tolist(), file["level_names"][file["levels"]], strict=True))
        return Drawn(keys, file["values"], _sample(file), levels)


def _sample(file: Mapping[str, np.ndarray]) -> Sample:
    return Sample(file["clip_ids"].tolist(), file["groups"].tolist(), str(file["group"]), int(file["n_draws"]))
