"""Jobs that a killed Snakemake left in the queue; the queue is a program that prints what a test wants."""

import os
from pathlib import Path

import pytest

from tymbal.leftover import Leftover, leftovers, sentence


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Writes a `squeue` that prints some lines and ends with a status."""

    def write(*lines: str, status: int = 0) -> None:
        program = tmp_path / "bin" / "squeue"
        program.parent.mkdir(exist_ok=True)
        text = "#!/bin/sh\ncat <<'END'\n" + "".join(f"{line}\n" for line in lines) + f"END\nexit {status}\n"
        program.write_bytes(text.encode(errors="surrogateescape"))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return write


def test_only_rules_of_this_folder_count_by_whatever_name_it_was_entered(tmp_path, queue):
    (tmp_path / "link").symlink_to(tmp_path)
    queue(
        f"11\tRUNNING\t1:02:03\t{tmp_path}/link\trule_finetune_wildcards_a_b_1_0",
        f"12\tPENDING\t0:00\t{tmp_path}\trule_list_clips",
        f"13\tRUNNING\t5:00\t{tmp_path}\t(null)",
        f"14\tRUNNING\t5:00\t{tmp_path.parent}\trule_finetune",
        "15\tRUNNING\t5:00\t/data/\udca4\udca4\ttwo lines",
        "of a comment",
    )
    found = leftovers(tmp_path)
    assert found == [
        Leftover("11", "RUNNING", "1:02:03", "finetune: a_b_1_0"),
        Leftover("12", "PENDING", "0:00", "list_clips"),
    ]
    told = sentence(found)
    assert "`scancel 11 12`" in told
    assert all(f"- {job.job} {job.state} {job.time} {job.what}" in told for job in found)


def test_an_empty_queue_leaves_nothing(tmp_path, queue):
    queue()
    assert leftovers(tmp_path) == []


def test_a_queue_that_does_not_answer_is_warned_of(tmp_path, queue, caplog):
    queue(status=1)
    assert leftovers(tmp_path) == []
    assert "is not known" in caplog.text


def test_so_is_one_that_is_not_there(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(Path(tmp_path) / "nowhere"))
    assert leftovers(tmp_path) == []
    assert "is not known" in caplog.text
