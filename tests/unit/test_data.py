"""The order in which clips are read: every clip once, mixed, and in windows where there are many."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers import write_store
from tymbal.errors import InputError
from tymbal.norm import Scale
from tymbal.seeds import derive
from tymbal.store import FeatureStore
from tymbal.train import data, distributed, frames
from tymbal.train.data import ClipSet, check_lengths, epoch_order
from tymbal.train.frames import fits

T, F, C = 12, 8, 3
PER_SHARD = 10


def clip_set(folder, n, labels=None) -> ClipSet:
    """`n` clips of 6 to 15 frames, `PER_SHARD` in a shard."""
    rng = np.random.default_rng(0)
    clips = {f"clip{i:04d}": rng.normal(-8, 1, (6 + i % 10, F)) for i in range(n)}
    store = FeatureStore(write_store(folder, clips, shard_clips=PER_SHARD))
    labels = np.eye(C, dtype=np.float32)[np.arange(n) % C] if labels is None else labels
    return ClipSet(store, tuple(clips), labels, T, Scale(-8.0, 2.0, 0.0), torch.device("cpu"))


@pytest.fixture
def many(tmp_path, monkeypatch):
    """200 clips in 20 shards of 105 frames; four shards are a window."""
    monkeypatch.setattr(data, "WINDOW_FRAMES", 4 * 105)
    return clip_set(tmp_path / "store", 200)


def test_order_depends_on_seed_and_epoch_only(tmp_path):
    clips = clip_set(tmp_path / "store", 21)
    (first,) = epoch_order(clips, "none", 0, 1)
    assert sorted(first) == list(range(21))
    assert np.array_equal(first, epoch_order(clips, "none", 0, 1)[0])
    assert not np.array_equal(first, epoch_order(clips, "none", 0, 2)[0])
    assert not np.array_equal(first, epoch_order(clips, "none", 1, 1)[0])


def test_what_fits_in_memory_comes_in_any_order(tmp_path):
    clips = clip_set(tmp_path / "store", 60)
    (order,) = epoch_order(clips, "none", 5, 3)
    assert np.array_equal(order, np.random.default_rng(derive(5, "order", 3)).permutation(60))


def test_balanced_sampling_evens_out_classes(tmp_path):
    labels = np.zeros((2000, 3))
    labels[:, 0] = 1.0  # in every clip
    labels[:100, 1] = 0.6  # 5 %
    labels[100:110, 2] = 1.0  # 0.5 %
    clips = clip_set(tmp_path / "store", 2000, labels)
    drawn = np.concatenate([position for epoch in range(20) for position in epoch_order(clips, "balanced", 0, epoch)])
    share = (labels[drawn] > 0).mean(axis=0)
    assert len(drawn) == 20 * 2000
    assert share[1] == pytest.approx(1 / 3 + 100 / 2000 / 3, abs=0.02)
    assert share[2] == pytest.approx(1 / 3 + 10 / 2000 / 3, abs=0.02)


def test_many_clips_come_in_windows_of_a_few_shards_each_clip_once(many):
    windows = epoch_order(many, "none", 0, 1)
    assert sorted(np.concatenate(windows)) == list(range(200))
    shards = [set(window // PER_SHARD) for window in windows]
    assert [len(window) for window in shards] == [4] * 5
    assert len(set.union(*shards)) == 20  # no shard is in two windows
    for window in windows:
        mixed = window // PER_SHARD
        assert (np.diff(mixed) != 0).mean() > 0.5  # clips of a window's shards are mixed
    again = epoch_order(many, "none", 0, 1)
    assert all(np.array_equal(a, b) for a, b in zip(windows, again, strict=True))
    other = epoch_order(many, "none", 0, 2)
    assert [set(window // PER_SHARD) for window in other] != shards


def test_balanced_draws_keep_to_windows_too(many):
    drawn = np.sort(np.concatenate(epoch_order(many, "balanced", 0, 1)))
    rng = np.random.default_rng(derive(0, "order", 1))
    assert np.array_equal(drawn, np.sort(rng.choice(200, size=200, p=weights(many.labels))))
    shards = [set(window // PER_SHARD) for window in epoch_order(many, "balanced", 0, 1)]
    assert len(shards) == 5
    assert sum(map(len, shards)) == len(set.union(*shards))


@pytest.mark.parametrize("sampling", ["none", "balanced"])
def test_fewer_clips_are_drawn_once_each_and_anew_for_every_epoch(many, sampling):
    first, second = (np.concatenate(epoch_order(many, sampling, 0, epoch, 50)) for epoch in (1, 2))
    assert len(first) == len(set(first)) == 50
    assert set(first) != set(second)
    assert np.array_equal(first, np.concatenate(epoch_order(many, sampling, 0, 1, 50)))


def test_fewer_clips_are_drawn_by_weight_in_any_order(tmp_path):
    """Of 60 clips two are alone in their class and weigh 20 times as much; one is of no class."""
    labels = np.zeros((60, 3))
    labels[:20, 0] = labels[20:57, 1] = labels[57:59, 2] = 1
    clips = clip_set(tmp_path / "store", 60, labels)
    drawn = np.stack([epoch_order(clips, "balanced", 0, epoch, 6)[0] for epoch in range(2000)])
    share = np.bincount(drawn.ravel(), minlength=60) / 2000
    rng, p = np.random.default_rng(1), weights(labels)
    expected = np.bincount(np.ravel([rng.choice(60, 6, False, p) for _ in range(2000)]), minlength=60) / 2000
    for group in (slice(0, 20), slice(20, 57), slice(57, 59)):
        assert share[group].mean() == pytest.approx(expected[group].mean(), rel=0.05)
    assert share[59] == 0
    rare_place = np.nonzero((drawn == 57) | (drawn == 58))[1]
    assert rare_place.mean() == pytest.approx(2.5, abs=0.15)


@pytest.mark.parametrize(("sampling", "size"), [("none", 21), ("balanced", 20)])
def test_an_epoch_of_fewer_clips_needs_more_to_draw_from(tmp_path, sampling, size):
    labels = np.eye(C)[np.arange(21) % C]
    labels[0] = 0  # of no class: it is never drawn
    clips = clip_set(tmp_path / "store", 21, labels)
    with pytest.raises(InputError, match=rf"train.epoch_clips is {size}, but there are {size} training clips"):
        epoch_order(clips, sampling, 0, 1, size)
    assert len(epoch_order(clips, sampling, 0, 1, size - 1)[0]) == size - 1


def weights(labels):
    weight = labels @ (1 / labels.sum(axis=0))
    return weight / weight.sum()


def test_few_clips_of_many_shards_are_one_window(many):
    some = ClipSet(many.store, many.clip_ids[::10], many.labels[::10], T, many.scale, many.device)
    assert len(epoch_order(some, "none", 0, 1)) == 1


class AtOnce:
    """An executor without threads, so that what happens before what is the same every time."""

    def __init__(self, n_threads):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def submit(self, function, *arguments):
        result = function(*arguments)
        return SimpleNamespace(result=lambda: result)


def test_a_window_is_asked_for_when_the_one_before_begins(many, monkeypatch):
    monkeypatch.setattr(data, "ThreadPoolExecutor", AtOnce)
    windows = epoch_order(many, "none", 0, 1)
    asked, asked_at, seen = [], [], []

    def read_ahead(self, places):
        asked.append(places)
        asked_at.append(len(seen))

    monkeypatch.setattr(FeatureStore, "read_ahead", read_ahead)
    for batch in many.batches(windows, 16):
        seen.append(batch)
    for places, window in zip(asked, windows, strict=True):
        assert np.array_equal(places, many.store.where([many.clip_ids[i] for i in window]))
    assert [len(window) for window in windows] == [40] * 5
    assert asked_at == [0, 0, 2, 5, 7]  # batches of 16 before clips 0, 0, 40, 80, 120


def test_batches_go_on_over_the_ends_of_windows(many):
    windows = epoch_order(many, "none", 0, 1)
    seen = list(many.batches(windows, 16))
    assert [len(batch.x) for batch in seen] == [16] * 12 + [8]
    labels = torch.cat([batch.y for batch in seen])
    assert torch.equal(labels, torch.from_numpy(many.labels[np.concatenate(windows)]))


def test_one_window_is_not_read_ahead(many, monkeypatch):
    monkeypatch.setattr(FeatureStore, "read_ahead", lambda self, ids: pytest.fail("asked for"))
    assert sum(len(batch.x) for batch in many.in_order(16)) == 200


def test_batches_are_normalised_once_padded_and_read_in_order(tmp_path):
    clips = clip_set(tmp_path / "store", 21)
    seen = list(clips.in_order(4))
    assert [len(batch.x) for batch in seen] == [4, 4, 4, 4, 4, 1]
    assert [batch.full for batch in seen] == [bool((batch.n_frames == T).all()) for batch in seen]
    x, n_frames, y = (torch.cat([getattr(batch, name) for batch in seen]) for name in ("x", "n_frames", "y"))
    assert torch.equal(y, torch.from_numpy(clips.labels))
    for i, clip in enumerate(clips.clip_ids):
        frames = clips.store.frames(clip)[:T].astype(np.float32)
        assert n_frames[i] == len(frames)
        assert np.allclose(x[i, : len(frames)], (frames + 8.0) / 4.0, atol=1e-6)
        assert (x[i, len(frames) :] == 0).all()


def test_longer_clips_are_cut_at_random_and_everywhere(tmp_path):
    clips = dataclasses.replace(clip_set(tmp_path / "store", 10), n_frames=8)  # 6 to 15 frames
    order, found = [np.arange(10)], {clip: set() for clip in clips.clip_ids}
    for seed in range(60):
        (batch,) = clips.batches(order, 10, np.random.default_rng(seed))
        for clip, x, n in zip(clips.clip_ids, batch.x, batch.n_frames, strict=True):
            frames = (clips.store.frames(clip).astype(np.float32) + 8.0) / 4.0
            starts = [i for i in range(len(frames) - int(n) + 1) if np.allclose(x[:n], frames[i : i + n], atol=1e-6)]
            found[clip] |= set(starts)
            assert len(starts) == 1
    for clip in clips.clip_ids:
        surplus = max(0, len(clips.store.frames(clip)) - 8)
        assert found[clip] == set(range(surplus + 1))


def test_batches_of_short_clips_are_short(tmp_path):
    clips = dataclasses.replace(clip_set(tmp_path / "store", 10), n_frames=40, trim=4)
    lengths = [batch.x.shape[1] for batch in clips.in_order(3)]
    assert lengths == [8, 8, 12, 12]  # the longest have 8, 11, 14 and 15 frames
    assert all(batch.n_frames.max() <= batch.x.shape[1] for batch in clips.in_order(3))


@pytest.fixture
def room(monkeypatch):
    """The device has memory to spare, so that what is used twice is held there."""
    monkeypatch.setattr(frames, "free_memory", lambda device: 2**30)


SHAPES = {
    "padded": {},
    "cut at random": {"n_frames": 8},
    "of the longest": {"n_frames": 40, "trim": 4},
    "of the longest or cut": {"n_frames": 8, "trim": 4},
}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("place", [(0, 1), (1, 3), (6, 7)])
@pytest.mark.parametrize("shape", SHAPES)
def test_batches_of_clips_on_the_device_are_those_of_the_files(tmp_path, monkeypatch, room, shape, place, whole):
    """In one process or several, the last of which finds no clip of its own in a batch of six."""
    monkeypatch.setattr(distributed, "rank", lambda: place[0])
    monkeypatch.setattr(distributed, "world", lambda: place[1])
    all_clips = clip_set(tmp_path / "store", 60)
    listed = np.random.default_rng(1).permutation(60)[:45]  # from all shards, in another order
    clips = dataclasses.replace(all_clips.subset(listed), **SHAPES[shape])
    order = epoch_order(clips, "balanced", 0, 1)  # some clips several times
    passes = [list(clips.batches(order, 6, np.random.default_rng(2), whole=whole)) for _ in range(2)]
    assert clips.frames.held is not None
    for mapped, held in zip(*passes, strict=True):
        assert mapped.share == held.share and mapped.full == held.full
        assert mapped.x.dtype == held.x.dtype
        for name in ("x", "n_frames", "y"):
            assert torch.equal(getattr(mapped, name), getattr(held, name))


def test_features_of_the_usual_size_are_the_same_on_the_device(tmp_path, room):
    """Where numbers of threads and vector units matter."""
    rng = np.random.default_rng(0)
    features = {f"clip{i:02d}": rng.normal(-8, 3, (int(rng.integers(900, 1100)), 128)) for i in range(12)}
    store = FeatureStore(write_store(tmp_path / "store", features, shard_clips=5))
    scale = Scale.of(-4.27, 4.57, "original")
    clips = ClipSet(store, tuple(features), np.zeros((12, 1), np.float32), 1024, scale, torch.device("cpu"))
    mapped, held = (torch.cat([batch.x for batch in clips.in_order(5)]) for _ in range(2))
    assert torch.equal(mapped, held)


def test_clips_used_again_are_read_once(many, room, monkeypatch):
    next(many.in_order(16))
    assert many.frames.held is None
    many.frames.begin()
    monkeypatch.setattr(FeatureStore, "batch", lambda *given: pytest.fail("read"))
    monkeypatch.setattr(FeatureStore, "packed", lambda *given: pytest.fail("loaded"))
    monkeypatch.setattr(FeatureStore, "read_ahead", lambda *given: pytest.fail("asked for"))
    for epoch in (2, 3):
        assert sum(len(batch.x) for batch in many.batches(epoch_order(many, "none", 0, epoch), 16)) == 200


def test_on_a_cpu_clips_stay_in_files(many):
    for _ in range(3):
        next(many.in_order(16))
    assert many.frames.held is None


def test_half_of_what_is_free_may_be_taken():
    assert fits(500, 1000)
    assert not fits(501, 1000)
    assert not fits(1, 0)


def test_a_tenth_of_a_clip_may_be_lost(tmp_path):
    clips = clip_set(tmp_path / "store", 10)  # 6 to 15 frames
    check_lengths(clips.store, clips.clip_ids[:5], 9, "error")  # the longest has 10
    with pytest.raises(InputError, match="1 of 6 clips"):
        check_lengths(clips.store, clips.clip_ids[:6], 9, "error")
    check_lengths(clips.store, clips.clip_ids, 9, "cut")
