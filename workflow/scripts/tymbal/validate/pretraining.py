"""Planned pre-trainings: what is left of their corpora, one real step of each, memory and time."""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tymbal.config.pretrain import Corpus, Pretraining
from tymbal.errors import InputError
from tymbal.folds import clip_ids
from tymbal.plan import Plan
from tymbal.pretrain.corpus import choose_clips
from tymbal.pretrain.masks import fewest_frames
from tymbal.validate.clips import MOSTLY_PADDING, frames_of
from tymbal.validate.data import DataSize
from tymbal.validate.findings import Finding
from tymbal.validate.model import Limits, job_findings, time_findings, trial_findings
from tymbal.validate.trial import try_pretraining

log = logging.getLogger(__name__)

LONG_WARMUP = 0.5  # of all steps


@dataclass(frozen=True)
class CorpusSize:
    """How large a corpus is.

    Attributes:
        n_epoch: training clips that an epoch takes, by the weights of the parts.
        n_val: validation clips.
        duration_s: of the training clips; empty if they are still to be synthesised.
    """

    n_epoch: int
    n_val: int
    duration_s: pd.Series


def check_pretraining(plan: Plan, sizes: Mapping[str, DataSize], limits: Limits) -> list[Finding]:
    """Check everything that is planned to be pre-trained, and what it is pre-trained on.

    Args:
        plan: the configuration and its runs.
        sizes: of all data sets that are tested on or part of a corpus.
        limits: of a job of rule pretrain.
    """
    if not plan.pretrains:
        return []
    findings = job_findings(limits)
    corpora: dict[str, CorpusSize] = {}
    for name in dict.fromkeys(plan.corpus_name(run.corpus) for run in plan.pretrains):
        variants = list(dict.fromkeys(run.corpus for run in plan.pretrains if plan.corpus_name(run.corpus) == name))
        found, known = _check_corpus(plan, name, variants, sizes)
        findings += found
        corpora |= known
    for ssl in dict.fromkeys(run.ssl for run in plan.pretrains):
        own = [corpora[run.corpus] for run in plan.pretrains if run.ssl == ssl and run.corpus in corpora]
        findings += _check_one(plan, ssl, max(own, key=lambda size: size.n_epoch, default=None), limits)
    return findings


def _check_corpus(
    plan: Plan, name: str, variants: list[str], sizes: Mapping[str, DataSize]
) -> tuple[list[Finding], dict[str, CorpusSize]]:
    """What is left of a corpus for each test that it must not see.

    Args:
        plan: the configuration and its runs.
        name: of the corpus in the configuration.
        variants: its names in paths, as planned.
        sizes: of all data sets.
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
    traits = {dataset: each for dataset in settings.datasets if (each := sizes[dataset].traits) is not None}
    if len(traits) < len(settings.datasets):
        return findings, dict.fromkeys(variants, _planned(settings, sizes))
    known: dict[str, CorpusSize] = {}
    cases = []
    for variant in variants:
        try:
            clips, parts = choose_clips(settings, traits, _tests(plan, variant, sizes))
        except InputError as error:
            findings.append(Finding.of(error, area if variant == name else f"corpus {variant}"))
            continue
        n_val = sum(part["n_val"] for part in parts)
        n_epoch = sum(round(part["weight"] * part["n_train"]) for part in parts)
        known[variant] = CorpusSize(n_epoch, n_val, _durations(clips, sizes))
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


def _planned(settings: Corpus, sizes: Mapping[str, DataSize]) -> CorpusSize:
    """Of a corpus with data that are not there yet, as large as it can be."""
    n_val = sum(round(settings.val * sizes[part.dataset].n_clips) for part in settings.parts)
    n_epoch = sum(round(part.weight * (1 - settings.val) * sizes[part.dataset].n_clips) for part in settings.parts)
    return CorpusSize(n_epoch, n_val, pd.Series(dtype=float))


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


def _durations(clips: pd.DataFrame, sizes: Mapping[str, DataSize]) -> pd.Series:
    """Seconds of the training clips."""
    train = clips[clips["part"] == "train"]
    found = []
    for dataset, rows in train.groupby("dataset"):
        traits = sizes[str(dataset)].traits
        assert traits is not None
        found.append(traits.loc[traits["clip_id"].isin(rows["clip_id"]), "duration_s"])
    return pd.concat(found)


def _check_one(plan: Plan, ssl: str, size: CorpusSize | None, limits: Limits) -> Iterator[Finding]:
    """One pre-training, on the largest of its corpora if this is known."""
    area, settings = f"pre-training {ssl}", plan.config.pretraining[ssl]
    frontend = plan.config.frontends[settings.frontend]
    if size is not None:
        yield from _step_findings(area, settings, size)
        yield from _length_findings(area, settings, frontend.n_mels, size)
    log.info("trying one step of %s", area)
    try:
        trial = try_pretraining(settings, frontend)
    except InputError as error:
        yield Finding.of(error, area)
        return
    yield from trial_findings(area, settings, trial)
    if size is None or trial.problems:
        return
    # A check goes through the encoder twice: for the task, and for what it makes of whole clips.
    n_val = 2 * size.n_val * _checks(settings, size)
    yield from time_findings(area, settings, trial, size.n_epoch, round(n_val), limits)


def _steps(settings: Pretraining, size: CorpusSize) -> float:
    """Optimiser steps in an epoch."""
    return max(1, size.n_epoch // settings.train.batch_size) / settings.train.accumulate


def _checks(settings: Pretraining, size: CorpusSize) -> float:
    """Checks in an epoch."""
    return _steps(settings, size) / settings.train.check_every if settings.train.check_every else 1


def _step_findings(area: str, settings: Pretraining, size: CorpusSize) -> Iterator[Finding]:
    train = settings.train
    n_steps, warmup = math.ceil(train.epochs * _steps(settings, size)), train.schedule.warmup_steps
    if warmup > LONG_WARMUP * n_steps:
        title = f"the learning rate still rises after half of the {n_steps:,} steps (warmup_steps {warmup:,})"
        remedy = (
            "plan more epochs or smaller batches, or give train.schedule.warmup_steps, a tenth of the steps or less"
        )
        yield Finding("warning", area, title, (), remedy)
    if size.n_epoch < train.batch_size:
        title = f"batch_size {train.batch_size}, but an epoch takes {size.n_epoch} clips"
        yield Finding("warning", area, title, (), "give a smaller batch_size, or larger weights to the corpus's parts")


def _length_findings(area: str, settings: Pretraining, n_mels: int, size: CorpusSize) -> Iterator[Finding]:
    """How the training clips fit the length that the encoder sees."""
    if size.duration_s.empty:
        return
    seen, fewest = settings.net.n_frames, fewest_frames(settings.net.patch, n_mels)
    frames = frames_of(size.duration_s)
    if n_short := int((frames < fewest).sum()):
        title = f"clips shorter than {fewest} frames, too short to mask anything, which are left out: {n_short:,}"
        yield Finding("warning", area, title)
    padding = float(np.mean(np.maximum(0, seen - frames) / seen))
    longer = float(np.mean(frames > seen))
    title = f"{100 * padding:.0f} % padding; {100 * longer:.2g} % of the clips are cropped at random to {seen} frames"
    if padding > MOSTLY_PADDING:
        remedy = (
            f"the longest clip has {int(frames.max())} frames; a lower net.n_frames makes the task that of the clips"
        )
        yield Finding("warning", area, title, (), remedy)
    else:
        yield Finding("info", area, title)
