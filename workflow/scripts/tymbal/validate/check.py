"""All checks of all that is planned, in one report."""

import logging
from collections.abc import Hashable
from dataclasses import replace

from tymbal.config import Config, Model
from tymbal.errors import InputError
from tymbal.runs import Plan
from tymbal.validate.data import DataSize, check_dataset
from tymbal.validate.findings import Finding, Report
from tymbal.validate.model import Limits, Trial, job_findings, time_findings, trial_findings, try_model

log = logging.getLogger(__name__)


def check(config: Config, limits: Limits) -> Report:
    """Check every data set and model that an experiment uses.

    Args:
        config: the checked configuration.
        limits: of a training job.
    """
    plan = Plan(config)
    findings = job_findings(limits)
    sizes: dict[str, DataSize] = {}
    for dataset in plan.datasets:
        found, sizes[dataset] = check_dataset(plan, dataset, limits.threads)
        findings += found
    trials: dict[Hashable, Trial | Finding] = {}
    told: set[str] = set()
    for dataset, model in plan.pairs:
        settings, size = config.models[model], sizes[dataset]
        n_mels = config.frontends[settings.frontend].n_mels
        area, key = f"model {model}", _shape(settings, n_mels, size.n_classes)
        if key not in trials:
            log.info("trying one step of %s", model)
            try:
                trials[key] = try_model(settings, n_mels, size.n_classes)
            except InputError as error:  # not kept itself, as it would keep the model
                trials[key] = Finding.of(error, area)
        trial = trials[key]
        if model not in told:  # once, although the number of classes may differ between data sets
            told.add(model)
            findings += (
                trial_findings(area, settings, trial) if isinstance(trial, Trial) else [replace(trial, area=area)]
            )
        if isinstance(trial, Trial) and not trial.problems and size.n_train:
            n_train = max(1, size.subsets.get(settings.train.label_percent, size.n_train))
            findings += time_findings(f"{area} on {dataset}", settings, trial, n_train, size.n_val, limits)
    return Report(tuple(findings))


def _shape(settings: Model, n_mels: int, n_classes: int) -> Hashable:
    """Models of which this is equal need only one trial."""
    return settings.net, settings.init, settings.train.loss, n_mels, n_classes
