"""All checks of all that is planned, in one report."""

import logging
from collections.abc import Hashable, Mapping
from dataclasses import replace

from tymbal.config import Config
from tymbal.config.models import Frontend, Model
from tymbal.errors import InputError
from tymbal.plan import Plan
from tymbal.validate.data import DataSize, check_dataset
from tymbal.validate.estimate import Workload
from tymbal.validate.findings import Finding, Report
from tymbal.validate.model import Limits, job_findings, patch_findings, start_findings, time_findings, trial_findings
from tymbal.validate.pretraining import check_pretraining
from tymbal.validate.seeds import seed_findings
from tymbal.validate.starts import head_findings, heard_findings
from tymbal.validate.trial import Trial, try_model

log = logging.getLogger(__name__)


def check(config: Config, limits: Mapping[str, Limits]) -> Report:
    """Check every data set, pre-training and model that an experiment needs.

    Args:
        config: the checked configuration.
        limits: of a job of each rule that trains, by the rule's name.
    """
    plan = Plan(config)
    findings = job_findings(limits["finetune"])
    in_corpora = {dataset for run in plan.pretrains for dataset in plan.corpus_datasets(run.corpus)}
    sizes: dict[str, DataSize] = {}
    mixed = {source.dataset for name, source in plan.mixtures.items() if name in {*plan.datasets, *in_corpora}}
    for dataset in sorted({*plan.datasets, *in_corpora, *mixed}):
        found, sizes[dataset] = check_dataset(plan, dataset, limits["finetune"].threads)
        findings += found
    findings += check_pretraining(plan, sizes, limits["pretrain"])
    findings += heard_findings(plan)
    findings += seed_findings(plan)
    trials: dict[Hashable, Trial | Finding] = {}
    told: set[str] = set()
    for dataset, model in plan.pairs:
        settings, size = config.models[model], sizes[dataset]
        frontend = config.frontends[settings.frontend]
        area, key = f"model {model}", _shape(settings, frontend, size.n_classes)
        if key not in trials:
            log.info("trying one step of %s", model)
            try:
                trials[key] = try_model(settings, frontend, size.n_classes)
            except InputError as error:  # not kept itself, as it would keep the model
                trials[key] = Finding.of(error, area)
        trial = trials[key]
        if model not in told:  # once, although the number of classes may differ between data sets
            told.add(model)
            findings += start_findings(area, settings)
            findings += patch_findings(area, settings, frontend)
            findings += (
                trial_findings(area, settings, trial) if isinstance(trial, Trial) else [replace(trial, area=area)]
            )
        findings += _epoch_findings(f"{area} on {dataset}", settings, size)
        if isinstance(trial, Trial) and not trial.problems and size.n_train:
            work = _workload(settings, size, trial)
            findings += time_findings(f"{area} on {dataset}", settings, trial, work, limits["finetune"])
        if isinstance(trial, Trial):  # else the starting weights cannot be used at all, which is told
            findings += head_findings(f"{area} on {dataset}", settings, size.classes)
    return Report(tuple(findings))


def _epoch_findings(area: str, settings: Model, size: DataSize) -> list[Finding]:
    asked, n_train = settings.train.epoch_clips, size.subsets.get(settings.train.label_percent, 0)
    if asked is None or not n_train or asked < n_train:  # 0 where the split could not be made, which is told
        return []
    title = f"train.epoch_clips is {asked:,}, but there are {n_train:,} training clips to draw from"
    return [Finding("error", area, title, (), "leave it out, so that an epoch takes them all, or give fewer")]


def _workload(settings: Model, size: DataSize, trial: Trial) -> Workload:
    train = settings.train
    n_train = train.epoch_clips or max(1, size.subsets[train.label_percent])
    return Workload(n_train, size.n_val, train.batch_size, train.epochs, rounds=train.epochs, passes=trial.passes)


def _shape(settings: Model, frontend: Frontend, n_classes: int) -> Hashable:
    """Models of which this is equal need only one trial."""
    train = settings.train
    return settings.net, settings.init, train.loss, train.freeze_encoder, train.patchout, frontend, n_classes
