"""The configuration, checked before anything else, and the plan made from it that all rule files look things up in."""

import sys
from functools import partial
from pathlib import Path

sys.path.append(str(Path(workflow.basedir) / "workflow" / "scripts"))

from tymbal import needs
from tymbal.config import load
from tymbal.errors import InputError
from tymbal.files import sha256
from tymbal.launch import image_of
from tymbal.preflight import (
    CORES,
    TRAINING,
    check_rule_names,
    container_image,
    mount_folders,
    preflight,
    training_limits,
)
from tymbal.provenance import code_digest
from tymbal.report.catalog import FIGURES
from tymbal.plan import Plan
from tymbal.smk import pretrain_run_of, run_of

# Else Snakemake would mount it a second time in containers; scripts find the package beside them.
sys.path.pop()

try:
    plan = Plan(load(config))
    mount_folders(workflow, plan.config)
except InputError as error:
    raise WorkflowError(str(error)) from None

if plan.absent:
    logger.info(
        f"Not there yet: {', '.join(plan.absent)}. To get what is not there, the same command with the target `download`."
    )

asked = partial(needs.asked, plan)
NEVER = "(?!)"
# What is predicted changes nothing of trainings and their reports.
OF_PREDICTION = {"recordings", "model", "predict"}
DATASETS = "|".join(plan.config.datasets)
CORPORA = "|".join(plan.config.corpora) or NEVER
if plan.config.corpora:
    CORPORA = (
        f"(?:{CORPORA})(?:-without-(?:{'|'.join(plan.config.datasets)})-fold[0-9]+)?"
    )


def made(pattern):
    """Nothing for a partial report, which takes data, pre-trainings and runs as they are: rules that only tell of them
    set their own constraints."""
    return NEVER if plan.config.partial else pattern


def of_season(*names):
    """Results of the prediction that is asked for, as a function for `input:`; where none is, it ends Snakemake."""

    def wanted(wildcards):
        if plan.season is None:
            logger.error(
                "Nothing to predict is given: --config recordings=FOLDER model=results/DATASET/MODEL/fold1/seed0 "
                "(recordings may also be a list, .txt, or a manifest, .csv)."
            )
            sys.exit(1)
        return [f"{plan.season.folder}/{name}" for name in names]

    return wanted


def season_parts(wildcards):
    """All parts of the recordings, known once these are listed."""
    checkpoints.list_recordings.get(
        season=wildcards.season, predictor=wildcards.predictor
    )
    return [f"{plan.season.folder}/parts/{shard}" for shard in plan.season.shards]


def tables_drawn(wildcards):
    """The summary tables that a figure reads."""
    return [SUMMARY[name] for name in FIGURES[wildcards.figure].read]


def clips_drawn(wildcards, path):
    """The file of clips, of a figure that shows clips."""
    return [] if FIGURES[wildcards.figure].tables else path


wildcard_constraints:
    dataset=made(DATASETS),
    frontend="|".join(plan.config.frontends),
    model="|".join(plan.config.models),
    ssl="|".join(plan.config.pretraining) or NEVER,
    corpus=made(CORPORA),
    fold=r"\d+",
    seed=made(r"\d+"),
    season=plan.season.name if plan.season else NEVER,
    predictor=plan.season.predictor if plan.season else NEVER,
