"""A clean checkout for tests that type what a user types."""

import compileall
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import REPO, Checkout

# Workers share the cores; libraries' own threads would only wait for each other. Read when they are first imported.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def clean_checkout(tmp_path_factory) -> Path:
    """The project's files as a fresh clone has them, without results or caches but Python's own."""
    folder = tmp_path_factory.mktemp("checkout") / "tymbal"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, target = REPO / name, folder / name
        if source.is_symlink() or source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    # Once, not in each of the processes to come, which may be told to keep no bytecode.
    compileall.compile_dir(folder / "workflow" / "scripts", quiet=1)
    return folder


@pytest.fixture
def checkout(clean_checkout, tmp_path) -> Checkout:
    """A checkout of one test's own."""
    return Checkout.copied(clean_checkout, tmp_path / "tymbal")
