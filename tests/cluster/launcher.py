"""What a user of the test cluster does: a checkout with the profile's site block filled in, and Snakemake in it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from slurm import ACCOUNT, Slurm

from helpers import Checkout

PROFILE = Path("profiles/slurm/config.yaml")
SNAKEMAKE = Path(__file__).with_name("impatient.py")


class Site:
    """A checkout on the cluster.

    Args:
        checkout: of the project; its profile is edited.
        slurm: that is up.
    """

    def __init__(self, checkout: Checkout, slurm: Slurm) -> None:
        self.checkout, self.folder, self.slurm = checkout, checkout.folder, slurm

    def prepare(self, image: Path) -> None:
        """Fill in the site block of the profile, and put the container image in its place."""
        (self.folder / "containers" / image.name).symlink_to(image)
        self.edit(lambda profile: profile["default-resources"].update(slurm_account=ACCOUNT))
        self.edit(lambda profile: profile.update({"slurm-init-seconds-before-status-checks": 1}))
        # For root, whose capabilities are not always complete in a virtual machine.
        self.edit(lambda profile: profile.update({"apptainer-args": f"{profile['apptainer-args']} --no-privs"}))

    def edit(self, change: Any) -> None:
        """Let a function change the profile's settings."""
        path = self.folder / PROFILE
        profile = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(profile)
        path.write_text(yaml.safe_dump(profile, sort_keys=False), encoding="utf-8")

    def configure(self, name: str, settings: dict[str, Any]) -> str:
        """Write a file of the configuration; returns its path as typed."""
        path = Path("config") / f"{name}.yaml"
        (self.folder / path).write_text(yaml.safe_dump(settings), encoding="utf-8")
        return str(path)

    def start(self, *arguments: str, profile: str = "slurm") -> "Launcher":
        """`snakemake --profile slurm` with these arguments, in the background."""
        return Launcher(self, "--profile", profile, *arguments)

    def copied(self, folder: Path) -> "Site":
        """As it is now, elsewhere."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Site(Checkout(folder), self.slurm)


class Launcher:
    """A running `snakemake`; killed when its `with` block is left.

    Attributes:
        terminal: file of all that it prints.
    """

    def __init__(self, site: Site, *arguments: str) -> None:
        programs = str(Path(sys.executable).parent)  # this interpreter's snakemake, as in an activated environment
        environment = {**site.slurm.environment, "PATH": f"{programs}{os.pathsep}{site.slurm.environment['PATH']}"}
        # The test's own, which the jobs would inherit.
        environment.pop("OMP_NUM_THREADS", None)
        self.terminal = site.folder / f"terminal-{time.time_ns()}.txt"
        with self.terminal.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-P", SNAKEMAKE, *arguments],
                cwd=site.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def __enter__(self) -> "Launcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """All that it has printed."""
        return self.terminal.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """`kill -9`, of it and what it started here; its Slurm jobs go on."""
        if self.running:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def ends(self, seconds: float, ok: bool) -> str:
        """Wait for its end, which `ok` says must be a success or a failure; returns all that it printed."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"Snakemake still runs after {seconds:.0f} s:\n{self.output[-6000:]}") from None
        assert (self._process.returncode == 0) is ok, self.output[-8000:]
        return self.output
