"""One script in several processes, a GPU each: what torchrun does, with Snakemake's object in each of them.

Snakemake starts the script's file once. This first process starts an agent of torch's launcher on every node, and the
agent a worker for every GPU there. All run the same file and differ by arguments and environment. The first may be
outside the container, where there is no torch.
"""

import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from tymbal.errors import InputError

log = logging.getLogger(__name__)

AGENT = "--agent"  # argument of a script that is to be one; after it where the agents meet, host:port
CONTAINER = "TYMBAL_CONTAINER"  # variable: options of `apptainer exec` and the image, where scripts start it themselves


class Layout(NamedTuple):
    """The processes of a job."""

    nodes: int
    per_node: int

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return self.nodes * self.per_node > 1


def gpus_asked(resources: Mapping[str, Any]) -> int:
    """How many GPUs a job asks for, on all its nodes together.

    Args:
        resources: of the job: `gpu`, of all its nodes, or `gres: gpu:<kind>:<number>`, of each; `nodes`.
    """
    kind, *rest = str(resources.get("gres", "")).split(":")
    on_each = 0 if kind != "gpu" else int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return resources.get("gpu", 0) or on_each * resources.get("nodes", 1)


def layout(resources: Mapping[str, Any]) -> Layout:
    """A process for each GPU that a job asks for; one on each node if it asks for none.

    Args:
        resources: of the job: what `gpus_asked` reads; and `mpi`, the command that starts another process on each node.

    Raises:
        InputError: they do not fit together.
    """
    nodes = resources.get("nodes", 1)
    gpus = gpus_asked(resources) or nodes
    if gpus % nodes:
        raise InputError(
            f"the job asks for {gpus} GPUs on {nodes} nodes: not the same number on each. `gpu` counts those of the "
            "whole job; make it a multiple of `nodes` in the profile."
        )
    if nodes > 1 and not resources.get("mpi"):
        raise InputError(
            f"the job asks for {nodes} nodes, but not for what starts a process on each. Set `mpi` in the profile, "
            "with Slurm `mpi: srun --kill-on-bad-exit=1`; docs/cluster.md has an example."
        )
    return Layout(nodes, gpus // nodes)


def is_agent() -> bool:
    """Whether this process is to start the workers of its node."""
    return AGENT in sys.argv


def is_worker() -> bool:
    """Whether this process is one of those that an agent started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def rank() -> int:
    """Which of the workers this process is; 0 for what is none."""
    return int(os.environ["RANK"]) if is_worker() else 0


def start(script: str, job: Layout, mpi: str, terminal: IO[str]) -> int:
    """Start an agent on each node and wait for their end; for the first process.

    Args:
        script: file of the script, as executed.
        job: its processes.
        mpi: the command that starts another on each node, if there are several.
        terminal: where the workers' standard error goes; their standard output goes where this process's does.

    Returns:
        Exit status, 0 if all workers came to their end.
    """
    with _on_nodes(script, job.nodes, mpi) if job.nodes > 1 else _here(script) as command:
        log.info("starting %d processes on each of %d nodes: %s", job.per_node, job.nodes, shlex.join(command))
        agents = subprocess.Popen(command, stderr=terminal)
        try:
            return agents.wait()
        finally:  # also if this process is told to end
            agents.terminate()
            agents.wait()


def work(script: str, job: Layout) -> int:
    """Start the workers of this node and wait for their end; for an agent. When one fails, the others are ended.

    Args:
        script: file of the script, as executed.
        job: its processes.

    Returns:
        Exit status, 0 if all workers came to their end.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read when torch is imported
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Workers tell why they fail; how the others are ended because of it would be told at length.
    for part in ("multiprocessing.api", "agent.server.api", "rendezvous.dynamic_rendezvous"):
        logging.getLogger(f"torch.distributed.elastic.{part}").setLevel(logging.CRITICAL)
    endpoint = sys.argv[sys.argv.index(AGENT) + 1]
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=job.nodes,
            max_nodes=job.nodes,
            nproc_per_node=job.per_node,
            run_id=endpoint,
            rdzv_backend="c10d",
            rdzv_endpoint=endpoint,
            local_addr="localhost" if job.nodes == 1 else None,  # not all machines can look up their own name
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)(script)
        except ChildFailedError as error:
            for number, failure in error.failures.items():
                if failure.exitcode < 0:  # else it has told why
                    name = signal.Signals(-failure.exitcode).name
                    hint = ", as when a job takes more memory than it has" if name == "SIGKILL" else ""
                    log.error("process %d on %s was ended by %s%s", number, socket.gethostname(), name, hint)
            return 1
        except RendezvousError as error:
            log.error("%s: no connection to the other nodes at %s (%s)", socket.gethostname(), endpoint, error)
            return 1
        except SignalException as error:
            return 128 + error.sigval
    return 0


def image_of(workflow: Any, name: str, image: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    """The image of a rule, as a function for `container:`; none if jobs of it have several nodes.

    There the script is to start a container on each node itself, and finds in the environment how.

    Args:
        workflow: Snakemake's workflow.
        name: of the rule.
        image: of all rules, likewise.
    """

    def chosen(wildcards: Any) -> str | None:
        path, nodes = image(wildcards), workflow.get_rule(name).resources.get("nodes")
        if nodes.raw in (None, 1):  # Snakemake gives an empty one where none is set
            return path
        if not isinstance(nodes.raw, int):
            raise InputError(f"nodes of rule {name} is {nodes.raw!r} in the profile; it must be a plain number.")
        settings = workflow.deployment_settings
        if path is not None and "apptainer" in map(str, settings.deployment_method):
            os.environ[CONTAINER] = f"{settings.apptainer_args} {shlex.quote(path)}"
        return None

    return chosen


@contextmanager
def _here(script: str) -> Iterator[list[str]]:
    yield [sys.executable, script, AGENT, "localhost:0"]  # a free port


@contextmanager
def _on_nodes(script: str, nodes: int, mpi: str) -> Iterator[list[str]]:
    """The command that starts all agents. They meet on this node, which is one of theirs."""
    starter, *options = shlex.split(mpi)
    if shutil.which(starter) is None:
        raise InputError(
            f"mpi: {mpi!r} is to start a process on each of {nodes} nodes, but {starter} is not on PATH on "
            f"{socket.gethostname()}. Correct `mpi` in the profile, or load what brings it."
        )
    with socket.socket() as free:
        free.bind(("", 0))
        meeting = [AGENT, f"{socket.gethostname()}:{free.getsockname()[1]}"]
    everywhere = [starter, *options, "-n", str(nodes)]
    if CONTAINER not in os.environ:
        yield [*everywhere, sys.executable, script, *meeting]
        return
    from snakemake.common import get_snakemake_searchpaths

    # As Snakemake does it: its own package, which the object `snakemake` is of, comes after all that is in the image.
    host, mounted = get_snakemake_searchpaths()[0], "/mnt/snakemake"
    apptainer = "apptainer" if shutil.which("apptainer") else "singularity"
    container = [apptainer, "exec", "--home", str(Path.cwd()), "--bind", f"{host}:{mounted}"]
    container += shlex.split(os.environ[CONTAINER])
    inside = Path(script).with_suffix(".inside.py")
    inside.write_text(f"import sys; sys.path.append({mounted!r})\n{Path(script).read_text()}")
    try:
        yield [*everywhere, *container, "python", str(inside), *meeting]
    finally:
        inside.unlink()
