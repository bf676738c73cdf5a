"""Between Snakemake and the library: what every script does before and after its one library call."""

import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tymbal
from tymbal import progress
from tymbal.config import load
from tymbal.errors import InputError
from tymbal.runs import PretrainRun, Run

log = logging.getLogger("tymbal")


@contextmanager
def step(snakemake: Any) -> Iterator[None]:
    """Run the body of a script: log file, threads and caches set, inputs and outputs logged, errors readable.

    Everything printed goes to the rule's log file; progress lines also to the terminal. A user's mistake ends
    the script with its message alone, anything else with a traceback.
    """
    _redirect(Path(snakemake.log[0]))
    _limit_threads(snakemake.threads)
    caches = Path(tempfile.gettempdir()) / f"tymbal-{os.getuid()}"
    os.environ.setdefault("MPLCONFIGDIR", str(caches / "matplotlib"))

    started = time.monotonic()
    log.info("tymbal %s, rule %s, threads: %d", tymbal.__version__, snakemake.rule, snakemake.threads)
    for name, path in _named(snakemake.input):
        log.info("input %s: %s", name, _describe(path))
    for name, value in snakemake.params.items():
        log.info("parameter %s: %s", name, value)
    try:
        yield
    except InputError as error:
        log.error("%s", error)
        sys.exit(1)
    except Exception:
        log.exception("the step failed; if the message does not help, please report it with this log")
        sys.exit(1)
    for name, path in _named(snakemake.output):
        log.info("output %s: %s", name, _describe(path))
    log.info("finished in %.1f s", time.monotonic() - started)


def run_of(wildcards: Any) -> Run:
    """The run that a rule's wildcards name."""
    return Run(wildcards.dataset, wildcards.model, int(wildcards.fold), int(wildcards.seed))


def pretrain_run_of(wildcards: Any) -> PretrainRun:
    """The pre-training that a rule's wildcards name."""
    return PretrainRun(wildcards.corpus, wildcards.ssl, int(wildcards.seed))


def roots(snakemake: Any) -> dict[str, Path]:
    """Where the named roots are on this machine. Not a parameter, so that data that only moved re-run nothing."""
    return load(snakemake.config).folders


def path_map(snakemake: Any) -> dict[str, str]:
    """Where paths of other machines are on this one. Not a parameter, for the same reason."""
    return load(snakemake.config).path_map


def _redirect(path: Path) -> None:
    progress.terminal = os.fdopen(os.dup(2), "w")
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("w", encoding="utf-8") as file:  # by descriptor: compiled libraries print there too
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        force=True,
    )
    logging.captureWarnings(True)


def _limit_threads(threads: int) -> None:
    """Libraries read these when they are first imported, which is after this."""
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
