import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import write_store
from tymbal.errors import InputError
from tymbal.store import FeatureStore

LENGTHS = {"001": 28, "NA": 38, "a": 48, "b": 58, "c": 68, "d": 78}


@pytest.fixture
def folder(tmp_path):
    """Clips of several lengths, two in a shard."""
    rng = np.random.default_rng(0)
    clips = {clip_id: rng.normal(-8, 3, (length, 128)) for clip_id, length in LENGTHS.items()}
    return write_store(tmp_path / "fbank", clips, shard_clips=2)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.npy")}


def test_clips_are_where_the_index_says(folder):
    features = FeatureStore(folder)
    shard, start, n_frames = features.where(["d", "001", "c"])
    assert (shard.tolist(), start.tolist(), n_frames.tolist()) == ([2, 0, 2], [68, 0, 0], [78, 28, 68])
    stored = np.load(folder / "1-of-1" / "shard-00002.npy")
    np.testing.assert_array_equal(features.frames("d"), stored[68:146])


def test_clips_that_are_not_there_are_told(folder):
    with pytest.raises(InputError, match=r"fbank/index\.csv: no features of 2 of 3 clips, such as x, y"):
        FeatureStore(folder).where(["a", "x", "y"])


def test_clips_that_one_of_several_stores_lacks_are_told_with_its_name(folder, tmp_path):
    other = write_store(tmp_path / "other", {"a": np.zeros((9, 128))}, shard_clips=1)
    joined = FeatureStore.joined({"first": folder, "second": other})
    assert joined.where(["first:c", "second:a"]).n_frames.tolist() == [68, 9]
    with pytest.raises(InputError) as raised:
        joined.where(["first:c", "second:b"])
    assert str(raised.value).startswith(f"{other}/index.csv: no features of 1 of 2 clips, such as second:b.")
    with pytest.raises(InputError, match=r"fbank/index\.csv and .*other/index\.csv: no features of 2 of 3 clips"):
        joined.where(["first:c", "first:x", "second:b"])


def test_files_are_opened_when_they_are_needed(folder):
    features = FeatureStore(folder)
    (folder / "1-of-1" / "shard-00000.npy").unlink()
    assert len(features.frames("d")) == 78
    with pytest.raises(FileNotFoundError):
        features.frames("001")


def test_a_batch_is_normalised_once_and_cut_or_padded(folder):
    features = FeatureStore(folder)
    mean, std = -4.0, 3.0
    x, n_true = features.batch(features.where(["d", "001", "b", "001"]), 58, mean, std, 0.25)
    assert x.shape == (4, 58, 128) and x.dtype == torch.float32
    assert n_true.tolist() == [58, 28, 58, 28]
    for row, clip_id, kept in zip(x, ["d", "001", "b", "001"], n_true, strict=True):
        raw = torch.from_numpy(features.frames(clip_id)[:kept]).float()
        torch.testing.assert_close(row[:kept], (raw - mean) / (2 * std), rtol=1e-5, atol=1e-6)
        assert (row[kept:] == 0.25).all()


def test_a_reader_cannot_change_the_files(folder):
    features = FeatureStore(folder)
    before, raw = contents(folder), features.frames("a").copy()
    features.batch(features.where(["a"]), 48, -4.0, 3.0, 0.0)[0].zero_()
    np.testing.assert_array_equal(features.frames("a"), raw)
    features.frames("a")[:] = 0
    assert contents(folder) == before


def test_stretches_are_neighbours_joined_in_the_order_of_the_files(folder):
    features = FeatureStore(folder)
    found = list(features.stretches(["b", "NA", "001", "d"]))
    assert [len(frames) for frames in found] == [66, 58, 78]
    wanted = np.concatenate([features.frames(clip_id) for clip_id in ("001", "NA", "b", "d")])
    np.testing.assert_array_equal(np.concatenate(found), wanted)


def test_clips_are_packed_in_the_order_of_the_files(folder):
    features, ids = FeatureStore(folder), ["d", "001", "b", "NA"]
    frames, begin = features.packed(features.where(ids), torch.device("cpu"))
    assert frames.dtype == torch.float16
    assert begin.tolist() == [28 + 38 + 58, 0, 28 + 38, 28]
    for clip_id, first in zip(ids, begin, strict=True):
        np.testing.assert_array_equal(frames[first : first + LENGTHS[clip_id]], features.frames(clip_id))


def test_what_is_read_ahead_are_the_bytes_of_the_clips(folder, monkeypatch):
    features = FeatureStore(folder)
    features.read_ahead(features.where(["d"]))  # as the system has it
    asked = []

    def fadvise(descriptor, offset, length, advice):
        asked.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, offset, length, advice))

    monkeypatch.setattr(os, "posix_fadvise", fadvise)
    features.read_ahead(features.where(["d", "001", "NA"]))
    needed = os.POSIX_FADV_WILLNEED
    assert asked == [("shard-00000.npy", 0, 66 * 256, needed), ("shard-00002.npy", 68 * 256, 78 * 256, needed)]


def test_features_of_another_front_end_are_refused(folder):
    state = FeatureStore(folder).state
    FeatureStore(folder, expected=state.to_json())
    other = dataclasses.replace(state, sample_rate=32000, high_hz=16000.0)
    with pytest.raises(InputError) as raised:
        FeatureStore(folder, expected=other.to_json())
    message = str(raised.value)
    assert "2 problems" in message
    assert "sample_rate: found 16000, expected 32000" in message
    assert "high_hz: found 8000.0, expected 16000.0" in message
