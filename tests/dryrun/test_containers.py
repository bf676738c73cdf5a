"""What is told before any job runs in a container; needs no container."""

import os
from pathlib import Path

import pytest

from tymbal.image import image_path

APPTAINER = "--software-deployment-method", "apptainer"
REAL = ("snakemake", "--profile", "local", "--configfile", "config/test.yaml", *APPTAINER)


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A PATH with all programs of this machine, but neither Apptainer nor Singularity; returns its first folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in map(Path, os.environ["PATH"].split(os.pathsep)):
        for program in place.glob("*"):
            if program.name not in ("apptainer", "singularity") and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def apptainer(programs) -> None:
    """A program that says it is Apptainer."""
    (programs / "apptainer").write_text("#!/bin/sh\necho apptainer version 1.4.5\n")
    (programs / "apptainer").chmod(0o755)


def test_a_plan_needs_neither_apptainer_nor_the_image(checkout, programs):
    assert checkout.plan("--profile", "slurm", *APPTAINER)["finetune"] == 2


def test_a_missing_apptainer_is_told_before_anything_runs(checkout, programs):
    said = checkout.run(*REAL, ok=False)
    assert "neither apptainer nor singularity is on PATH" in said
    assert "--software-deployment-method env-modules" in said
    assert "Traceback" not in said
    assert not (checkout.folder / "logs").exists()


def test_a_missing_image_is_told_with_the_command_that_builds_it(checkout, apptainer):
    said = checkout.run(*REAL, "--no-hooks", ok=False)
    assert f"{image_path(checkout.folder)} is missing. Build it: ./containers/build.sh" in said
    assert "Traceback" not in said
    assert not (checkout.folder / "logs").exists()
    assert not any((checkout.folder / ".snakemake" / "locks").iterdir())


def test_the_image_of_the_checkout_serves_another_working_directory(checkout, apptainer, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "test.yaml").write_bytes((checkout.folder / "config" / "test.yaml").read_bytes())
    files = (str(checkout.folder / "config" / "config.yaml"), str(work / "test.yaml"))
    said = checkout.run(
        "snakemake", "--cores", "1", "--directory", str(work), "--configfile", *files, *APPTAINER, ok=False
    )
    assert f"../tymbal/{image_path(checkout.folder)} is missing. Build it: ../tymbal/containers/build.sh" in said


def test_a_folder_that_cannot_be_mounted_is_told_in_a_plan(checkout, apptainer):
    said = checkout.run("snakemake", "-n", *APPTAINER, "--config", "roots={disk: /}", ok=False)
    assert "'/': is the whole file system" in said
    assert "Traceback" not in said
