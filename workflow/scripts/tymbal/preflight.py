"""Between Snakemake and `validate`: the limits of training jobs, and the check before anything is submitted.

Runs in the process that plans the workflow, where only Snakemake and this package's light modules are at hand.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tymbal.binds import bind_paths, bind_variables, check_mountable
from tymbal.config import Config
from tymbal.errors import InputError
from tymbal.files import write_json
from tymbal.image import BUILD, image_path
from tymbal.launch import gpus_asked
from tymbal.leftover import leftovers, sentence

TRAINING = ("finetune", "pretrain")  # rules that train
LIMITS = ("runtime", "grace", "gpu", "gres", "nodes", "mpi")  # resources that say what a training may use
REPORT, LOG = Path("results/validate/report.json"), Path("logs/validate.log")
CORES = min(4, os.cpu_count() or 1)  # that the check takes of a login node


def training_limits(workflow: Any, name: str) -> dict[str, Any]:
    """What the jobs of a rule that trains may use, as set by the rule, profiles and command line.

    Args:
        workflow: Snakemake's workflow.
        name: of the rule.

    Returns:
        `minutes`: time limit of each attempt, empty where none is enforced or none is known before; `grace`: minutes
        before it at which they stop; `gpus` and `nodes`: how many a job asks for; `mpi`: whether with a launcher that
        reaches several nodes; `cluster`: whether they are submitted.
    """
    from snakemake.exceptions import WorkflowError
    from snakemake.iocontainers import InputFiles, Wildcards

    rule = workflow.get_rule(name)
    others = set(rule.resources) - set(LIMITS) - {"_cores"}  # which may depend on files that are not there yet
    attempts = range(1, rule.restart_times + 2)
    try:
        asked = [rule.expand_resources(Wildcards(), InputFiles(), attempt, others) for attempt in attempts]
    except WorkflowError:  # a profile may make them depend on wildcards
        asked = [{}]
    minutes = [each.get("runtime") for each in asked]
    # The rule's own limit binds no process on this machine; one that is set from outside is meant for a cluster.
    cluster = not workflow.local_exec or "runtime" in workflow.resource_settings.overwrite_resources.get(name, {})
    return {
        "minutes": minutes if cluster and all(isinstance(limit, int) for limit in minutes) else [],
        "grace": asked[0].get("grace", 0),
        "gpus": gpus_asked(asked[0]),
        "nodes": asked[0].get("nodes", 1),
        "mpi": bool(asked[0].get("mpi")),
        "cluster": cluster,
    }


def check_rule_names(workflow: Any) -> None:
    """Refuse settings for rules that do not exist, which Snakemake would ignore.

    Args:
        workflow: Snakemake's workflow, with all its rules.

    Raises:
        InputError: a profile or the command line sets resources or threads of unknown rules.
    """
    settings = workflow.resource_settings
    known = {rule.name for rule in workflow.rules}
    unknown = sorted({*settings.overwrite_resources, *settings.overwrite_threads} - known)
    if unknown:
        raise InputError(
            f"set-resources or set-threads, in the profile or on the command line, name {', '.join(unknown)}: there is "
            f"no such rule. Rules that train: {', '.join(TRAINING)}; all: snakemake --list-rules"
        )


def container_image(workflow: Any) -> Callable[[Any], str | None]:
    """The image of all rules, as a function for `container:`, which Snakemake calls when it plans the jobs.

    Where jobs are going to run in it, the function ends Snakemake if the image or Apptainer is missing. A dry-run
    needs neither: without Apptainer, of which Snakemake asks the version, the function gives None.

    Args:
        workflow: Snakemake's workflow.
    """
    repo = Path(workflow.basedir)
    image = os.path.relpath(repo / image_path(repo))

    @cache
    def checked() -> str | None:
        if not _in_containers(workflow):
            return image
        apptainer = shutil.which("apptainer") or shutil.which("singularity")
        if workflow.executor_plugin is None or workflow.dryrun or workflow.touch:
            return image if apptainer else None
        problems = []
        if not apptainer:
            problems.append(
                "Rules are to run in a container, and neither apptainer nor singularity is on PATH on "
                f"{os.uname().nodename}. Load its module, often `module load apptainer`; or run the rules in the "
                "environment that Snakemake is started from: --software-deployment-method env-modules"
            )
        if not Path(image).exists():
            problems.append(f"The container image {image} is missing. Build it: {os.path.relpath(repo)}/{BUILD}")
        if problems:
            from snakemake.logging import logger

            logger.error("\n".join(problems))
            sys.exit(1)
        return image

    return lambda wildcards: checked()


def mount_folders(workflow: Any, config: Config) -> None:
    """Let Apptainer mount what the rules need beside the working directory, through environment variables.

    Args:
        workflow: Snakemake's workflow.
        config: the checked configuration.

    Raises:
        InputError: a folder cannot be mounted.
    """
    if _in_containers(workflow):
        paths = bind_paths(config, Path.cwd())
        check_mountable([Path.cwd(), *paths])
        os.environ.update(bind_variables(os.environ, paths))


def preflight(workflow: Any, config: Config) -> None:
    """Run `validate` here, with the same configuration, before jobs are submitted; nothing if none will be.

    Nothing either of jobs that only predict. Before that, see that no jobs of an earlier start are left.

    Args:
        workflow: Snakemake's workflow, about to start.
        config: the checked configuration.

    Raises:
        SystemExit: something must be fixed first. Of a WorkflowError, Snakemake would print lines of code last.
    """
    from snakemake.logging import logger

    if workflow.touch or all(job.is_local for job in workflow.dag.needrun_jobs()):
        return
    if workflow.executor_plugin.name == "slurm":
        if shutil.which("sbatch") is None:
            logger.error(f"sbatch is not on PATH on {os.uname().nodename}: load Slurm's module.")
            sys.exit(1)
        if left := leftovers(Path.cwd()):
            logger.error(f"Nothing was submitted. {sentence(left)}")
            sys.exit(1)
    if all(job.is_local or "season" in job.wildcards_dict for job in workflow.dag.needrun_jobs()):
        return  # what is checked is for trainings; each recording of a prediction tells of itself
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


def _in_containers(workflow: Any) -> bool:
    return "apptainer" in map(str, workflow.deployment_settings.deployment_method)


def _why() -> str:
    """Why the check did not pass, by what it left; one that is killed leaves no word."""
    if REPORT.exists():
        return f"Errors to fix are listed above and told in {REPORT.with_suffix('.html')}."
    if LOG.exists() and " ERROR " in LOG.read_text(encoding="utf-8", errors="replace"):
        return f"The check itself failed; {LOG} tells why."
    return (
        "The check was killed or could not start. It needs about 2 GB for a base model: if this machine has no more "
        "memory for you, run `snakemake validate` with the same profile and configuration inside a job; if it could "
        "not start, that command shows the reason, here too."
    )


def _command(workflow: Any, settings: Path) -> list[str]:
    deployment = workflow.deployment_settings
    limits = [
        f"{rule}:{name}={resources[name].raw}"
        for rule in TRAINING
        for resources in [workflow.get_rule(rule).resources]
        for name in LIMITS
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
