"""`snakemake validate` as it is typed, and on its own before anything is submitted to a cluster."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from helpers import Checkout
from tymbal.validate.findings import LINES

LOCAL = ("snakemake", "validate", "--profile", "local", "--cores", "2", "--configfile", "config/birds.yaml")
CLUSTER = ("--profile", "slurm", "--configfile", "config/birds.yaml", "--slurm-init-seconds-before-status-checks", "1")
SLURM = ("snakemake", "results/birds/files.txt", *CLUSTER)  # one job that is not local, so something would be submitted
SETTINGS = {
    "data_root": "lab",
    "datasets": {
        "birds": {
            "source": {"format": "folders", "audio": "birds"},
            "task": "single-label",
            "classes": ["Frog", "Owl"],
            "split": {"scheme": "holdout", "train": 0.6, "val": 0.2, "test": 0.2},
        }
    },
    "models": {
        "small": {
            "frontend": "fbank128",
            "net": {"arch": "ssast", "size": "tiny", "patch": [128, 16], "stride": [128, 16], "n_frames": 96},
            "train": {
                "loss": "ce",
                "epochs": 1,
                "batch_size": 4,
                "optimizer": {"name": "adam", "lr": 0.0003},
                "schedule": {"name": "cosine"},
            },
        }
    },
    "experiments": [{"dataset": "birds", "model": "small"}],
}
BROKEN = ("--config", "models={small: {init: nowhere.pth}}")


@pytest.fixture(scope="module")
def lab(clean_checkout, tmp_path_factory) -> Checkout:
    """A checkout with a sound collection: a folder a class, ten recordings each."""
    checkout = Checkout.copied(clean_checkout, tmp_path_factory.mktemp("validate") / "tymbal")
    rng = np.random.default_rng(0)
    for label in ("Frog", "Owl"):
        folder = checkout.folder / "lab" / "birds" / label
        folder.mkdir(parents=True)
        for i in range(10):
            soundfile.write(folder / f"{label.lower()}{i}.wav", 0.1 * rng.standard_normal(16000), 16000)
    (checkout.folder / "config" / "birds.yaml").write_text(yaml.safe_dump(SETTINGS))
    return checkout


@pytest.fixture
def faulty(lab):
    """The collection with an empty file, a file cut short and a copy."""
    folder = lab.folder / "lab" / "birds" / "Owl"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    sound = before[folder / "owl3.wav"]
    (folder / "owl1.wav").write_bytes(b"")
    (folder / "owl2.wav").write_bytes(sound[: len(sound) // 2])
    (folder / "twin.wav").write_bytes(sound)
    yield lab
    (folder / "twin.wav").unlink()
    for path, content in before.items():
        path.write_bytes(content)


@pytest.fixture
def submissions(lab, tmp_path, monkeypatch) -> Path:
    """Slurm's commands as programs that do nothing; the file tells what was to be submitted."""
    record = tmp_path / "submitted.txt"
    for name in ("sbatch", "sacct", "squeue", "sinfo", "scontrol", "sacctmgr", "sshare", "scancel"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        body = f'echo "$@" >> {record}; exit 1' if name == "sbatch" else "exit 0"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return record


def report(checkout: Checkout) -> dict:
    return json.loads((checkout.folder / "results/validate/report.json").read_text(encoding="utf-8"))


def summary(output: str) -> list[str]:
    """The part of the output that validation printed."""
    (text,) = re.findall(r"^Validation: .*?^Everything, with all cases: .*?$", output, flags=re.M | re.S)
    return text.split("\n")


def test_sound_data_pass_each_time_it_is_asked_for(lab):
    for _ in range(2):
        output = lab.run(*LOCAL)
        assert summary(output)[0] == "Validation: nothing must be fixed, 0 warnings"
        assert len(summary(output)) <= LINES
    assert report(lab)["ok"]
    assert not (lab.folder / "results" / "birds").exists()


def test_all_problems_are_on_one_page_and_on_one_screen(faulty):
    output = faulty.run(*LOCAL, *BROKEN, ok=False)
    lines = summary(output)
    assert lines[0] == "Validation: 4 errors, 0 warnings"
    assert len(lines) <= LINES
    assert "Traceback" not in output
    told = output.split("Error in rule validate")[1].split("\n")
    assert len(told) <= LINES + 16  # with what Snakemake says of a failed rule
    page = (faulty.folder / "results/validate/report.html").read_text(encoding="utf-8")
    for case in ("owl1.wav", "owl2.wav", "twin.wav", "nowhere.pth"):
        assert case in page, case


def test_nothing_is_submitted_while_something_must_be_fixed(faulty, submissions):
    output = faulty.run(*SLURM, ok=False)
    assert "owl1.wav" in "\n".join(summary(output))
    assert "Nothing was submitted" in output
    assert not submissions.exists()


def test_sound_data_are_submitted_with_the_limits_of_the_profile_checked(lab, submissions):
    """The fake submission fails, so the run does too, after validation."""
    output = lab.run(*SLURM, "--set-resources", "list_clips:runtime=5", "finetune:runtime=7*attempt", ok=False)
    assert summary(output)[0] == "Validation: nothing must be fixed, 0 warnings"
    assert submissions.read_text()
    log = (lab.folder / "logs" / "validate.log").read_text()
    assert "{'minutes': [7, 14, 21], 'gpu': False}" in log  # of `retries` in the profile


def test_dry_runs_and_local_jobs_are_not_preceded_by_it(lab, submissions):
    page = lab.folder / "results/validate/report.html"
    page.unlink(missing_ok=True)
    lab.run(*SLURM, "-n")
    lab.run("snakemake", "results/summary/config.yaml", *CLUSTER)
    assert not page.exists()
    output = lab.run("snakemake", "validate", *CLUSTER)
    assert len(re.findall("^Validation: ", output, flags=re.M)) == 1
    assert "'minutes': [120, 240, 360], 'gpu': True" in (lab.folder / "logs" / "validate.log").read_text()
