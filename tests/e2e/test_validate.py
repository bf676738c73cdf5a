"""`snakemake validate` as it is typed, and on its own before anything is submitted to a cluster."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from helpers import Checkout
from tymbal.validate.findings import LINES

LOCAL = ("snakemake", "validate", "--profile", "local", "--cores", "2", "--configfile", "config/birds.yaml")
CLUSTER = ("--profile", "slurm", "--configfile", "config/birds.yaml", "--slurm-init-seconds-before-status-checks", "1")
CLUSTER += ("--software-deployment-method", "env-modules")  # not in a container
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
        assert "results/report/index.html" not in output
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
    assert "Nothing was submitted. Errors to fix are listed above" in output.rstrip().split("\n")[-1]
    assert not submissions.exists()


def test_a_check_that_is_killed_is_told(lab, submissions):
    """As the kernel kills what takes too much memory: without a word."""
    script = lab.folder / "workflow/scripts/validate.py"
    text = script.read_text()
    assert "        limits = " in text
    script.write_text(
        text.replace("        limits = ", "        import os\n\n        os.kill(os.getpid(), 9)\n        limits = ")
    )
    output = lab.run(*SLURM, ok=False)
    script.write_text(text)
    assert "The check was killed or could not start" in output.rstrip().split("\n")[-1]
    assert not submissions.exists()


def test_a_replaced_file_is_taken_in_and_only_that_one_is_read(lab):
    """Of a folder, Snakemake sees no change in its files: it is told."""
    target = ("snakemake", "results/birds/manifest.csv", "--profile", "local", "--configfile", "config/birds.yaml")
    lab.run(*target)
    path = lab.folder / "lab/birds/Owl/owl5.wav"
    before = path.read_bytes()
    soundfile.write(path, 0.1 * np.random.default_rng(9).standard_normal(8000), 16000)
    lab.run(*target, "--forcerun", "list_clips")
    manifest = (lab.folder / "results/birds/manifest.csv").read_text()
    assert hashlib.sha256(path.read_bytes()).hexdigest() in manifest
    assert hashlib.sha256(before).hexdigest() not in manifest
    assert "1 of 20 files are new, changed" in (lab.folder / "logs/prepare_manifest/birds.log").read_text()
    path.write_bytes(before)
    shutil.rmtree(lab.folder / "results/birds")


def test_sound_data_are_submitted_with_the_limits_of_the_profile_checked(lab, submissions):
    """The fake submission fails, so the run does too, after validation; the profile's GPU is replaced, and missed."""
    output = lab.run(*SLURM, "--set-resources", "list_clips:runtime=5", "finetune:runtime=7*attempt", ok=False)
    assert summary(output)[0] == "Validation: nothing must be fixed, 1 warning"
    assert "asks for no GPU" in summary(output)[1]
    assert submissions.read_text()
    log = (lab.folder / "logs" / "validate.log").read_text()
    assert "{'minutes': [7, 14, 21], 'grace': 0, 'gpus': 0, " in log  # of `retries` in the profile


def test_nothing_is_submitted_beside_jobs_of_an_earlier_start(lab, submissions):
    """They are told with what to do about them; jobs of others and of other folders are none of its business."""
    queued = [
        ("7", "RUNNING", "1:02", str(lab.folder), "rule_finetune_wildcards_birds_small_1_0"),
        ("8", "RUNNING", "1:02", str(lab.folder), "(null)"),
        ("9", "PENDING", "0:00", str(lab.folder.parent), "rule_finetune"),
    ]
    program = submissions.parent / "bin" / "squeue"
    program.write_text("#!/bin/sh\ncat <<'END'\n" + "".join("\t".join(job) + "\n" for job in queued) + "END\n")
    output = lab.run(*SLURM, ok=False)
    assert "- 7 RUNNING 1:02 finetune: birds_small_1_0" in output
    assert "`scancel 7`" in output
    assert not submissions.exists()


def test_dry_runs_and_local_jobs_are_not_preceded_by_it(lab, submissions):
    page = lab.folder / "results/validate/report.html"
    page.unlink(missing_ok=True)
    lab.run(*SLURM, "-n")
    lab.run("snakemake", "results/summary/config.yaml", *CLUSTER)
    assert not page.exists()
    output = lab.run("snakemake", "validate", *CLUSTER)
    assert len(re.findall("^Validation: ", output, flags=re.M)) == 1
    assert "'minutes': [120, 240, 360], 'grace': 10, 'gpus': 1" in (lab.folder / "logs" / "validate.log").read_text()
