"""A real Slurm of two nodes on one machine, with accounting and a GPU each that is scheduled and does nothing.

`with Slurm(folder) as slurm:` in tests; by hand, as root on Debian:

    python tests/cluster/slurm.py up FOLDER      then type what it prints, and use sbatch, sinfo, sacct
    python tests/cluster/slurm.py down FOLDER

Everything is in FOLDER and listens on loopback, on free ports: another Slurm on the machine is not touched.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import debian

PACKAGES = (
    "munge",
    "slurmctld",
    "slurmd",
    "slurm-client",
    "slurmdbd",
    "mariadb-server-core",
    "mariadb-client-core",  # mariadb-install-db needs its my_print_defaults
)
DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")  # in the order of their start
STEP = "slurmstepd"  # started by slurmd for each step of a job
FOLDERS = ("bin", "etc", "log", "run", "spool", "database")
NODES = ("node1", "node2")  # as in SLURM_CONF
CLUSTER, ACCOUNT = "tymbal", "lab"
PATIENCE = 120.0  # seconds for one daemon on a busy machine; usually it takes one or two
GRACE = 10.0  # seconds for a daemon to stop by itself
UNFINISHED = {"", "PENDING", "RUNNING", "REQUEUED", "COMPLETING", "RESIZING", "SUSPENDED"}

SLURM_CONF = """\
ClusterName={cluster}
SlurmctldHost={host}({address})
SlurmctldPort={ports[0]}
# Loopback only: bind to the address of the host's name, not to any.
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/spool/slurmctld
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
# Each step keeps it open: how its process is known as this cluster's.
SlurmdLogFile={folder}/log/steps.log
MailProg=/bin/true
# No cgroups needed.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# CPUs, memory and GPUs are really scheduled.
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
GresTypes=gpu
ReturnToService=1
# Seconds between SIGTERM and SIGKILL.
KillWait=5
# Seconds between looks at the queue, where what is started again would else wait up to a minute.
SchedulerParameters=sched_interval=1,bf_interval=1
# Without accounting the executor plugin loses finished jobs; enforced, a wrong account is refused.
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={ports[1]}
AccountingStoragePass={folder}/run/munge.socket
AccountingStorageEnforce=associations
# In a job's comment Snakemake names rule and wildcards.
AccountingStoreFlags=job_comment
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
# More than a small machine has, so that the profile's requests fit as they are.
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname=node1 NodeAddr={address} Port={ports[2]} CPUs=8 RealMemory=64000 Gres=gpu:1
NodeName=node2 NodeHostname=node2 NodeAddr={address} Port={ports[3]} CPUs=8 RealMemory=64000 Gres=gpu:1
PartitionName=cpu Nodes=ALL Default=YES
PartitionName=gpu Nodes=ALL
"""
SLURMDBD_CONF = """\
DbdHost=localhost
DbdAddr={address}
DbdPort={ports[1]}
CommunicationParameters=NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
SlurmUser=root
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
"""
# A device file is needed: with a mere count the node drains.
GRES_CONF = "NodeName={nodes} Name=gpu File=/dev/null\n"


class SlurmError(RuntimeError):
    """Slurm did not do what was asked; with the end of the daemon's log where a daemon is to blame."""


class Slurm:
    """The cluster in one folder.

    Attributes:
        folder: configuration, logs, spool and database. A short path (sockets are in it) that every user may enter.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).resolve()
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which Slurm's commands speak to this cluster."""
        path = f"{self.folder / 'bin'}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return {**os.environ, "PATH": path, "SLURM_CONF": str(self._conf)}

    @property
    def _conf(self) -> Path:
        return self.folder / "etc" / "slurm.conf"

    def __enter__(self) -> "Slurm":
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Install what is absent and start all daemons, without earlier jobs; nothing if they run already.

        Raises:
            SlurmError: one of them does not come up; none is left then.
        """
        debian.install(PACKAGES)
        if set(DAEMONS) <= set(self.processes().values()) and self.states() <= {"idle", "mixed", "allocated"}:
            return
        self.down()
        try:
            self._configure()
            self._start_all()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Stop jobs and daemons, whatever is left of them. The folder stays, for its logs."""
        deadline = time.monotonic() + GRACE
        while found := self.processes():
            for pid, name in found.items():
                gently = name in DAEMONS and time.monotonic() < deadline
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM if gently else signal.SIGKILL)
            time.sleep(0.2)
        for child in self._children:
            child.wait()
        self._children.clear()

    def processes(self) -> dict[int, str]:
        """Daemons of this cluster, steps and what runs in them: process id and name of the executable."""
        names = _executables()
        log = str(self.folder / "log") + "/"
        ours = {pid: name for pid, name in names.items() if name in (*DAEMONS, STEP) and _holds_file_in(pid, log)}
        # Of a node that went down they are left behind, nobody's children.
        ours.update((pid, name) for pid, name in names.items() if self._is_of_a_job(pid))
        parents = {pid: _parent(pid) for pid in names}
        while children := {pid for pid, parent in parents.items() if parent in ours and pid not in ours}:
            ours.update((pid, names[pid]) for pid in children)
        return ours

    def states(self) -> set[str]:
        """States that nodes are in, such as `idle`; `unknown` when the controller does not answer."""
        asked = self._ask("sinfo", "--noheader", "--Node", "--partition=gpu", "--format=%T")
        return set(asked.stdout.split()) if asked.returncode == 0 else {"unknown"}

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Standard output of a command such as `sbatch`, run against this cluster.

        Raises:
            SlurmError: it failed; with all that it said.
        """
        done = self._ask(*command, cwd=cwd)
        if done.returncode:
            raise SlurmError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def wait_until_idle(self, seconds: float = PATIENCE) -> None:
        """Wait until no job is queued or running and the node is free.

        Raises:
            SlurmError: not within this time; with the queue.
        """
        if not _within(seconds, lambda: not self.run("squeue", "--noheader").strip() and self.states() == {"idle"}):
            queue = self.run("squeue") + self.run("sinfo", "--Node", "--long")
            raise SlurmError(f"The cluster is not idle after {seconds:.0f} s:\n{queue}")

    def wait_for(self, job: str, seconds: float = PATIENCE) -> str:
        """State in which a job ended, by the accounting: `COMPLETED`, `TIMEOUT`, `CANCELLED by 0`, ...

        Raises:
            SlurmError: it has not ended within this time.
        """

        def state() -> str:
            return self.run(
                "sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job}", "--format=State"
            ).strip()

        if not _within(seconds, lambda: state() not in UNFINISHED):
            raise SlurmError(f"Job {job} is {state() or 'unknown'} after {seconds:.0f} s:\n{self.run('squeue')}")
        return state()

    def _configure(self) -> None:
        host = socket.gethostname()
        for name in FOLDERS:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir(parents=True)
        for name in ("slurmctld", *NODES):
            (self.folder / "spool" / name).mkdir()
        values = {
            "cluster": CLUSTER,
            "host": host.split(".")[0],
            "address": debian.loopback(),
            "ports": _free_ports(4),
            "folder": self.folder,
            "nodes": ",".join(NODES),
        }
        for name, text in {"slurm": SLURM_CONF, "slurmdbd": SLURMDBD_CONF, "gres": GRES_CONF}.items():
            path = self.folder / "etc" / f"{name}.conf"
            path.touch(mode=0o600 if name == "slurmdbd" else 0o644)
            path.write_text(text.format(**values), encoding="utf-8")
        # Snakemake's job step takes SLURM_CONF away from srun; on a real cluster the file is where srun looks for it.
        srun = self.folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self._conf} exec {shutil.which("srun")} "$@"\n', encoding="utf-8")
        srun.chmod(0o755)
        key = self.folder / "etc" / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))

    def _start_all(self) -> None:
        run, database = self.folder / "run", self.folder / "database"
        munge_socket, database_socket = run / "munge.socket", run / "mariadb.socket"
        munge = [f"--pid-file={run}/munged.pid", f"--seed-file={run}/munge.seed", f"--log-file={run}/munged.log"]
        munge += [f"--key-file={self.folder}/etc/munge.key", f"--socket={munge_socket}"]
        self._start("munged", "--foreground", *munge, ready=munge_socket.is_socket)

        # Only root, only through the socket, no network.
        common = ("--no-defaults", "--user=root", f"--datadir={database}", "--innodb-log-file-size=8M")
        self.run("mariadb-install-db", *common, "--auth-root-authentication-method=socket", "--skip-test-db")
        options = ["--skip-networking", f"--socket={database_socket}", f"--pid-file={run}/mariadb.pid"]
        options += ["--innodb-lock-wait-timeout=900"]  # slurmdbd asks for it
        self._start("mariadbd", *common, *options, ready=database_socket.is_socket)

        self._start("slurmdbd", "-D", ready=lambda: self._answers("sacctmgr", "list", "cluster"))
        for what in (("cluster", CLUSTER), ("account", ACCOUNT), ("user", "root", f"account={ACCOUNT}")):
            self.run("sacctmgr", "--immediate", "add", *what)
        self._start("slurmctld", "-D", ready=lambda: self._answers("scontrol", "ping"))
        for node in NODES:
            self._start("slurmd", "-D", "-N", node, ready=lambda node=node: self._is_idle(node), log_name=node)

    def _start(self, name: str, *arguments: str, ready: Callable[[], bool], log_name: str = "") -> None:
        log = self.folder / "log" / f"{log_name or name}.log"
        # The client library of MariaDB, in slurmdbd, finds the socket by this variable.
        environment = {**self.environment, "MYSQL_UNIX_PORT": str(self.folder / "run" / "mariadb.socket")}
        with log.open("wb") as file:
            child = subprocess.Popen(
                [name, *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._children.append(child)
        if not _within(PATIENCE, lambda: child.poll() is not None or ready()) or child.poll() is not None:
            why = "does not come up" if child.poll() is None else f"stopped with {child.returncode}"
            end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise SlurmError(f"{name} {why}. The end of {log}:\n{end}")

    def _is_idle(self, node: str) -> bool:
        asked = self._ask("sinfo", "--noheader", f"--nodes={node}", "--partition=gpu", "--format=%T")
        return asked.stdout.strip() == "idle"

    def _is_of_a_job(self, pid: int) -> bool:
        with suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            return b"SLURM_JOB_ID=" in environment and os.fsencode(f"{self.folder}/") in environment
        return False

    def _answers(self, *command: str) -> bool:
        return self._ask(*command).returncode == 0

    def _ask(self, *command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=cwd or self.folder, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true in this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _executables() -> dict[int, str]:
    """Name of each running process's executable, without the suffix that Debian gives some."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found[int(folder.name)] = (folder / "exe").readlink().name.removesuffix("-wlm")
    return found


def _holds_file_in(pid: int, folder: str) -> bool:
    with suppress(OSError):
        return any(str(each.readlink()).startswith(folder) for each in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def main() -> None:
    """Up or down from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["up", "down"])
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    if why := debian.unusable():
        sys.exit(why)
    slurm = Slurm(asked.folder)
    try:
        getattr(slurm, asked.do)()
    except RuntimeError as error:
        sys.exit(str(error))
    if asked.do == "up":
        print(f"export PATH={slurm.folder}/bin:$PATH SLURM_CONF={slurm.environment['SLURM_CONF']}")


if __name__ == "__main__":
    main()
