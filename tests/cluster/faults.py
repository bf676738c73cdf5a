"""What happens to trainings on a cluster, done on purpose."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from launcher import Launcher
from slurm import Slurm, SlurmError

PAUSE = 0.2  # seconds between looks
# Seconds for which slurmd may still take a killed job for running: started there again, it would be refused and held.
SETTLED = 10.0
Fault = Callable[[Slurm, str], None]  # given the job's number


@dataclass
class Victim:
    """A training and what is to happen to it, one after the other.

    Attributes:
        comment: of its jobs, in which Snakemake names rule and wildcards.
        checkpoint: file that it writes after every round.
        faults: still to come.
        seen: time of the last fault.
    """

    comment: str
    checkpoint: Path
    faults: list[Fault]
    seen: int = field(default=0, init=False)  # nanoseconds

    def strike(self, slurm: Slurm) -> None:
        """Let the next fault happen if a job runs that has saved a round since the last."""
        job = running_job(slurm, self.comment)
        if job and self._saved():
            self.faults.pop(0)(slurm, job)
            self.seen = time.time_ns()

    def _saved(self) -> bool:
        with suppress(FileNotFoundError):
            return self.checkpoint.stat().st_mtime_ns > self.seen
        return False


def disturb(victims: list[Victim], slurm: Slurm, launcher: Launcher, seconds: float) -> None:
    """Let all faults happen, each training's beside the others': some take long, and no training waits for another's.

    Args:
        victims: the trainings.
        slurm: where they run.
        launcher: of them.
        seconds: how long all of it may take.
    """
    deadline = time.monotonic() + seconds

    def state() -> str:
        todo = [victim for victim in victims if victim.faults]
        return f"{todo}:\n{slurm.run('squeue')}\n{launcher.output[-8000:]}"

    def strike(victim: Victim) -> None:
        while any(each.faults for each in victims):
            assert launcher.running, f"the launcher ended before {state()}"
            assert time.monotonic() < deadline, f"after {seconds:.0f} s still to come: {state()}"
            if victim.faults:
                victim.strike(slurm)
            hasten(slurm, victim.comment)  # never while a fault of its own happens, which may need the wait
            time.sleep(PAUSE)

    with ThreadPoolExecutor(len(victims)) as threads:
        for struck in [threads.submit(strike, victim) for victim in victims]:
            struck.result()


def running_job(slurm: Slurm, comment: str) -> str:
    """Number of the running job with this comment; empty if there is none."""
    listed = slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%i|%k").splitlines()
    return next((job for job, _, found in (line.partition("|") for line in listed) if found.strip() == comment), "")


def stop_by_itself(slurm: Slurm, job: str) -> None:
    """Nothing is done to it."""
    slurm.wait_for(job)


def requeue(slurm: Slurm, job: str) -> None:
    """As an administrator or a preemption does."""
    slurm.run("scontrol", "requeue", job)


def cancel(slurm: Slurm, job: str) -> None:
    """By a user or an administrator."""
    slurm.run("scancel", job)


def hang(slurm: Slurm, job: str) -> None:
    """As on a file system that does not answer."""
    _signal(job, signal.SIGSTOP)


def wake(slurm: Slurm, job: str) -> None:
    """It goes on."""
    _signal(job, signal.SIGCONT)


def exceed_time_limit(slurm: Slurm, job: str) -> None:
    """It hangs until its time is up, which is soon."""
    hang(slurm, job)
    slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=1")


def fail_node(slurm: Slurm, job: str) -> None:
    """The node goes down with all its jobs, which Slurm starts again, and comes back with nothing left of them."""
    node = slurm.run("squeue", "--noheader", f"--jobs={job}", "--format=%N").strip()
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    while any(f"[{job}." in " ".join(words) for words in _commands().values()):  # Slurm's own, one for each step
        time.sleep(PAUSE)
    time.sleep(SETTLED)
    slurm.run("scontrol", "update", f"NodeName={node}", "State=RESUME")


def hasten(slurm: Slurm, comment: str) -> None:
    """Spare jobs with this comment, if Slurm starts them again, their two minutes' wait."""
    for line in slurm.run("squeue", "--noheader", "--states=PENDING", "--format=%i|%r|%k").splitlines():
        job, reason, found = line.split("|", maxsplit=2)
        if reason == "BeginTime" and found.strip() == comment:
            with suppress(SlurmError):  # it begins just now
                slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")


def _signal(job: str, number: signal.Signals) -> None:
    """Send it to the processes of a job that run a rule's script."""
    scripts = [
        pid
        for pid, words in _commands().items()
        if Path(words[0]).name.startswith("python") and "/.snakemake/scripts/" in "".join(words[1:2])
    ]
    ours = [pid for pid in scripts if f"SLURM_JOB_ID={job}" in _words(pid, "environ")]
    assert ours, f"no script runs in job {job}"
    for pid in ours:
        os.kill(pid, number)


def _commands() -> dict[int, list[str]]:
    """Process id -> words of the command."""
    return {int(folder.name): _words(int(folder.name), "cmdline") for folder in Path("/proc").glob("[0-9]*")}


def _words(pid: int, file: str) -> list[str]:
    with suppress(OSError):
        return os.fsdecode(Path(f"/proc/{pid}/{file}").read_bytes()).split("\0")
    return [""]
