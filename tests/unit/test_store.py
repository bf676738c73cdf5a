import dataclasses
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from tymbal import store
from tymbal.audio import decode
from tymbal.config import Frontend
from tymbal.errors import InputError
from tymbal.fbank import FeatureState, fbank
from tymbal.files import sha256
from tymbal.store import FeatureStore, compute_store

FRONTEND = Frontend()


class Project:
    """A folder of short noisy clips with their manifest, and where the store goes."""

    def __init__(self, folder: Path, clip_ids: tuple[str, ...]) -> None:
        self.audio = folder / "audio"
        self.audio.mkdir()
        self.out, self.work = folder / "fbank" / "kaldi", folder / "fbank" / ".kaldi.work"
        rng = np.random.default_rng(0)
        rows = []
        for i, clip_id in enumerate(clip_ids):
            rate = (16000, 32000, 44100)[i % 3]
            samples = 0.1 * rng.standard_normal((rate * (3 + i) // 10, 1 + i % 2))
            soundfile.write(self.audio / f"{clip_id}.wav", samples, rate)
            digest = sha256(self.audio / f"{clip_id}.wav")
            rows.append({"clip_id": clip_id, "root": "data", "path": f"{clip_id}.wav", "sha256": digest})
        self.manifest = pd.DataFrame(rows)

    def compute(self, frontend: Frontend = FRONTEND, threads: int = 2) -> FeatureStore:
        compute_store(self.manifest, {"data": self.audio}, frontend, self.out, self.work, threads)
        return FeatureStore(self.out)

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir()}


CLIPS = ("001", "NA", "a", "b", "c", "d")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SHARD_FRAMES", 130)  # clips have 28, 38, 48, 58, 68, 78 frames
    return Project(tmp_path, CLIPS)


def test_every_clip_is_stored_whole(project):
    features = project.compute()
    assert features.index["clip_id"].tolist() == list(CLIPS)
    assert features.index["sha256"].tolist() == project.manifest["sha256"].tolist()
    assert features.index["n_frames"].tolist() == [28, 38, 48, 58, 68, 78]
    assert features.state == FeatureState.of(FRONTEND)
    for clip_id in CLIPS:
        expected = (
            fbank(torch.from_numpy(decode((project.audio / f"{clip_id}.wav").read_bytes(), 16000)), 16000, 128)
            .half()
            .numpy()
        )
        np.testing.assert_allclose(features.frames(clip_id), expected, rtol=0, atol=0.01)  # a step of float16


def test_shards_are_filled_in_order_up_to_their_size(project):
    features = project.compute()
    assert features.index["shard"].tolist() == [0, 0, 0, 1, 1, 2]
    assert features.index["start"].tolist() == [0, 28, 66, 0, 58, 0]
    shapes = [np.load(path, mmap_mode="r").shape for path in sorted(project.out.glob("*.npy"))]
    assert shapes == [(114, 128), (126, 128), (78, 128)]
    assert {path.suffix for path in project.out.iterdir()} == {".npy", ".csv", ".json"}
    assert [path.name for path in project.out.glob("*.csv")] == ["index.csv"]
    assert not project.work.exists()


def test_a_clip_longer_than_a_shard_has_one_for_itself(project, monkeypatch):
    monkeypatch.setattr(store, "SHARD_FRAMES", 50)
    assert project.compute().index["shard"].tolist() == [0, 1, 2, 3, 4, 5]


def test_the_number_of_threads_does_not_matter(project):
    project.compute(threads=1)
    alone = project.contents()
    project.compute(threads=3)
    assert project.contents() == alone


def test_torch_has_as_many_threads_afterwards_as_before(project):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        project.compute()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_stopped_job_goes_on_after_its_finished_shards(project, monkeypatch, caplog):
    project.compute()
    undisturbed = project.contents()
    original, computed = store._features, []

    def stop_at_c(path, *rest):
        if path.stem == "c":
            raise KeyboardInterrupt
        return original(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(store, "_features", stop_at_c)
        with pytest.raises(KeyboardInterrupt):
            project.compute(threads=1)
    assert project.contents() == undisturbed  # the earlier store stays until there is a new one
    (project.work / ".shard-00001.1.partial.npy").write_text("left by a killed job")

    monkeypatch.setattr(store, "_features", lambda path, *rest: computed.append(path.stem) or original(path, *rest))
    with caplog.at_level(logging.INFO):
        project.compute(threads=1)
    assert computed == ["b", "c", "d"]
    assert "going on after 3 clips; finished shards: 1" in caplog.text
    assert project.contents() == undisturbed


@pytest.mark.parametrize("change", ["front end", "clips"])
def test_other_features_or_clips_start_afresh(project, monkeypatch, caplog, change):
    def stop_at_d(path, *rest):
        if path.stem == "d":
            raise KeyboardInterrupt
        return original(path, *rest)

    original = store._features
    with monkeypatch.context() as patch:
        patch.setattr(store, "_features", stop_at_d)
        with pytest.raises(KeyboardInterrupt):
            project.compute(threads=1)
    frontend = Frontend(n_mels=64) if change == "front end" else FRONTEND
    if change == "clips":
        project.manifest = project.manifest.iloc[1:]
    with caplog.at_level(logging.INFO):
        features = project.compute(frontend)
    assert "starting afresh" in caplog.text
    assert features.index["clip_id"].tolist() == project.manifest["clip_id"].tolist()
    assert features.frames("a").shape == (48, frontend.n_mels)


def test_all_bad_clips_are_told_at_once(project):
    (project.audio / "001.wav").unlink()
    soundfile.write(project.audio / "a.wav", np.zeros(16000), 16000)  # changed since the manifest
    soundfile.write(project.audio / "b.wav", np.ones(399), 16000)
    (project.audio / "d.wav").write_text("not a recording")
    for clip_id in "bd":
        changed = project.manifest["clip_id"] == clip_id
        project.manifest.loc[changed, "sha256"] = sha256(project.audio / f"{clip_id}.wav")
    with pytest.raises(InputError) as raised:
        project.compute()
    message = str(raised.value)
    assert "clips without features: 4 problems" in message
    assert "001 (data: 001.wav): cannot be read: No such file" in message
    assert "a (data: a.wav): changed since the manifest was made" in message
    assert "b (data: b.wav): 399 samples at 16000 Hz are shorter than one frame" in message
    assert "d (data: d.wav): not readable as audio" in message
    assert not project.out.exists()


def test_a_clip_made_good_again_is_not_left_out(project):
    project.compute()
    undisturbed = project.contents()
    (project.audio / "001.wav").rename(project.audio / "away.wav")
    with pytest.raises(InputError, match="1 problem"):
        project.compute()
    (project.audio / "away.wav").rename(project.audio / "001.wav")
    project.compute()
    assert project.contents() == undisturbed


def test_energy_beyond_float16_is_refused(project):
    soundfile.write(project.audio / "a.wav", np.full(16000, 1e30) * (-1) ** np.arange(16000), 16000, subtype="FLOAT")
    project.manifest.loc[project.manifest["clip_id"] == "a", "sha256"] = sha256(project.audio / "a.wav")
    with pytest.raises(InputError, match="energy overflows"):
        project.compute()


def test_the_backend_asked_for_computes(project, monkeypatch):
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    original, calls = kaldi.fbank, []
    monkeypatch.setattr(kaldi, "fbank", lambda *args, **options: calls.append(1) or original(*args, **options))
    ours = project.compute(Frontend(backend="tymbal"))
    assert len(calls) == 0
    theirs = project.compute(Frontend(backend="torchaudio"))
    assert len(calls) == len(CLIPS)
    assert (ours.state.backend, theirs.state.backend) == ("tymbal", "torchaudio")
    np.testing.assert_allclose(theirs.frames("b"), ours.frames("b"), rtol=0, atol=0.02)


def test_a_batch_is_normalised_once_and_cut_or_padded(project):
    features = project.compute()
    mean, std = -4.0, 3.0
    x, n_true = features.batch(["d", "001", "b", "001"], 58, mean, std, 0.25)
    assert x.shape == (4, 58, 128) and x.dtype == torch.float32
    assert n_true.tolist() == [58, 28, 58, 28]
    for row, clip_id, kept in zip(x, ["d", "001", "b", "001"], n_true, strict=True):
        raw = torch.from_numpy(features.frames(clip_id)[:kept]).float()
        torch.testing.assert_close(row[:kept], (raw - mean) / (2 * std), rtol=1e-5, atol=1e-6)
        assert (row[kept:] == 0.25).all()


def test_a_reader_cannot_change_the_files(project):
    features = project.compute()
    before, raw = project.contents(), features.frames("a").copy()
    features.batch(["a"], 48, -4.0, 3.0, 0.0)[0].zero_()
    np.testing.assert_array_equal(features.frames("a"), raw)
    features.frames("a")[:] = 0
    assert project.contents() == before


def test_features_of_another_front_end_are_refused(project):
    state = project.compute().state
    FeatureStore(project.out, expected=state.to_json())
    other = dataclasses.replace(state, sample_rate=32000, high_hz=16000.0)
    with pytest.raises(InputError) as raised:
        FeatureStore(project.out, expected=other.to_json())
    message = str(raised.value)
    assert "2 problems" in message
    assert "sample_rate: found 16000, expected 32000" in message
    assert "high_hz: found 8000.0, expected 16000.0" in message
