"""One process holds a folder; a killed one lets go of it; what is left behind is in nobody's way."""

import errno
import fcntl
import logging
import multiprocessing
import os
import threading

import pytest

from helpers import kill
from tymbal import lock
from tymbal.errors import InputError
from tymbal.lock import locked


def hold(folder, held, release):
    with locked(folder):
        held.set()
        release.wait()


def take_and_work(folder):
    with locked(folder):
        os.getpid()


def test_a_second_process_is_told_who_holds_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    folder = tmp_path / "run" / "checkpoints"
    process = context.Process(target=hold, args=(folder, held, release))
    process.start()
    held.wait()
    with pytest.raises(InputError) as error, locked(folder):
        pass
    assert f"{folder} is in use by process {process.pid} on {os.uname().nodename} (Slurm job 4711)" in str(error.value)
    assert f"delete {folder}.lock" in str(error.value)
    release.set()
    process.join()
    assert process.exitcode == 0, "being refused must not have taken the holder's file away"
    with locked(folder):
        pass
    assert list(folder.parent.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path):
    kill(take_and_work, tmp_path / "checkpoints", at="os.getpid", call=2)
    assert (tmp_path / "checkpoints.lock").exists()
    with locked(tmp_path / "checkpoints"):
        pass
    assert not (tmp_path / "checkpoints.lock").exists()


def test_it_is_released_after_a_failure(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "checkpoints"):
        _ = 1 / 0
    with locked(tmp_path / "checkpoints"):
        pass


def test_removal_lets_no_two_in_at_once(tmp_path):
    """Threads take and leave as fast as they can; a file opened before its removal and locked after it is no lock."""
    inside, most, entered = 0, 0, 0
    count = threading.Lock()

    def work():
        nonlocal inside, most, entered
        for _ in range(300):
            try:
                with locked(tmp_path / "checkpoints"):
                    with count:
                        inside, entered = inside + 1, entered + 1
                        most = max(most, inside)
                    with count:
                        inside -= 1
            except InputError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entered > 4
    assert most == 1


def test_a_file_removed_between_opening_and_locking_is_no_lock(tmp_path, monkeypatch):
    path, flock, calls = tmp_path / "checkpoints.lock", fcntl.flock, iter((True, False))

    def after_removal(file, operation):
        if next(calls):
            path.unlink()  # by the process that held it
        flock(file, operation)

    monkeypatch.setattr(lock.fcntl, "flock", after_removal)
    with locked(tmp_path / "checkpoints"):
        assert f"process {os.getpid()}" in path.read_text()


def test_without_locks_it_goes_on_with_a_warning(tmp_path, monkeypatch, caplog):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    with caplog.at_level(logging.WARNING), locked(tmp_path / "checkpoints"):
        pass
    assert [record.message for record in caplog.records] == [
        f"{tmp_path}/checkpoints.lock: no locks on this file system ([Errno 37] No locks available); see to it that no "
        "second training runs"
    ]
