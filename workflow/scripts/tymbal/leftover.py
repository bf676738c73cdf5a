"""Jobs of an earlier Snakemake that was killed: they go on in the queue, and a new one would submit them again."""

import logging
import subprocess
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

# What Snakemake's executor for Slurm gives its jobs: the working directory, and a comment that names the rule.
FIELDS = ("%A", "%T", "%M", "%Z", "%k")  # job, state, time so far, working directory, comment
COMMENT = "rule_"
SEPARATOR = "\t"


class Leftover(NamedTuple):
    """A job in the queue."""

    job: str
    state: str
    time: str
    what: str


def leftovers(folder: Path) -> list[Leftover]:
    """Jobs in Slurm's queue, of whatever user, that a Snakemake submitted from a folder; none if the queue is silent.

    Args:
        folder: Snakemake's working directory.
    """
    command = ["squeue", "--noheader", f"--format={SEPARATOR.join(FIELDS)}"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("whether jobs of an earlier start are still queued is not known: %s", error)
        return []
    found = []
    # Folders and comments are other users' too, in whatever encoding and of several lines.
    for line in done.stdout.decode(errors="surrogateescape").split("\n"):
        fields = line.split(SEPARATOR, len(FIELDS) - 1)
        if len(fields) < len(FIELDS):
            continue
        job, state, time, workdir, comment = fields
        if comment.startswith(COMMENT) and Path(workdir).resolve() == folder.resolve():
            found.append(Leftover(job, state, time, comment.removeprefix(COMMENT).replace("_wildcards_", ": ")))
    return found


def sentence(jobs: list[Leftover]) -> str:
    """What to do about jobs that are left."""
    lines = [f"  - {job.job} {job.state} {job.time} {job.what}" for job in jobs]
    numbers = " ".join(job.job for job in jobs)
    return "\n".join(
        [
            "Jobs that an earlier Snakemake submitted from this folder are still in the queue, and would write the",
            "same files as those of this one:",
            *lines,
            "What to do: wait until squeue lists them no more and start again, which keeps what they made.",
            f"Or cancel them, `scancel {numbers}`, and start again: a training goes on from its last checkpoint.",
        ]
    )
