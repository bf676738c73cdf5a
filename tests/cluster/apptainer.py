"""Apptainer for tests: the one on PATH, else Debian unstable's, given its own libraries.

Debian stable has no package of it, and unstable's is linked against a newer C library. So its executables get a
loader and libraries of their own beside them. By hand, as root on Debian: `python tests/cluster/apptainer.py`.
"""

import platform
import shutil
import sys
import tempfile
from pathlib import Path

import debian

SUITE = "sid"
FROM_SUITE = ("apptainer", "libc6", "libseccomp2", "libsqlite3-0")
FROM_STABLE = ("squashfs-tools", "squashfuse", "fuse-overlayfs", "uidmap", "fakeroot", "debootstrap", "patchelf")
LIBRARIES = (
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libm.so.6",
    "libresolv.so.2",
    "libpthread.so.0",
    "libdl.so.2",
    "libnss_files.so.2",
    "libnss_dns.so.2",
    "libseccomp.so.2",
    "libsqlite3.so.0",
)
HOME = Path("/opt/apptainer/lib")
# Compiled into it, so not to choose.
PROGRAM, PARTS, SETTINGS = Path("usr/bin/apptainer"), Path("usr/lib/x86_64-linux-gnu/apptainer"), Path("etc/apptainer")
SESSIONS = Path("/var/lib/apptainer/mnt/session")


def find() -> Path | None:
    """The executable on PATH, if there is one."""
    found = shutil.which("apptainer") or shutil.which("singularity")
    return Path(found) if found else None


def find_or_install() -> Path:
    """The executable on PATH; installed if there is none.

    Raises:
        RuntimeError: a step of the installation failed; with what it said.
    """
    debian.install(FROM_STABLE)
    if found := find():
        return found
    with debian.alone("packages"):
        return find() or _install()


def _install() -> Path:
    if platform.machine() != "x86_64":
        raise RuntimeError(f"Apptainer can be installed here for x86_64 only, this is {platform.machine()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = _unpack(folder)
        HOME.mkdir(parents=True, exist_ok=True)
        for library in LIBRARIES:
            found = next(path for path in tree.rglob(library) if path.exists())
            shutil.copy(found, HOME / library)
        # RPATH, not RUNPATH: it holds for what the libraries themselves need, too.
        loader = ("--set-interpreter", HOME / LIBRARIES[0], "--force-rpath", "--set-rpath", HOME)
        starter, program = tree / PARTS / "bin" / "starter", tree / PROGRAM
        debian.run("patchelf", *loader, starter)
        debian.run("patchelf", *loader, program)
        debian.run(program, "--version")
        for part in (PARTS, SETTINGS):
            shutil.copytree(tree / part, "/" / part, symlinks=True, dirs_exist_ok=True)
        SESSIONS.mkdir(parents=True, exist_ok=True)
        # The program last: it says that all the rest is there.
        shutil.move(program, "/" / PROGRAM)
    return "/" / PROGRAM


def _unpack(folder: Path) -> Path:
    """Packages of the other suite in a folder; apt's state of this machine does not learn of them."""
    sources, lists, tree = folder / "apt.sources", folder / "lists", folder / "tree"
    (lists / "partial").mkdir(parents=True)
    tree.mkdir()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(
        f"Types: deb\nURIs: {debian.mirror()}\nSuites: {SUITE}\nComponents: main\nSigned-By: {keys}\n", encoding="utf-8"
    )
    options = [f"Dir::State::lists={lists}", f"Dir::Etc::sourcelist={sources}", "Dir::Etc::sourceparts=-"]
    options += [f"Dir::Cache::pkgcache={folder}/pkgcache.bin", f"Dir::Cache::srcpkgcache={folder}/srcpkgcache.bin"]
    options += ["APT::Sandbox::User=root"]
    apt = ["apt-get", *(word for option in options for word in ("-o", option))]
    with debian.from_network():
        debian.run(*apt, "update")
        debian.run(*apt, "download", *FROM_SUITE, cwd=folder)
    for package in sorted(folder.glob("*.deb")):
        debian.run("dpkg", "-x", package, tree)
    return tree


if __name__ == "__main__":
    if why := debian.unusable():
        sys.exit(why)
    print(find_or_install())
