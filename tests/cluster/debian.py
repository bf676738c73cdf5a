"""Debian packages for the test cluster, from the mirror that the machine already uses."""

import fcntl
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

LOCKS = Path("/run/lock")
POLICY = Path("/usr/sbin/policy-rc.d")


class Unreachable(RuntimeError):
    """What must come over the network does not; with what the command said."""


def unusable() -> str:
    """Why this machine cannot carry the test cluster; empty where it can."""
    if not shutil.which("apt-get") or platform.freedesktop_os_release().get("ID") != "debian":
        return "the test cluster is made of Debian's packages, and this is not Debian"
    if os.geteuid() != 0:
        return "the test cluster installs packages and starts daemons, and this is not root"
    if not loopback():
        host = socket.gethostname()
        return (
            "the test cluster listens on loopback only, and this machine's name means another address: add the line "
            f"'127.0.1.1 {host}' to /etc/hosts"
        )
    as_ordinary_user = ("runuser", "--user", "nobody", "--")
    if subprocess.run(
        [*as_ordinary_user, "unshare", "--map-root-user", "--mount", "true"], capture_output=True
    ).returncode:
        return "containers need user namespaces, which this machine does not allow"
    return ""


def loopback() -> str:
    """The loopback address that this machine's name means; empty if it means none."""
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""
    return address if address.startswith("127.") else ""


def mirror() -> str:
    """Address of the archive that this machine's own apt sources name for its release."""
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    listed = run("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages")
    for line in listed.splitlines():
        suite, address = line.split(maxsplit=1)
        if suite == codename:
            return address
    raise RuntimeError(f"apt's sources name no archive for {codename}; they name:\n{listed}")


@contextmanager
def from_network() -> Iterator[None]:
    """A command that fails here is the network's fault."""
    try:
        yield
    except RuntimeError as error:
        raise Unreachable(str(error)) from None


def install(packages: Sequence[str]) -> None:
    """Install packages that are absent, without starting their services.

    Raises:
        Unreachable: apt cannot.
    """
    if not _missing(packages):
        return
    with alone("packages"), _no_services():
        if missing := _missing(packages):  # nobody else has installed them meanwhile
            install = ("apt-get", "install", "--yes", "--no-install-recommends", *missing)
            with from_network():
                run("apt-get", "update")
                run(*install, "--download-only")
            run(*install)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Standard output of a command.

    Raises:
        RuntimeError: it failed; with the command and the end of what it said.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{end}")
    return done.stdout


@contextmanager
def alone(what: str) -> Iterator[None]:
    """One process of the machine at a time does this; parallel test workers would meet at dpkg's lock, for one."""
    with (LOCKS / f"tymbal-{what}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _missing(packages: Sequence[str]) -> list[str]:
    query = ["dpkg-query", "--show", "--showformat=${Package} ${Status}\n", *packages]
    asked = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()  # fails if one is unknown
    installed = {line.split()[0] for line in asked if line.endswith(" installed")}
    return [name for name in packages if name not in installed]


@contextmanager
def _no_services() -> Iterator[None]:
    """Packages' own services would start with the machine's settings and stay."""
    if POLICY.exists():  # the machine decides already
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
