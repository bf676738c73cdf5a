"""What a planned corpus will hold: which clips are left for it, and how long they are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from tymbal.config.data import MadeSource
from tymbal.config.pretrain import Corpus, CorpusPart
from tymbal.errors import InputError
from tymbal.folds import clip_ids
from tymbal.plan import Plan
from tymbal.pretrain.check import MOST_CLIPS, SPREAD_CLIPS
from tymbal.pretrain.corpus import choose_clips
from tymbal.validate.clips import frames_of
from tymbal.validate.data import DataSize
from tymbal.validate.findings import Finding


@dataclass(frozen=True)
class PartSize:
    """One data set of a corpus.

    Attributes:
        dataset: its name.
        weight: how often an epoch takes each training clip.
        train: frames of the training clips.
        val: frames of the validation clips.
    """

    dataset: str
    weight: float
    train: np.ndarray
    val: np.ndarray

    @property
    def n_epoch(self) -> int:
        """Training clips that an epoch takes."""
        return round(self.weight * len(self.train))

    def without_short(self, fewest: int) -> "PartSize":
        """What is left without clips of fewer frames."""
        return replace(self, train=self.train[self.train >= fewest], val=self.val[self.val >= fewest])


@dataclass(frozen=True)
class CorpusSize:
    """How large a corpus is."""

    parts: tuple[PartSize, ...]

    @property
    def n_epoch(self) -> int:
        """Training clips that an epoch takes."""
        return sum(part.n_epoch for part in self.parts)

    @property
    def n_checked(self) -> int:
        """Clips that go through the encoder in a check: for the task, and some as they are."""
        n_val = [len(part.val) for part in self.parts]
        return sum(min(n, MOST_CLIPS) + min(n, SPREAD_CLIPS) for n in n_val)

    def frames(self, name: Literal["train", "val"]) -> np.ndarray:
        """Frames of the clips of all data sets."""
        return np.concatenate([getattr(part, name) for part in self.parts])

    def without_short(self, fewest: int) -> "CorpusSize":
        """What is left without clips of fewer frames."""
        return CorpusSize(tuple(part.without_short(fewest) for part in self.parts))


def check_corpus(
    plan: Plan, name: str, variants: list[str], sizes: Mapping[str, DataSize]
) -> tuple[list[Finding], dict[str, CorpusSize]]:
    """What is left of a corpus for each test that it must not see.

    Args:
        plan: the configuration and its runs.
        name: of the corpus in the configuration.
        variants: its names in paths, as planned.
        sizes: of all data sets.

    Returns:
        The findings, and how large each variant is; nothing of those that cannot be made.
    """
    area, settings = f"corpus {name}", plan.config.corpora[name]
    findings = []
    tested = sorted({run.dataset for run in plan.runs} & set(settings.datasets))
    if settings.transductive and tested:
        title = f"holds the test clips of {', '.join(tested)}: scores of models made from it are transductive"
        remedy = (
            "if new recordings are what counts, leave `transductive` out: test clips are then left out, fold by fold"
        )
        findings.append(Finding("warning", area, title, (), remedy))
    if not all(sizes[dataset].n_clips for dataset in settings.datasets):
        return findings, {}  # what is wrong with the data set is told already
    sources = plan.corpus_sources(name)
    needed = {*settings.datasets, *sources.values()}
    traits = {dataset: each for dataset in needed if (each := sizes[dataset].traits) is not None}
    if len(traits) < len(needed):
        return findings, dict.fromkeys(variants, _planned(plan, settings, sizes))
    known: dict[str, CorpusSize] = {}
    cases = []
    for variant in variants:
        try:
            clips, parts = choose_clips(settings, traits, _tests(plan, variant, sizes), sources)
        except InputError as error:
            findings.append(Finding.of(error, area if variant == name else f"corpus {variant}"))
            continue
        n_val = sum(part["n_val"] for part in parts)
        known[variant] = CorpusSize(tuple(_part_size(part, clips, traits[part.dataset]) for part in settings.parts))
        left_out = {f"{part['dataset']}, {why}": n for part in parts for why, n in part["excluded"].items() if n}
        told = "; ".join(f"{n:,} ({why})" for why, n in left_out.items()) or "none"
        n_train, hours = len(clips) - n_val, sum(part["hours"] for part in parts)
        cases.append(
            f"{variant}: {n_train:,} clips to train on and {n_val:,} to validate on, {hours:.4g} h; left out: {told}"
        )
    if len(cases) == 1:
        findings.append(Finding("info", area, cases[0].partition(": ")[2]))
    elif cases:
        findings.append(Finding("info", area, f"made {len(cases)} times, each without a test part", tuple(cases)))
    return findings, known


def _planned(plan: Plan, settings: Corpus, sizes: Mapping[str, DataSize]) -> CorpusSize:
    """Of a corpus with data that are not there yet, as large as it can be."""
    parts = []
    for part in settings.parts:
        source, traits = plan.config.datasets[part.dataset].source, sizes[part.dataset].traits
        if traits is not None:
            frames = frames_of(traits["duration_s"])
        else:
            assert isinstance(source, MadeSource)
            frames = frames_of(pd.Series([source.clip_s] * sizes[part.dataset].n_clips))
        n_val = max(1, round(settings.val * len(frames)))
        parts.append(PartSize(part.dataset, part.weight, frames[n_val:], frames[:n_val]))
    return CorpusSize(tuple(parts))


def _part_size(part: CorpusPart, clips: pd.DataFrame, traits: pd.DataFrame) -> PartSize:
    """Of a data set whose clips are chosen."""
    rows = clips[clips["dataset"] == part.dataset]
    frames = {
        name: frames_of(traits.loc[traits["clip_id"].isin(rows.loc[rows["part"] == name, "clip_id"]), "duration_s"])
        for name in ("train", "val")
    }
    return PartSize(part.dataset, part.weight, **frames)


def _tests(plan: Plan, variant: str, sizes: Mapping[str, DataSize]) -> pd.DataFrame:
    """Clips that a corpus must not hold, as far as their data sets could be read and split."""
    tables = [
        pd.DataFrame(columns=["dataset", "clip_id", "file", "name", "sha256", "recording", "recorded_at", "site"])
    ]
    for dataset, fold in plan.held_out(variant):
        traits, folds = sizes[dataset].traits, sizes[dataset].folds
        if traits is not None and folds is not None:
            ids = clip_ids(folds, fold, "test")
            tables.append(traits[traits["clip_id"].isin(ids)].assign(dataset=dataset))
    return pd.concat(tables, ignore_index=True)
