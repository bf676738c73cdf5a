"""Between Snakemake and the library: what every script does before and after its one library call."""

import errno
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import tymbal
from tymbal import launch, progress
from tymbal.config import load
from tymbal.errors import InputError, OutOfTime
from tymbal.files import FULL
from tymbal.runs import PretrainRun, Run
from tymbal.seasons import Season

if TYPE_CHECKING:
    import torch

log = logging.getLogger("tymbal")

LOST = 3.0  # seconds in which the launcher ends the processes of one that is gone; it looks ten times a second


@contextmanager
def step(snakemake: Any, script: str | None = None) -> Iterator[None]:
    """Run the body of a script: log file, threads and caches set, inputs and outputs logged, errors readable.

    Everything printed goes to the rule's log file; progress lines also to the terminal. A user's mistake, a time
    limit or a scheduler's signal ends the script with a message alone, anything else with a traceback.

    Args:
        snakemake: the object that Snakemake gives to scripts.
        script: file of the script, as executed, if the body is to run in a process for each GPU of the job.
    """
    if script is not None and launch.is_agent():
        _log_to(sys.stdout)
        sys.exit(launch.work(script, launch.layout(snakemake.resources)))
    _redirect(Path(snakemake.log[0]))
    _limit_threads(snakemake.threads)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _terminated)
    caches = Path(tempfile.gettempdir()) / f"tymbal-{os.getuid()}"
    os.environ.setdefault("MPLCONFIGDIR", str(caches / "matplotlib"))

    started = time.monotonic()
    try:
        if script is not None and not launch.is_worker() and (job := launch.layout(snakemake.resources)).several:
            assert progress.terminal is not None
            sys.exit(launch.start(script, job, snakemake.resources.get("mpi", ""), progress.terminal))
        log.info("tymbal %s, rule %s, threads: %d", tymbal.__version__, snakemake.rule, snakemake.threads)
        asked = (f"{name}={value}" for name, value in snakemake.resources.items() if not name.startswith("_"))
        log.info("resources: %s", ", ".join(asked))
        for name, path in _named(snakemake.input):
            log.info("input %s: %s", name, _describe(path))
        for name, value in snakemake.params.items():
            log.info("parameter %s: %s", name, value)
        yield
    except InputError as error:
        _fail(logging.ERROR, str(error))
    except OutOfTime as error:
        _fail(logging.WARNING, str(error))
    except Exception as error:
        if why := disk_trouble(error):
            _fail(logging.ERROR, why)
        if launch.is_worker():
            time.sleep(LOST)  # one that is ended from outside breaks the others' connections, which is no news
        _fail(logging.ERROR, "the step failed; if the message does not help, please report it with this log", error)
    for name, path in _named(snakemake.output):
        log.info("output %s: %s", name, _describe(path))
    log.info("finished in %.1f s", time.monotonic() - started)
    if launch.is_worker():
        # All is written and closed. Threads of torch's connections may abort the interpreter's own end: the job would
        # have failed, and Snakemake would remove what it has made.
        sys.stdout.flush()
        os._exit(0)


def disk_trouble(error: Exception) -> str:
    """What a user can do about an error of the disk; empty if it is none. Some libraries pass on only its text."""
    file = getattr(error, "filename", None) or "a file"
    number = getattr(error, "errno", None)
    if number in FULL or "No space left on device" in str(error):
        return f"{file} cannot be written: the disk is full. Make room; the same command then goes on."
    if number in (errno.EROFS, errno.EACCES) and getattr(error, "filename", None):  # connections have none
        return f"{file}: {os.strerror(number)}. Make it accessible to you, or work in a copy that is yours."
    return ""


def run_of(wildcards: Any) -> Run:
    """The run that a rule's wildcards name."""
    return Run(wildcards.dataset, wildcards.model, int(wildcards.fold), int(wildcards.seed))


def pretrain_run_of(wildcards: Any) -> PretrainRun:
    """The pre-training that a rule's wildcards name."""
    return PretrainRun(wildcards.corpus, wildcards.ssl, int(wildcards.seed))


def deadline(snakemake: Any) -> float | None:
    """When a training must have saved and stopped, on `time.monotonic()`; None where no limit is enforced.

    Minutes count from now, to be called at once. The job began earlier, by the start of its container and of
    Snakemake in it, and ends after a last round and its saving: both are what the resource `grace` is for.
    """
    grace = snakemake.resources.get("grace")
    return None if grace is None else time.monotonic() + 60 * (snakemake.resources.runtime - grace)


def device(snakemake: Any) -> "torch.device":
    """Where a step computes, by what its job asked for. `allow_cpu` is no parameter: where it ran re-runs nothing."""
    from tymbal.devices import choose_device

    return choose_device(launch.gpus_asked(snakemake.resources), load(snakemake.config).allow_cpu)


def roots(snakemake: Any) -> dict[str, Path]:
    """Where the named roots are on this machine. Not a parameter, so that data that only moved re-run nothing."""
    return load(snakemake.config).folders


def path_map(snakemake: Any) -> dict[str, str]:
    """Where paths of other machines are on this one. Not a parameter, for the same reason."""
    return load(snakemake.config).path_map


def season(snakemake: Any) -> Season:
    """The recordings and the model of a prediction. Where they are is not a parameter, for the same reason."""
    found = Season.of(load(snakemake.config))
    assert found is not None, "rules of a prediction run only where there is one"
    return found


def _redirect(path: Path) -> None:
    if launch.rank() == 0:
        progress.terminal = os.fdopen(os.dup(2), "w")
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    if not launch.is_worker():  # a worker's standard output is the log already
        with path.open("w", encoding="utf-8") as file:  # by descriptor: compiled libraries print there too
            os.dup2(file.fileno(), 1)
    os.dup2(1, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    _log_to(sys.stderr)
    logging.captureWarnings(True)


def _log_to(stream: TextIO) -> None:
    """All that the first process has to tell; of the others, what is not in order."""
    rank = launch.rank()
    logging.basicConfig(
        level=logging.WARNING if rank else logging.INFO,
        stream=stream,
        format="%(asctime)s %(levelname)s " + (f"process {rank}: " if rank else "") + "%(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        force=True,
    )


def _terminated(number: int, frame: Any) -> NoReturn:
    """End in good order, partial files and staged copies removed: a cancelled job, its limit, a preemption, Ctrl-C."""
    signal.signal(number, signal.SIG_IGN)  # schedulers and launchers tell it each; the removal is to come to its end
    if not launch.is_worker():  # these are ended when another fails, too
        log.error("stopped from outside (%s); the same command goes on", signal.Signals(number).name)
    sys.exit(128 + number)


def _fail(level: int, message: str, error: Exception | None = None) -> NoReturn:
    """End with a message; of several processes that fail, only the first tells one."""
    if launch.is_worker():
        from tymbal.train.distributed import first_to_fail

        if not first_to_fail():
            time.sleep(LOST)  # when the first has told, all are ended
            sys.exit(1)
    log.log(level, message, exc_info=error)
    sys.exit(1)


def _limit_threads(threads: int) -> None:
    """Libraries read these when they are first imported, which is after this."""
    if launch.is_worker():
        threads = max(1, threads // int(os.environ["LOCAL_WORLD_SIZE"]))
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)


def _named(files: Any) -> list[tuple[str, str]]:
    """(name, path) pairs; a named list is told by its first entry and its length."""
    pairs = []
    for name, value in files.items():
        if isinstance(value, str):
            pairs.append((name, value))
        elif len(value):
            pairs.append((f"{name} (first of {len(value)})", str(value[0])))
    return pairs


def _describe(path: str) -> str:
    file = Path(path)
    return f"{path} ({file.stat().st_size / 1e6:.3g} MB)" if file.is_file() else path
