"""The running cluster and Apptainer for the tests marked `cluster`, which `pytest -m cluster tests/cluster` runs.

They install Debian packages, so they are left out unless asked for.
"""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apptainer as installer
import debian
import image as builder
import pytest
from slurm import PACKAGES, Slurm


@pytest.fixture(scope="session")
def debian_root() -> None:
    """Skips where the cluster cannot be, else sees to its packages."""
    if why := debian.unusable():
        pytest.skip(why)
    # A run that is ended from outside stops what it started, as one that is interrupted does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _reachable_or_skipped():
        debian.install((*PACKAGES, *installer.FROM_STABLE))


@pytest.fixture
def cluster_folder(debian_root) -> Iterator[Path]:
    """A folder for one more cluster, which every user may enter (those of pytest only its own user)."""
    with _open_folder() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def slurm(debian_root) -> Iterator[Slurm]:
    """The cluster, shared by all tests of the process."""
    with _open_folder() as folder, Slurm(Path(folder)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def apptainer(debian_root) -> Path:
    """The executable of Apptainer."""
    with _reachable_or_skipped():
        return installer.find_or_install()


@pytest.fixture(scope="session")
def image(apptainer, tmp_path_factory) -> Path:
    """The container image of this checkout, with Apptainer to run it."""
    if not builder.cached().exists():
        if shutil.disk_usage(builder.TEMPORARY).free < builder.NEEDED_BYTES:
            pytest.skip(
                f"building the container image needs {builder.NEEDED_BYTES / 1e9:.0f} GB in {builder.TEMPORARY}"
            )
        with _reachable_or_skipped(), debian.from_network():
            folder = tmp_path_factory.mktemp("downloads")
            debian.run(sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, "setuptools")
    return builder.build_or_find()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Each reason to leave tests out once, not for each test."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "tests/cluster/" in report.nodeid]
    for reason in sorted({report.longrepr[2] for report in skipped}):
        terminalreporter.write_line(reason.replace("\n", " "))


@contextmanager
def _reachable_or_skipped() -> Iterator[None]:
    try:
        yield
    except debian.Unreachable as error:
        pytest.skip(f"packages for the test cluster cannot be had: {error}")


def _open_folder() -> "tempfile.TemporaryDirectory[str]":
    memory = Path("/dev/shm")  # where there is room: a database that waits for no disk starts three times faster
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    folder = tempfile.TemporaryDirectory(prefix="slurm-", dir=memory if roomy else None)
    Path(folder.name).chmod(0o755)
    return folder
