"""Checkpoints that planned models start from: have they, however long the chain, heard test clips; do heads fit."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tymbal.config.models import Model
from tymbal.errors import InputError
from tymbal.evaluate.starts import known_of_test_clips
from tymbal.models.heads import check_head
from tymbal.models.sources import read_source
from tymbal.plan import Plan
from tymbal.runs import PretrainRun, Run
from tymbal.validate.findings import Finding


def heard_findings(plan: Plan) -> list[Finding]:
    """What the cards of checkpoints say of the test clips of the models that start from them.

    Corpora of planned pre-trainings, and files that cannot be read, are told of elsewhere.

    Args:
        plan: the configuration and its runs.
    """
    users: defaultdict[str, list[Run]] = defaultdict(list)
    for run in plan.runs:
        if (path := _checkpoint(plan, run)) is not None:
            users[path].append(run)
    findings = []
    for path, runs in users.items():
        try:
            start = {"corpus": read_source(Path(path)).corpus}
        except InputError:
            continue
        models = sorted({run.model for run in runs})
        area = f"model{'s' * (len(models) > 1)} {', '.join(models)}"
        tests = sorted({(run.dataset, run.fold) for run in runs})
        states = {test: known_of_test_clips(start, *test) for test in tests}
        if heard := [f"{dataset}, fold {fold}" for (dataset, fold), is_ in states.items() if is_ == "transductive"]:
            title = f"{path} has heard test clips: scores of models made from it are transductive"
            remedy = "if new recordings are what counts, start from a checkpoint that was made without these test clips"
            findings.append(Finding("warning", area, title, tuple(heard), remedy))
        if unknown := sorted({dataset for (dataset, _), is_ in states.items() if is_ == "unknown"}):
            title = f"whether {path} has heard test clips of {', '.join(unknown)} is not known"
            findings.append(Finding("info", area, title))
    return findings


def head_findings(area: str, settings: Model, classes: Sequence[str] | None) -> list[Finding]:
    """Whether a head that a model keeps is of the data set's classes.

    Args:
        area: what to say it about.
        settings: of the model.
        classes: of the data set; None where they are not known before it is made.
    """
    if not settings.keep_head or classes is None:
        return []
    try:
        check_head(Path(str(settings.init)), settings, classes)
    except InputError as error:
        return [Finding.of(error, area)]
    return []


def _checkpoint(plan: Plan, run: Run) -> str | None:
    """The file that a run, or the first pre-training of its chain, starts from."""
    current: Run | PretrainRun = run
    while current in plan.starts:
        current = plan.starts[current]
    return next(iter(plan.init(current)), None)
