"""Copies of feature stores: what a reader reads, compared with the original, gone at the end."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers import write_store
from tymbal import staging
from tymbal.errors import InputError
from tymbal.staging import staged
from tymbal.store import FeatureStore


@pytest.fixture
def stores(tmp_path) -> list[Path]:
    rng = np.random.default_rng(0)
    folders = []
    for dataset in ("one", "two"):
        clips = {f"clip{i}": rng.normal(-8, 2, (9 + i, 4)) for i in range(5)}
        folders.append(write_store(tmp_path / "results" / dataset / "fbank", clips, shard_clips=2))
    return folders


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Path:
    """A node's own disk."""
    (tmp_path / "disk").mkdir()
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "disk"))
    return tmp_path / "disk"


def frames(folder):
    store = FeatureStore(folder)
    return np.concatenate([store.frames(clip_id) for clip_id in store.clip_ids])


def test_copies_hold_what_the_stores_hold_and_go_at_the_end(stores, disk, caplog):
    (stores[0] / ".1-of-2.work").mkdir()
    (stores[0] / ".1-of-2.work" / "shard-00000.npy").write_bytes(b"unfinished")
    with caplog.at_level(logging.INFO), staged(stores, "${NODE_DISK}") as copies:
        for store, copy in zip(stores, copies, strict=True):
            assert copy.is_relative_to(disk)
            assert str(copy).endswith(str(store)), "messages about a copy show which store it is"
            assert np.array_equal(frames(copy), frames(store))
        assert not list(disk.rglob(".*"))
        n_bytes = sum(file.stat().st_size for file in disk.rglob("*.*"))
    assert list(disk.iterdir()) == []
    assert f"staged {n_bytes} bytes in {disk}/tymbal-" in caplog.text


def test_two_jobs_on_one_machine_do_not_meet(stores, disk):
    with staged(stores, "$NODE_DISK") as first:
        with staged(stores, "$NODE_DISK") as second:
            assert not set(first) & set(second)
        assert np.array_equal(frames(first[0]), frames(stores[0]))


def test_copies_go_after_a_failure_too(stores, disk):
    with pytest.raises(ZeroDivisionError), staged(stores, "$NODE_DISK"):
        _ = 1 / 0
    assert list(disk.iterdir()) == []


def test_without_a_folder_the_stores_are_read_where_they_are(stores):
    with staged(stores, None) as same:
        assert same == stores


def test_a_copy_that_differs_is_refused(stores, disk, monkeypatch):
    read = staging.sha256

    def decayed(path):
        if path.name == "shard-00001.npy":
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
        return read(path)

    monkeypatch.setattr(staging, "sha256", decayed)
    with (
        pytest.raises(InputError, match=r"the copy .*shard-00001\.npy on .* differs from .*one/fbank/1-of-1/shard"),
        staged(stores, "$NODE_DISK"),
    ):
        pass
    assert list(disk.iterdir()) == []


def test_an_unset_variable_is_named(stores, monkeypatch):
    monkeypatch.delenv("NODE_DISK", raising=False)
    with (
        pytest.raises(InputError, match=r"'\$NODE_DISK/x' names the variable NODE_DISK, which is not set on"),
        staged(stores, "$NODE_DISK/x"),
    ):
        pass


def test_a_folder_that_is_not_there_is_not_made(stores, disk):
    with pytest.raises(InputError, match=f"{disk}/x .* is not a folder on"), staged(stores, "$NODE_DISK/x"):
        pass
    assert list(disk.iterdir()) == []


def test_too_little_space_is_told_before_anything_is_copied(stores, disk, monkeypatch):
    n_bytes = sum(file.stat().st_size for store in stores for file in store.rglob("*.*"))
    usage = shutil.disk_usage(disk)
    monkeypatch.setattr(staging, "_copy", None)
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda _: usage._replace(free=n_bytes - 1))
    with (
        pytest.raises(InputError, match=r"need 0\.00 GB, but .*/disk on .* has 0\.00 GB free\. Name another folder"),
        staged(stores, "$NODE_DISK"),
    ):
        pass
    monkeypatch.setattr(staging, "_copy", lambda *_: None)
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda _: usage._replace(free=n_bytes))
    with staged(stores, "$NODE_DISK"):
        pass


def test_a_disk_that_fills_up_is_told(stores, disk, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(staging, "_copy", full)
    with (
        pytest.raises(InputError, match=r"state\.json on .*: No space left on device while copying"),
        staged(stores, "$NODE_DISK"),
    ):
        pass
    assert list(disk.iterdir()) == []
