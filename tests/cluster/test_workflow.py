"""The demo configuration, shrunk, from sound to report through sbatch and Apptainer, while all goes wrong that may.

One long run, with trainings that are stopped in every way and a launcher that is killed; the tests look at what it
left. A second run, undisturbed and without Slurm, says what must have come out.
"""

import csv
import json
import re
import shutil
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from accounts import Job, jobs, overhead
from faults import (
    Victim,
    cancel,
    disturb,
    exceed_time_limit,
    fail_node,
    hang,
    requeue,
    running_job,
    stop_by_itself,
    wake,
)
from launcher import Site
from slurm import ACCOUNT, NODES, Slurm

from helpers import REPO, Checkout

pytestmark = pytest.mark.cluster

PATIENCE = 900.0  # seconds for a part of the run on a busy machine; usually it takes one or two hundred
ROUNDS = 8  # enough for all that happens to one training, one after the other
TRAIN = {"epochs": ROUNDS, "schedule": {"warmup_steps": 4}}
SHRUNK = {
    "datasets": {"soundscapes": {"source": {"sites": 4, "recordings": 40, "clips_per_recording": 2}, "shards": 2}},
    "corpora": {"own": {"parts": [{"dataset": "soundscapes"}], "val": 0.2}},
    "pretraining": {
        "own": {
            "frontend": "fbank128",
            "corpus": "own",
            "net": {"arch": "ssast", "size": "tiny", "patch": [32, 32], "n_frames": 576},
            "train": {"epochs": ROUNDS, "batch_size": 16, "schedule": {"name": "cosine", "warmup_steps": 4}},
        }
    },
    "models": {"ssast-tiny": {"init": {"ssl": "own"}, "train": TRAIN}, "ssast-tiny-scratch": {"train": TRAIN}},
    "experiments": [
        {"dataset": "soundscapes", "model": "ssast-tiny-scratch", "seeds": [0, 1]},
        {"dataset": "soundscapes", "model": "ssast-tiny", "seeds": [0]},
    ],
}
ENCODER = Path("results/pretrain/own-without-soundscapes-fold1/own/seed0")
STARTED, SCRATCH, OTHER = (
    Path(f"results/soundscapes/{model}/fold1/seed{seed}")
    for model, seed in (("ssast-tiny", 0), ("ssast-tiny-scratch", 0), ("ssast-tiny-scratch", 1))
)
COMMENTS = {
    ENCODER: "rule_pretrain_wildcards_own-without-soundscapes-fold1_own_0",
    STARTED: "rule_finetune_wildcards_soundscapes_ssast-tiny_1_0",
    SCRATCH: "rule_finetune_wildcards_soundscapes_ssast-tiny-scratch_1_0",
    OTHER: "rule_finetune_wildcards_soundscapes_ssast-tiny-scratch_1_1",
}
PAGE = "results/report/index.html"  # models' own pages and their figures are jobs of the same kinds
TIMES = {"seconds", "clips_per_s"}  # columns of histories


@dataclass
class Night:
    """What is left in the morning: the site, its jobs, what each launch told, and a site where nothing went wrong."""

    site: Site
    jobs: list[Job]
    no_account: str
    no_gpu: str
    disturbed: str
    refused: str
    last: str
    undisturbed: Site


@pytest.fixture(scope="module")
def site(slurm: Slurm, image: Path, clean_checkout: Path, tmp_path_factory) -> Site:
    """A checkout on the cluster."""
    site = Site(Checkout.copied(clean_checkout, tmp_path_factory.mktemp("site") / "tymbal"), slurm)
    site.prepare(image)
    return site


@pytest.fixture(scope="module")
def night(site: Site, tmp_path_factory) -> Night:
    """All of it, one after the other."""
    slurm = site.slurm
    arguments = ("--configfile", "config/config.yaml", site.configure("shrunk", SHRUNK))
    site.edit(lambda profile: profile["default-resources"].update(slurm_account="nobody"))
    with site.start(*arguments, "--no-hooks", "--", "resources/soundscapes/tags.csv") as launcher:
        no_account = launcher.ends(PATIENCE, ok=False)
    site.edit(lambda profile: profile["default-resources"].update(slurm_account=ACCOUNT))
    prepared = ("features", str(ENCODER.parents[1] / "norm" / "fbank128.json"))
    with site.start(*arguments, "--retries", "0", "--", *prepared, str(SCRATCH / "model.safetensors")) as launcher:
        no_gpu = launcher.ends(PATIENCE, ok=False)

    undisturbed = site.copied(tmp_path_factory.mktemp("undisturbed") / "tymbal")
    wanted = [str(run / "metrics.json") for run in (STARTED, SCRATCH, OTHER)]
    with undisturbed.start(*arguments, "--no-hooks", "--", *wanted, profile="local") as local:
        disturbed, refused = _disturb(site, *arguments)
        with site.start(*arguments, "--no-hooks", "--", PAGE) as launcher:
            last = launcher.ends(PATIENCE, ok=True)
        local.ends(PATIENCE, ok=True)
    return Night(site, jobs(slurm), no_account, no_gpu, disturbed, refused, last, undisturbed)


def _disturb(site: Site, *arguments: str) -> tuple[str, str]:
    """Words of the launcher that is killed in the end, and of the one that comes too early after it."""
    site.configure("shrunk", {**SHRUNK, "allow_cpu": True})
    # No time is left after one round.
    grace = "10**6 if wildcards.seed == '1' and attempt == 1 else 10"
    site.edit(lambda profile: profile["set-resources"]["finetune"].update(grace=grace))
    faults = {
        ENCODER: [requeue],
        STARTED: [fail_node, hang],
        SCRATCH: [exceed_time_limit, cancel, hang],
        OTHER: [stop_by_itself, requeue],
    }
    victims = [
        Victim(COMMENTS[run], site.folder / run / "checkpoints" / "last.safetensors", todo)
        for run, todo in faults.items()
    ]
    with site.start(*arguments, "--no-hooks", "--", PAGE) as launcher:
        disturb(victims, site.slurm, launcher, PATIENCE)
        launcher.kill()
        disturbed = launcher.output
    site.checkout.run("snakemake", "--unlock")
    with site.start(*arguments) as launcher:
        refused = launcher.ends(PATIENCE, ok=False)
    goes_on, is_cancelled = (running_job(site.slurm, COMMENTS[run]) for run in (STARTED, SCRATCH))
    wake(site.slurm, goes_on)
    cancel(site.slurm, is_cancelled)
    site.slurm.wait_until_idle(PATIENCE)
    return disturbed, refused


def trained(night: Night, comment: str) -> list[str]:
    """States in which the jobs of a training ended."""
    return [job.state for job in night.jobs if job.comment == comment]


def test_a_wrong_account_is_told(night):
    assert re.search(
        rf"The given account nobody appears to be invalid\. Available accounts:\n.*\b{ACCOUNT}\b", night.no_account
    )


def test_a_gpu_that_is_not_there_stops_a_training_before_it_begins(night):
    assert "the job asked for 1 GPU, but torch 2.11.0" in night.no_gpu
    assert "To compute on the CPU on purpose" in night.no_gpu
    assert trained(night, COMMENTS[SCRATCH])[0] == "FAILED"
    assert "Error in rule finetune" in night.no_gpu
    assert "INFO training on" not in night.no_gpu


def test_it_is_validated_before_anything_is_submitted(night):
    before, validated, after = night.no_gpu.partition("Everything, with all cases: results/validate/report.html")
    assert validated
    assert "has been submitted" not in before
    assert "has been submitted" in after


def test_rules_run_in_the_image(night, image):
    done = {job.number: job.rule for job in night.jobs if job.state == "COMPLETED"}
    logs = {path.stem: path.read_text() for path in (night.site.folder / "logs" / "slurm").rglob("*.log")}
    outside = {
        rule
        for number, rule in done.items()
        if f"Activating singularity image containers/{image.name}" not in logs[number]
    }
    assert not outside
    assert {"synthesise_soundscapes", "compute_fbank", "pretrain", "finetune", "evaluate", "write_report"} <= set(
        done.values()
    )


def test_the_run_record_names_container_and_job(night, image):
    for run, comment in COMMENTS.items():
        record = json.loads((night.site.folder / run / "run.json").read_text())
        done = [job.number for job in night.jobs if job.comment == comment and job.state == "COMPLETED"]
        assert [record["environment"]["slurm_job"]] == done
        assert record["environment"]["container"] == image.name


def test_features_are_computed_in_several_jobs_at_once(night):
    first, second = (job for job in night.jobs if job.rule == "compute_fbank")
    assert {first.node, second.node} == set(NODES)
    assert second.started < first.ended


def test_two_jobs_never_have_one_gpu_at_once(night):
    asked = [job for job in night.jobs if job.gpus]
    assert len(asked) > 8
    for first, second in combinations(asked, 2):
        assert first.node != second.node or first.ended <= second.started


def test_what_happened_to_trainings_is_told(night):
    assert trained(night, COMMENTS[ENCODER]) == ["REQUEUED", "COMPLETED"]
    assert trained(night, COMMENTS[SCRATCH]) == ["FAILED", "TIMEOUT", "CANCELLED by 0", "CANCELLED by 0", "COMPLETED"]
    assert "SLURM status is: 'TIMEOUT'" in night.disturbed
    assert "SLURM status is: 'CANCELLED'" in night.disturbed
    assert "stopped from outside (SIGTERM)" in night.disturbed
    assert trained(night, COMMENTS[STARTED]) == ["NODE_FAIL", "COMPLETED"]
    assert trained(night, COMMENTS[OTHER]) == ["FAILED", "REQUEUED", "COMPLETED"]
    assert f"stopped before the job's time limit; epoch 1 of {ROUNDS} is finished and saved" in night.disturbed


def test_jobs_of_a_killed_launcher_are_not_submitted_again(night):
    assert "Nothing was submitted." in night.refused
    left = set(re.findall(r"^  - \d+ RUNNING \S+ finetune: (\S+)", night.refused, re.MULTILINE))
    assert left == {"soundscapes_ssast-tiny_1_0", "soundscapes_ssast-tiny-scratch_1_0"}
    again = re.findall(r"submitted with SLURM jobid \d+ \(log: \S+/rule_finetune/(\S+)/", night.last)
    assert again == ["soundscapes_ssast-tiny-scratch_1_0"]  # the other one ended meanwhile


@pytest.mark.parametrize("run", COMMENTS, ids=["pretrain", "pretrained", "scratch", "other seed"])
def test_a_disturbed_training_ends_as_an_undisturbed_one(night, run):
    found, expected = night.site.folder / run, night.undisturbed.folder / run
    weights = "encoder.safetensors" if run == ENCODER else "model.safetensors"
    exact = [weights] if run == ENCODER else [weights, "thresholds.json", "calibration.json", "predictions.csv"]
    for name in exact:
        assert (found / name).read_bytes() == (expected / name).read_bytes(), name
    assert history(found) == history(expected)
    if run != ENCODER:
        assert metrics(found) == metrics(expected)


def test_a_training_on_two_nodes_has_the_curve_of_one_process(night, tmp_path):
    site = night.site.copied(tmp_path / "tymbal")
    shutil.rmtree(site.folder / SCRATCH)
    resources = {"gpu": 2, "nodes": 2, "tasks": 2, "tasks_per_gpu": 0}
    resources["mpi"] = "srun --cpus-per-task=2 --kill-on-bad-exit=1"
    site.edit(lambda profile: profile["set-resources"]["finetune"].update(resources))
    arguments = ("--configfile", "config/config.yaml", "config/shrunk.yaml", "--no-hooks", "--")
    # Without a second attempt: one process that ends badly must not hide behind it.
    with site.start(*arguments[:-1], "--retries", "0", "--", str(SCRATCH / "model.safetensors")) as launcher:
        launcher.ends(PATIENCE, ok=True)
    assert jobs(site.slurm)[-1].node == "node[1-2]"
    log = (site.folder / "logs/finetune/soundscapes/ssast-tiny-scratch/fold1/seed0.log").read_text()
    assert "starting 1 processes on each of 2 nodes: srun" in log
    assert "apptainer exec" in log
    for row, alone in zip(history(site.folder / SCRATCH), history(night.undisturbed.folder / SCRATCH), strict=True):
        for column in ("train_loss", "val_loss"):
            assert float(row[column]) == pytest.approx(float(alone[column]), rel=1e-3), (row, alone)


def metrics(folder: Path) -> dict[str, object]:
    told = json.loads((folder / "metrics.json").read_text())
    del told["made_from"]["run.json"]  # which tells times, too
    return told


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(encoding="utf-8") as file:
        rows = [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]
    assert len(rows) == ROUNDS
    return rows


def test_it_comes_to_the_report(night):
    page = (night.site.folder / PAGE).read_text(encoding="utf-8")
    assert "ssast-tiny-scratch" in page
    assert not list((night.site.folder / "results").rglob("*.partial*"))
    assert not list((night.site.folder / "results").rglob("checkpoints"))


def test_a_season_is_predicted_in_jobs_of_its_own(night, image, tmp_path):
    """Of recordings that are elsewhere: each part by a job in the image, with the scores that one machine gives."""
    season = tmp_path / "2024 春"
    season.mkdir()
    for path in sorted((night.site.folder / "resources/soundscapes/audio").rglob("*.*"))[:6]:
        shutil.copy(path, season)
    before = len(jobs(night.site.slurm))
    settings = ("--config", f"recordings={season}", f"model={STARTED}", "predict={job_hours: 0.005}")
    arguments = ("--configfile", "config/config.yaml", "config/shrunk.yaml", *settings)
    with night.site.start("predict", *arguments) as launcher:
        assert "Predicted. Page: " in launcher.ends(PATIENCE, ok=True)
    [table] = (night.site.folder / "results/predictions").glob("*/*/scores.parquet")
    assert (table.parent / "index.html").exists()
    same = table.relative_to(night.site.folder)
    with night.undisturbed.start(str(same), *arguments, profile="local") as launcher:
        launcher.ends(PATIENCE, ok=True)
    pd.testing.assert_frame_equal(pd.read_parquet(table), pd.read_parquet(night.undisturbed.folder / same), rtol=1e-5)
    mine = jobs(night.site.slurm)[before:]
    assert {job.state for job in mine} == {"COMPLETED"}
    assert [job.rule for job in mine].count("predict_part") > 1
    in_image = f"Activating singularity image containers/{image.name}"
    logs = {path.stem: path.read_text() for path in (night.site.folder / "logs/slurm").rglob("*.log")}
    assert all(in_image in logs[job.number] for job in mine)


def test_overhead_of_a_job(night, capsys):
    rows = overhead(night.site.slurm, night.site.folder)
    assert {"prepare_manifest", "finetune", "evaluate"} <= {row["rule"] for row in rows}
    path = REPO / "results" / "bench" / "cluster.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=2) + "\n")
    with capsys.disabled():
        print(f"\nSeconds of a Slurm job, medians; {path.relative_to(REPO)}")
        print(f"{'rule':<26}{'jobs':>6}{'waited':>8}{'ran':>8}{'script':>8}{'beside':>8}")
        for row in rows:
            print(
                f"{row['rule']:<26}"
                + f"{row['jobs']:>6}"
                + "".join(f"{row[key]:>8.1f}" for key in ("waited", "ran", "script", "beside"))
            )
