"""All checks of all that is planned, in one report."""

import logging
from collections.abc import Hashable, Mapping
from dataclasses import replace

from tymbal.config import Config
from tymbal.config.models import Frontend, Model
from tymbal.errors import InputError
from tymbal.plan import Plan
from tymbal.validate.data import DataSize, check_dataset
from tymbal.validate.estimate import FROZEN, TRAINING, Workload
from tymbal.validate.findings import Finding, Report
from tymbal.validate.model import Limits, job_findings, start_findings, time_findings, trial_findings
from tymbal.validate.pretraining import check_pretraining
from tymbal.validate.seeds import seed_findings
from tymbal.validate.starts import heard_findings
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
    for dataset in sorted({*plan.datasets, *in_corpora}):
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
            findings += (
                trial_findings(area, settings, trial) if isinstance(trial, Trial) else [replace(trial, area=area)]
            )
        if isinstance(trial, Trial) and not trial.problems and size.n_train:
            work = _workload(settings, size)
            findings += time_findings(f"{area} on {dataset}", settings, trial, work, limits["finetune"])
    return Report(tuple(findings))


def _workload(settings: Model, size: DataSize) -> Workload:
    train = settings.train
    n_train = max(1, size.subsets[train.label_percent])
    passes = FROZEN if train.freeze_encoder else TRAINING
    return Workload(n_train, size.n_val, train.batch_size, train.epochs, rounds=train.epochs, passes=passes)


def _shape(settings: Model, frontend: Frontend, n_classes: int) -> Hashable:
    """Models of which this is equal need only one trial."""
    train = settings.train
    return settings.net, settings.init, train.loss, train.freeze_encoder, frontend, n_classes
