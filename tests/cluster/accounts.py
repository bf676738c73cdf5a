"""What Slurm's accounting tells of jobs, and what a job costs beside its rule's work."""

import json
import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from slurm import Slurm

FIELDS = ("JobIDRaw", "Comment", "State", "Submit", "Start", "End", "AllocTRES", "NodeList")


@dataclass(frozen=True)
class Job:
    """One stay of a job on a node; a job that Slurm started again has several."""

    number: str
    comment: str
    rule: str
    state: str
    submitted: datetime
    started: datetime
    ended: datetime
    gpus: int
    node: str


def jobs(slurm: Slurm) -> list[Job]:
    """All of Snakemake, when the cluster is idle again, in the order of their starts."""
    slurm.wait_until_idle()
    options = ("--allocations", "--duplicates", "--noheader", "--parsable2", f"--format={','.join(FIELDS)}")
    while "|Unknown|" in (listed := slurm.run("sacct", "--starttime=now-1days", *options)):
        time.sleep(0.5)  # the accounting learns of an end a moment later
    found = []
    for line in listed.splitlines():
        number, comment, state, *times, resources, node = line.split("|")
        if comment.startswith("rule_") and "None" not in times:  # one that is cancelled in the queue does not start
            rule = comment.removeprefix("rule_").partition("_wildcards_")[0]
            gpus = re.search(r"gres/gpu=(\d+)", resources)
            submitted, started, ended = map(datetime.fromisoformat, times)
            found.append(
                Job(number, comment, rule, state, submitted, started, ended, int(gpus[1]) if gpus else 0, node)
            )
    return sorted(found, key=lambda job: job.started)


def overhead(slurm: Slurm, folder: Path) -> list[dict[str, object]]:
    """For each rule the medians over its jobs that went well, in seconds.

    Args:
        slurm: where they ran.
        folder: checkout from which they were submitted; its `benchmarks/` tell how long the rules' scripts ran.

    Returns:
        Rows of `rule`, `jobs`, `waited` in the queue, `ran` on a node, `script`, with its container, and `beside`.
    """
    rows = []
    done = [job for job in jobs(slurm) if job.state == "COMPLETED"]
    for rule in sorted({job.rule for job in done}):
        own = [job for job in done if job.rule == rule]
        scripts = [json.loads(path.read_text())["s"] for path in (folder / "benchmarks" / rule).rglob("*.jsonl")]
        scripts += [json.loads(path.read_text())["s"] for path in (folder / "benchmarks").glob(f"{rule}.jsonl")]
        if not scripts:
            continue
        ran = median((job.ended - job.started).total_seconds() for job in own)
        waited = median((job.started - job.submitted).total_seconds() for job in own)
        script = round(median(scripts), 1)
        rows.append(
            {"rule": rule, "jobs": len(own), "waited": waited, "ran": ran, "script": script, "beside": ran - script}
        )
    return rows
