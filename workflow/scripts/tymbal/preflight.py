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

TRAINING = ("finetune", "pretrain")  # rules that train
REPORT, LOG = Path("results/validate/report.json"), Path("logs/validate.log")
CORES = min(4, os.cpu_count() or 1)  # that the check takes of a login node


def training_limits(workflow: Any, name: str) -> dict[str, Any]:
    """What the jobs of a rule that trains may use, as set by the rule, profiles and command line.

    Args:
        workflow: Snakemake's workflow.
        name: of the rule.

    Returns:
        `minutes`: time limit of each attempt, empty where none is enforced; `gpu`: whether a GPU is asked for;
        `cluster`: whether they are submitted.
    """
    from snakemake.iocontainers import InputFiles, Wildcards

    rule = workflow.get_rule(name)
    resources = [
        rule.expand_resources(Wildcards(), InputFiles(), attempt) for attempt in range(1, rule.restart_times + 2)
    ]
    minutes = [each.runtime for each in resources]
    # The rule's own limit binds no process on this machine; one that is set from outside is meant for a cluster.
    cluster = not workflow.local_exec or "runtime" in workflow.resource_settings.overwrite_resources.get(name, {})
    known = all(isinstance(limit, int) for limit in minutes)  # one that depends on the input's size is not
    return {
        "minutes": minutes if cluster and known else [],
        "gpu": bool(resources[0].get("gpu", 0)) or "gpu" in str(resources[0].get("gres", "")),
        "cluster": cluster,
    }


def preflight(workflow: Any, config: Config) -> None:
    """Run `validate` here, with the same configuration, before jobs are submitted; nothing if none will be.

    Args:
        workflow: Snakemake's workflow, about to start.
        config: the checked configuration.

    Raises:
        SystemExit: something must be fixed first. Of a WorkflowError, Snakemake would print lines of code last.
    """
    from snakemake.logging import logger

    if workflow.touch or all(job.is_local for job in workflow.dag.needrun_jobs()):
        return
    logger.info("Validating before anything is submitted (leave it out with --no-hooks) ...")
    for earlier in (REPORT, LOG):
        earlier.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "config.json"
        write_json(settings, config.model_dump(mode="json"))
        environment = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
        done = subprocess.run(_command(workflow, settings), env=environment)
    if done.returncode:
        logger.error(f"Nothing was submitted. {_why()} To submit all the same: --no-hooks")
        sys.exit(1)


def _why() -> str:
    """Why the check did not pass, by what it left; one that is killed leaves no word."""
    if REPORT.exists():
        return f"Errors to fix are listed above and told in {REPORT.with_suffix('.html')}."
    if LOG.exists() and " ERROR " in LOG.read_text(encoding="utf-8", errors="replace"):
        return f"The check itself failed; {LOG} tells why."
    return (
        "The check was killed or could not start. It needs about 2 GB for a base model: if this machine has no more "
        "memory for you, run it in a job, `snakemake --profile local validate`, which also shows other reasons."
    )


def _command(workflow: Any, settings: Path) -> list[str]:
    deployment = workflow.deployment_settings
    limits = [
        f"{rule}:{name}={resources[name].raw}"
        for rule in TRAINING
        for resources in [workflow.get_rule(rule).resources]
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
    command += ["--retries", str(workflow.get_rule(TRAINING[0]).restart_times)]
    if limits:
        command += ["--set-resources", *limits]
    if methods := sorted(str(method) for method in deployment.deployment_method):
        command += ["--software-deployment-method", *methods]
    if deployment.apptainer_args:
        command.append(f"--apptainer-args={deployment.apptainer_args}")
    if deployment.apptainer_prefix:
        command += ["--apptainer-prefix", str(deployment.apptainer_prefix)]
    return command
