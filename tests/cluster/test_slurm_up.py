"""The test cluster is a Slurm that schedules a GPU, keeps account of jobs, and goes without a trace."""

import time
from itertools import pairwise
from pathlib import Path

import pytest
import slurm as module
from slurm import ACCOUNT, DAEMONS, NODES, Slurm, SlurmError

pytestmark = pytest.mark.cluster


def submit(slurm: Slurm, folder: Path, script: str) -> str:
    """Number of a submitted job with the GPU; its output is in `<number>.txt`."""
    options = ("--parsable", "--partition=gpu", "--gpus=1", f"--account={ACCOUNT}", f"--output={folder}/%j.txt")
    return slurm.run("sbatch", *options, f"--wrap={script}").strip()


def test_the_nodes_are_idle_and_have_a_gpu_each(slurm):
    slurm.wait_until_idle()
    listed = slurm.run("sinfo", "--noheader", "--Node", "--partition=gpu", "--format=%N %T %G")
    assert listed.splitlines() == [f"{node} idle gpu:1" for node in NODES]


def test_a_job_gets_the_gpu_and_is_accounted_for(slurm, tmp_path):
    job = submit(slurm, tmp_path, "echo gpu=$CUDA_VISIBLE_DEVICES")
    assert slurm.wait_for(job) == "COMPLETED"
    assert (tmp_path / f"{job}.txt").read_text() == "gpu=0\n"


def test_a_job_that_fails_is_accounted_for(slurm, tmp_path):
    assert slurm.wait_for(submit(slurm, tmp_path, "exit 3")) == "FAILED"


def test_two_jobs_never_have_the_gpu_at_once(slurm, tmp_path):
    jobs = [submit(slurm, tmp_path, "echo $SLURMD_NODENAME; date +%s.%N; sleep 2; date +%s.%N") for _ in range(4)]
    assert {slurm.wait_for(job) for job in jobs} == {"COMPLETED"}
    held = sorted((tmp_path / f"{job}.txt").read_text().split() for job in jobs)  # node, from, to
    for first, second in pairwise(held):
        assert first[0] != second[0] or float(first[2]) <= float(second[1])


def test_a_wrong_account_is_refused(slurm):
    with pytest.raises(SlurmError, match="Invalid account"):
        slurm.run("sbatch", "--account=nobody", "--wrap=true")


def test_up_again_changes_nothing(slurm):
    before = slurm.processes()
    slurm.up()
    assert slurm.processes() == before


def test_down_leaves_no_process_and_touches_no_other_cluster(slurm, cluster_folder, tmp_path):
    other = slurm.processes()
    mine = Slurm(cluster_folder)
    mine.up()
    submit(mine, tmp_path, f"sleep 600 & echo $! > {tmp_path}/started; trap '' TERM; wait")
    started = tmp_path / "started"
    while not started.exists() or not started.read_text():
        time.sleep(0.2)
    running = set(mine.processes())
    assert int(started.read_text()) in running
    mine.down()
    assert not [pid for pid in running if Path(f"/proc/{pid}/exe").exists()]  # one that ended and still counts has none
    assert mine.processes() == {}
    assert slurm.processes() == other
    mine.down()


def test_a_start_that_fails_leaves_no_process_and_tells_why(cluster_folder, monkeypatch):
    monkeypatch.setattr(module, "NODES", (NODES[0], "absent"))
    mine = Slurm(cluster_folder)
    with pytest.raises(SlurmError, match=r"(?s)slurmd stopped with 1.*log/absent\.log"):
        mine.up()
    assert mine.processes() == {}
    logs = {path.stem for path in (cluster_folder / "log").iterdir()}
    assert {*DAEMONS[:-1], NODES[0]} <= logs  # all the others had come up
