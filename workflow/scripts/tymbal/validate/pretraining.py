"""Planned pre-trainings: whether their settings suit their corpora, one real step of each, memory and time."""

import logging
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from tymbal.config.pretrain import LatentPretext, Pretraining
from tymbal.errors import InputError
from tymbal.plan import Plan
from tymbal.pretrain.masks import fewest_frames
from tymbal.pretrain.pretrain import MOST_STEPS
from tymbal.train.optim import warmup_steps
from tymbal.validate.clips import MOSTLY_PADDING
from tymbal.validate.corpus import CorpusSize, check_corpus
from tymbal.validate.data import DataSize
from tymbal.validate.estimate import Workload
from tymbal.validate.findings import Finding
from tymbal.validate.model import Limits, job_findings, patch_findings, time_findings, trial_findings
from tymbal.validate.trial import Trial, try_pretraining

log = logging.getLogger(__name__)

LONG_WARMUP = 0.5  # of all steps
RENEWALS = 4  # how often at least a teacher should be renewed


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
        found, known = check_corpus(plan, name, variants, sizes)
        findings += found
        corpora |= known
    for ssl in dict.fromkeys(run.ssl for run in plan.pretrains):
        own = {run.corpus: corpora[run.corpus] for run in plan.pretrains if run.ssl == ssl and run.corpus in corpora}
        findings += _check_one(plan, ssl, own, limits)
    return findings


def _check_one(plan: Plan, ssl: str, corpora: Mapping[str, CorpusSize], limits: Limits) -> Iterator[Finding]:
    """One pre-training; in steps and time on the largest of its corpora, as far as they are known."""
    area, settings = f"pre-training {ssl}", plan.config.pretraining[ssl]
    frontend = plan.config.frontends[settings.frontend]
    fewest = fewest_frames(settings.net.patch, frontend.n_mels)
    left = {name: size.without_short(fewest) for name, size in corpora.items()}
    errors = [*_short_errors(area, fewest, left), *_epoch_errors(area, settings, left)]
    yield from errors
    yield from patch_findings(area, settings, frontend)
    largest = max(left, key=lambda name: left[name].n_epoch, default=None)
    if largest is not None:
        yield from _length_findings(area, settings, fewest, corpora[largest])
    log.info("trying one step of %s", area)
    try:
        trial = try_pretraining(settings, frontend)
    except InputError as error:
        yield Finding.of(error, area)
        return
    yield from trial_findings(area, settings, trial)
    yield from _stage_findings(area, settings)
    if largest is None or errors:
        return
    work = _workload(settings, left[largest], trial)
    yield from _warmup_findings(area, settings, left[largest])
    yield from _teacher_findings(area, settings, left[largest])
    if not trial.problems:
        yield from time_findings(area, settings, trial, work, limits)


def _short_errors(area: str, fewest: int, left: Mapping[str, CorpusSize]) -> Iterator[Finding]:
    """Parts of corpora of which nothing is left, as in the run."""
    parts: dict[Literal["train", "val"], str] = {"train": "training", "val": "validation"}
    cases = tuple(
        f"{name}: all {told} clips"
        for name, size in left.items()
        for part, told in parts.items()
        if not len(size.frames(part))
    )
    if cases:
        title = f"all clips of a part are shorter than {fewest} frames, too short to mask anything"
        yield Finding("error", area, title, cases, "make net.patch smaller, or give the corpus longer clips")


def _epoch_errors(area: str, settings: Pretraining, left: Mapping[str, CorpusSize]) -> Iterator[Finding]:
    """Epochs without a step, and data sets without a clip in an epoch, as in the run."""
    size = _step_clips(settings)
    few = tuple(f"{name}: {corpus.n_epoch:,} clips" for name, corpus in left.items() if 0 < corpus.n_epoch < size)
    if few:
        title = f"an epoch takes fewer clips than the {size:,} of one optimiser step"
        remedy = "lower train.batch_size or train.accumulate, or raise the weights of the corpus's parts"
        yield Finding("error", area, title, few, remedy)
    none = tuple(
        f"{name}: {part.dataset}, {len(part.train)} clips of weight {part.weight:g}"
        for name, corpus in left.items()
        for part in corpus.parts
        if len(part.train) and not part.n_epoch
    )
    if none:
        remedy = "raise their weight in the corpus"
        yield Finding("error", area, "data sets that give no clip to an epoch", none, remedy)


def _step_clips(settings: Pretraining) -> int:
    return settings.train.batch_size * settings.train.accumulate


def _workload(settings: Pretraining, size: CorpusSize, trial: Trial) -> Workload:
    """As `EpochPlan` counts steps, and the pre-training the checks."""
    train = settings.train
    n_steps = size.n_epoch // _step_clips(settings)
    per_round = min(train.check_every or min(n_steps, MOST_STEPS), n_steps * train.epochs)
    rounds = train.epochs * n_steps / per_round
    n_train = n_steps * _step_clips(settings)
    return Workload(n_train, size.n_checked, train.batch_size, train.epochs, rounds, trial.passes)


def _warmup_findings(area: str, settings: Pretraining, size: CorpusSize) -> Iterator[Finding]:
    train = settings.train
    n_steps = _n_steps(settings, size)
    if warmup_steps(train.schedule, n_steps) > LONG_WARMUP * n_steps:
        given = train.schedule.warmup_steps
        title = f"the learning rate still rises after half of the {n_steps:,} steps (warmup_steps {given:,})"
        remedy = (
            "plan more epochs or smaller batches, or give train.schedule.warmup_steps, a tenth of the steps or less"
        )
        yield Finding("warning", area, title, (), remedy)


def _stage_findings(area: str, settings: Pretraining) -> Iterator[Finding]:
    """Mixtures are learnt by an encoder that has learnt single clips."""
    pretext = settings.pretext
    if isinstance(pretext, LatentPretext) and pretext.stage == 2 and settings.init == "scratch":
        title = "pretext.stage 2 with init scratch: targets are those of a random teacher on mixtures"
        remedy = "give `init` a pre-training of stage 1 or a checkpoint of EAT, as SSLAM's authors do"
        yield Finding("warning", area, title, (), remedy)


def _teacher_findings(area: str, settings: Pretraining, size: CorpusSize) -> Iterator[Finding]:
    """A teacher that takes in a share of the student at each step is renewed once in as many steps as make 1."""
    pretext, n_steps = settings.pretext, _n_steps(settings, size)
    if not isinstance(pretext, LatentPretext):
        return
    start = pretext.teacher.start
    if (1 - start) * n_steps < RENEWALS:
        title = f"in {n_steps:,} steps, a teacher that keeps {start:g} of itself at each hardly learns"
        remedy = f"plan more epochs or smaller batches, or lower pretext.teacher.start (now {start:g}) and end"
        yield Finding("warning", area, title, (), remedy)


def _n_steps(settings: Pretraining, size: CorpusSize) -> int:
    """Optimiser steps, as `EpochPlan` counts them."""
    return settings.train.epochs * (size.n_epoch // _step_clips(settings))


def _length_findings(area: str, settings: Pretraining, fewest: int, size: CorpusSize) -> Iterator[Finding]:
    """How clips fit the length that the encoder sees; padding is that of the training clips."""
    seen, left = settings.net.n_frames, size.without_short(fewest)
    n_short = sum(len(size.frames(part)) - len(left.frames(part)) for part in ("train", "val"))
    if n_short:
        title = f"clips shorter than {fewest} frames, too short to mask anything, which are left out: {n_short:,}"
        yield Finding("warning", area, title)
    frames = left.frames("train")
    if not len(frames):
        return
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
