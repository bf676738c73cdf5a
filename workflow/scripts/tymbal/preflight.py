"""Between Snakemake and `validate`: the limits of training jobs, and the check before anything is submitted.

Runs in the process that plans the workflow, where only Snakemake and this package's light modules are at hand.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tymbal.config import Config
from tymbal.files import write_json

TRAINING = "finetune"
CORES = min(4, os.cpu_count() or 1)  # that the check takes of a login node


def training_limits(workflow: Any) -> dict[str, Any]:
    """What the jobs that train may use, as set by the rule, profiles and command line.

    Args:
        workflow: Snakemake's workflow.

    Returns:
        `minutes`: time limit of each attempt, empty where none is enforced; `gpu`: whether a GPU is asked for.
    """
    from snakemake.iocontainers import InputFiles, Wildcards

    rule = workflow.get_rule(TRAINING)
    resources = [
        rule.expand_resources(Wildcards(), InputFiles(), attempt) for attempt in range(1, rule.restart_times + 2)
    ]
    minutes = [each.runtime for each in resources]
    # The rule's own limit binds no process on this machine; one that is set from outside is meant for a cluster.
    limited = not workflow.local_exec or "runtime" in workflow.resource_settings.overwrite_resources.get(TRAINING, {})
    known = all(isinstance(limit, int) for limit in minutes)  # one that depends on the input's size is not
    return {
        "minutes": minutes if limited and known else [],
        "gpu": bool(resources[0].get("gpu", 0)) or "gpu" in str(resources[0].get("gres", "")),
    }


def preflight(workflow: Any, config: Config) -> None:
    """Run `validate` here, with the same configuration, before jobs are submitted; nothing if none will be.

    Args:
        workflow: Snakemake's workflow, about to start.
        config: the checked configuration.

    Raises:
        WorkflowError: something must be fixed first.
    """
    from snakemake.exceptions import WorkflowError
    from snakemake.logging import logger

    if workflow.touch or all(job.is_local for job in workflow.dag.needrun_jobs()):
        return
    logger.info("Validating before anything is submitted (leave it out with --no-hooks) ...")
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "config.json"
        write_json(settings, config.model_dump(mode="json"))
        environment = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
        done = subprocess.run(_command(workflow, settings), env=environment)
    if done.returncode:
        raise WorkflowError(
            "Nothing was submitted. Errors to fix are listed above and told in results/validate/report.html; if the "
            "check itself failed, logs/validate.log tells why. To submit all the same: --no-hooks"
        )


def _command(workflow: Any, settings: Path) -> list[str]:
    deployment = workflow.deployment_settings
    resources = workflow.get_rule(TRAINING).resources
    limits = [
        f"{TRAINING}:{name}={resources[name].raw}"
        for name in ("runtime", "gpu", "gres")
        if name in resources and resources[name].raw is not None
    ]
    command = [sys.executable, "-m", "snakemake", "validate", "--snakefile", workflow.main_snakefile]
    command += [
        "--executor",
        "local",
        "--cores",
        str(CORES),
        "--workflow-profile",
        "none",
        "--quiet",
        "all",
    ]
    # The outer process holds the lock; what it planned is what is checked, so no default is merged under it.
    command += ["--nolock", "--configfile", str(settings), "--replace-workflow-config"]
    command += ["--retries", str(workflow.get_rule(TRAINING).restart_times)]
    if limits:
        command += ["--set-resources", *limits]
    if methods := sorted(str(method) for method in deployment.deployment_method):
        command += ["--software-deployment-method", *methods]
    if deployment.apptainer_args:
        command.append(f"--apptainer-args={deployment.apptainer_args}")
    if deployment.apptainer_prefix:
        command += ["--apptainer-prefix", str(deployment.apptainer_prefix)]
    return command
