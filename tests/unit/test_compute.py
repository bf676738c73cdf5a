"""Parts of a store: what is computed or imported, resumed and put together."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from tymbal import compute
from tymbal.audio import decode
from tymbal.compute import compute_part, part_of
from tymbal.config.data import Features, Normalised
from tymbal.config.models import Frontend
from tymbal.diagnose import diagnose
from tymbal.errors import InputError
from tymbal.fbank import fbank
from tymbal.files import read_json, sha256, write_json
from tymbal.layout import read_index, write_index
from tymbal.spectrogram import FeatureState
from tymbal.store import FeatureStore

FRONTEND = Frontend()
CLIPS = ("001", "NA", "a", "b", "c", "d")


class Project:
    """A folder of short noisy clips with their manifest, and where the store goes."""

    def __init__(self, folder: Path, clip_ids: tuple[str, ...]) -> None:
        self.audio = folder / "audio"
        self.audio.mkdir()
        self.store = folder / "fbank" / "kaldi"
        rng = np.random.default_rng(0)
        rows = []
        for i, clip_id in enumerate(clip_ids):
            rate = (16000, 32000, 44100)[i % 3]
            samples = 0.1 * rng.standard_normal((rate * (3 + i) // 10, 1 + i % 2))
            soundfile.write(self.audio / f"{clip_id}.wav", samples, rate)
            rows.append(self.row(clip_id, f"{clip_id}.wav", 0.0, len(samples) / rate))
        self.manifest = pd.DataFrame(rows)

    def row(self, clip_id: str, path: str, start_s: float, duration_s: float) -> dict:
        row = {"clip_id": clip_id, "root": "data", "path": path, "start_s": start_s, "duration_s": duration_s}
        return {**row, "sha256": sha256(self.audio / path)}

    def compute(self, part="1-of-1", frontend=FRONTEND, features=None, channel="mix", threads=2) -> Path:
        chosen, out = part_of(self.manifest, part), self.store / part
        work = self.store / f".{part}.work"
        compute_part(chosen, {"data": self.audio}, frontend, features, channel, out, work, threads)
        return out

    def compute_store(self, n_parts: int = 1, **options) -> FeatureStore:
        parts = [self.compute(f"{i}-of-{n_parts}", **options) for i in range(1, n_parts + 1)]
        write_index(parts, self.store)
        return FeatureStore(self.store)

    def contents(self, part: str = "1-of-1") -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.store / part).iterdir()}

    def changed(self, clip_id: str) -> None:
        """Take the content that a file has now into the manifest."""
        self.manifest.loc[self.manifest["clip_id"] == clip_id, "sha256"] = sha256(self.audio / f"{clip_id}.wav")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(compute, "SHARD_FRAMES", 130)  # clips have 28, 38, 48, 58, 68, 78 frames
    return Project(tmp_path, CLIPS)


def expected(path: Path, **stretch) -> np.ndarray:
    return fbank(torch.from_numpy(decode(path, 16000, **stretch)), 16000, 128).half().numpy()


def test_every_clip_is_stored_whole(project):
    features = project.compute_store()
    assert features.clip_ids.tolist() == list(CLIPS)
    assert features.where(CLIPS).n_frames.tolist() == [28, 38, 48, 58, 68, 78]
    assert features.state == FeatureState.of(FRONTEND)
    for clip_id in CLIPS:  # to a step of float16
        np.testing.assert_allclose(
            features.frames(clip_id), expected(project.audio / f"{clip_id}.wav"), rtol=0, atol=0.01
        )


def test_shards_are_filled_in_order_up_to_their_size(project):
    out = project.compute()
    index = read_index(out / "index.csv")
    assert index.columns.tolist() == ["clip_id", "shard", "start", "n_frames"]
    assert index["shard"].tolist() == [f"shard-0000{i}.npy" for i in (0, 0, 0, 1, 1, 2)]
    assert index["start"].tolist() == [0, 28, 66, 0, 58, 0]
    shapes = [np.load(path, mmap_mode="r").shape for path in sorted(out.glob("*.npy"))]
    assert shapes == [(114, 128), (126, 128), (78, 128)]
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".npy") == ["index.csv", "state.json"]
    assert [path.name for path in project.store.iterdir()] == ["1-of-1"]


def test_a_clip_longer_than_a_shard_has_one_for_itself(project, monkeypatch):
    monkeypatch.setattr(compute, "SHARD_FRAMES", 50)
    assert read_index(project.compute() / "index.csv")["shard"].nunique() == 6


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


# --- windows and channels ---------------------------------------------------------------------------------


def test_windows_are_stretches_of_their_file_and_the_file_is_checked_once(project, monkeypatch):
    monkeypatch.setattr(compute, "WINDOWS", 2)
    rng = np.random.default_rng(1)
    for name in ("long", "more"):
        soundfile.write(project.audio / f"{name}.wav", 0.1 * rng.standard_normal(5 * 32000), 32000)
    spans = [(name, start) for name in ("long", "more") for start in (0.0, 1.0, 2.0, 3.0, 10 / 3)]
    rows = [project.row(f"{name}@{start:.3f}", f"{name}.wav", start, 1.0) for name, start in spans]
    project.manifest = pd.DataFrame(rows)
    checked, original = [], compute.sha256
    monkeypatch.setattr(compute, "sha256", lambda path: checked.append(path.stem) or original(path))
    features = project.compute_store()
    assert sorted(checked) == ["long", "more"]
    for name, start in spans:
        found = features.frames(f"{name}@{start:.3f}")
        wanted = expected(project.audio / f"{name}.wav", start_s=start, duration_s=1.0)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=0.01)


def test_the_channel_asked_for_is_used(project):
    project.manifest = project.manifest[project.manifest["clip_id"] == "b"]  # has two channels
    features = project.compute_store(channel=2)
    np.testing.assert_allclose(features.frames("b"), expected(project.audio / "b.wav", channel=2), rtol=0, atol=0.01)
    assert np.abs(features.frames("b") - expected(project.audio / "b.wav")).max() > 0.1


@pytest.mark.parametrize("n", [1, 3, 7, 40])
def test_parts_hold_every_clip_once_and_a_files_windows_together(n):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(25):
        for start in 6.0 * np.arange(rng.integers(1, 12)):
            rows.append({"clip_id": f"f{i:02d}@{start:.3f}", "root": "data", "path": f"f{i:02d}.wav", "start_s": start})
    manifest = pd.DataFrame(rows).assign(duration_s=6.0).sort_values("clip_id", ignore_index=True)
    parts = [part_of(manifest, f"{i}-of-{n}") for i in range(1, n + 1)]
    together = pd.concat(parts)
    assert together["path"].tolist() == sorted(manifest["path"])  # in the order of the files
    assert sorted(together["clip_id"]) == manifest["clip_id"].tolist()
    assert sum(part["path"].nunique() for part in parts) == 25
    assert all(rows["start_s"].is_monotonic_increasing for part in parts for _, rows in part.groupby("path"))
    assert max(map(len, parts)) <= len(manifest) / n + 11


# --- stopping and going on --------------------------------------------------------------------------------


def stop_at(monkeypatch, project, stem):
    """Compute until the clip of this name, as a job that is killed."""
    original = compute._from_audio

    def stopping(path, clip, **options):
        if path.stem == stem:
            raise KeyboardInterrupt
        return original(path, clip, **options)

    with monkeypatch.context() as patch:
        patch.setattr(compute, "_from_audio", stopping)
        with pytest.raises(KeyboardInterrupt):
            project.compute(threads=1)


def test_a_stopped_job_goes_on_after_its_finished_shards(project, monkeypatch, caplog):
    project.compute()
    undisturbed = project.contents()
    stop_at(monkeypatch, project, "c")
    assert project.contents() == undisturbed  # the earlier part stays until there is a new one
    (project.store / ".1-of-1.work" / ".shard-00001.1.partial.npy").write_text("left by a killed job")

    original, computed = compute._from_audio, []
    monkeypatch.setattr(
        compute, "_from_audio", lambda path, clip, **rest: computed.append(path.stem) or original(path, clip, **rest)
    )
    with caplog.at_level(logging.INFO):
        project.compute(threads=1)
    assert computed == ["b", "c", "d"]
    assert "going on after 3 clips; finished shards: 1" in caplog.text
    assert project.contents() == undisturbed


def test_a_stopped_part_costs_no_other_part(project, monkeypatch):
    project.compute("1-of-2")
    first = project.contents("1-of-2")
    original = compute._from_audio
    monkeypatch.setattr(compute, "_from_audio", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        project.compute("2-of-2")
    monkeypatch.setattr(compute, "_from_audio", original)
    assert project.contents("1-of-2") == first
    project.compute("2-of-2")
    write_index([project.store / part for part in ("1-of-2", "2-of-2")], project.store)
    assert FeatureStore(project.store).clip_ids.tolist() == list(CLIPS)


@pytest.mark.parametrize("change", ["front end", "clips", "stretch", "channel"])
def test_other_features_or_clips_start_afresh(project, monkeypatch, caplog, change):
    stop_at(monkeypatch, project, "d")
    options = {"frontend": Frontend(n_mels=64)} if change == "front end" else {}
    if change == "channel":
        options = {"channel": 1}
    if change == "clips":
        project.manifest = project.manifest.iloc[1:]
    if change == "stretch":
        project.manifest.loc[0, "duration_s"] -= 0.1
    with caplog.at_level(logging.INFO):
        features = project.compute_store(**options)
    assert "starting afresh" in caplog.text
    assert features.clip_ids.tolist() == project.manifest["clip_id"].tolist()
    assert features.frames("a").shape == (48, 64 if change == "front end" else 128)


# --- bad clips --------------------------------------------------------------------------------------------


def test_all_bad_clips_are_told_at_once(project):
    (project.audio / "001.wav").unlink()
    soundfile.write(project.audio / "a.wav", np.zeros(16000), 16000)  # changed since the manifest
    soundfile.write(project.audio / "b.wav", np.ones(399), 16000)
    project.manifest.loc[3, "duration_s"] = 399 / 16000
    (project.audio / "d.wav").write_text("not a recording")
    project.changed("b")
    project.changed("d")
    with pytest.raises(InputError) as raised:
        project.compute()
    message = str(raised.value)
    assert "clips without features: 4 problems" in message
    assert "data: 001.wav: cannot be read: No such file" in message
    assert "data: a.wav: changed since the manifest was made" in message
    assert "b (data: b.wav): 399 samples at 16000 Hz are shorter than one frame" in message
    assert "d (data: d.wav): not readable as audio" in message
    assert not (project.store / "1-of-1").exists()


def test_a_file_that_changed_is_told_once_and_not_for_every_window(project):
    project.manifest = pd.DataFrame([project.row(f"d@{s:.3f}", "d.wav", s, 0.2) for s in (0.0, 0.2, 0.4)])
    soundfile.write(project.audio / "d.wav", np.zeros(16000), 16000)
    with pytest.raises(InputError, match="1 problem\n"):
        project.compute()


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
    loud = np.full(16000, 1e30) * (-1) ** np.arange(16000)
    soundfile.write(project.audio / "a.wav", loud, 16000, subtype="FLOAT")
    project.changed("a")
    with pytest.raises(InputError, match="energy overflows"):
        project.compute()


def test_the_backend_asked_for_computes(project, monkeypatch):
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    original, calls = kaldi.fbank, []
    monkeypatch.setattr(kaldi, "fbank", lambda *args, **options: calls.append(1) or original(*args, **options))
    project.store = project.store.with_name("tymbal")
    ours = project.compute_store(frontend=Frontend(backend="tymbal"))
    assert len(calls) == 0
    project.store = project.store.with_name("torchaudio")
    theirs = project.compute_store(frontend=Frontend(backend="torchaudio"))
    assert len(calls) == len(CLIPS)
    assert (ours.state.backend, theirs.state.backend) == ("tymbal", "torchaudio")
    np.testing.assert_allclose(theirs.frames("b"), ours.frames("b"), rtol=0, atol=0.02)


# --- imported features ------------------------------------------------------------------------------------

STATS = Normalised(mean=-7.4482, std=2.4689)
DECLARED = Features(normalised=STATS, padding=0.0)


@pytest.fixture
def imported(project):
    """The same clips as features: normalised, then padded with 0 to 100 frames."""
    rows = []
    for clip_id in CLIPS:
        raw = expected(project.audio / f"{clip_id}.wav").astype(np.float32)
        x = torch.zeros(100, 128)
        x[: len(raw)] = torch.from_numpy((raw - STATS.mean) / (2 * STATS.std))
        torch.save({"x": x.half(), "y": torch.ones(3)}, project.audio / f"{clip_id}.pt")
        rows.append(project.row(clip_id, f"{clip_id}.pt", 0.0, len(raw) / 100))
    project.manifest = pd.DataFrame(rows)
    return project


def test_imported_features_are_raw_and_without_padding(imported):
    features = imported.compute_store(n_parts=2, features=DECLARED)
    assert features.state.backend == "imported"
    assert (features.state.sample_rate, features.state.n_mels) == (16000, 128)
    assert features.where(CLIPS).n_frames.tolist() == [28, 38, 48, 58, 68, 78]
    for clip_id in CLIPS:
        wanted = expected(imported.audio / f"{clip_id}.wav")
        np.testing.assert_allclose(features.frames(clip_id), wanted, rtol=0, atol=0.03)


def test_features_that_contradict_their_declaration_stop_the_import(imported):
    wrong = Normalised(mean=-STATS.mean, std=STATS.std)
    with pytest.raises(InputError) as raised:
        imported.compute(features=Features(normalised=wrong, padding=0.0))
    assert "not what the data set's `features` says of them: 1 problem" in str(raised.value)
    assert "mean: -7.4482, std: 2.4689" in str(raised.value)
    with pytest.raises(InputError, match="rows of 0 are at the end of 6 of 6 files"):
        imported.compute(features=Features(normalised=STATS))
    assert not imported.store.exists()


def test_files_unlike_the_sample_are_told_and_not_imported(imported, monkeypatch):
    monkeypatch.setattr(compute, "diagnose", lambda files, features: diagnose(files, features, n=2))  # first and last
    for clip_id in ("a", "c"):
        x = torch.load(imported.audio / f"{clip_id}.pt", weights_only=True)["x"]
        torch.save({"x": torch.where(x == 0, x, x + STATS.mean / STATS.std)}, imported.audio / f"{clip_id}.pt")
        imported.manifest.loc[imported.manifest["path"] == f"{clip_id}.pt", "sha256"] = sha256(
            imported.audio / f"{clip_id}.pt"
        )
    with pytest.raises(InputError) as raised:
        imported.compute(features=DECLARED)
    message = str(raised.value)
    assert "clips without features: 2 problems" in message
    for clip_id in ("a", "c"):
        assert f"{clip_id} (data: {clip_id}.pt): does not become log-mel" in message
    assert not imported.store.exists() or not (imported.store / "1-of-1").exists()


def test_what_cannot_be_told_of_imported_features_is_a_warning(imported, caplog):
    for clip_id in CLIPS:
        torch.save({"x": torch.zeros(9, 128)}, imported.audio / f"{clip_id}.pt")
    with pytest.raises(InputError):
        imported.compute(features=DECLARED)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "none of the files looked at can be read and has more than silence or padding"
    ]


def test_all_bad_feature_files_are_told_at_once(imported):
    (imported.audio / "001.pt").write_bytes(b"")
    torch.save({"x": torch.zeros(100, 128)}, imported.audio / "a.pt")
    for clip_id, path in (("001", "001.pt"), ("a", "a.pt")):
        imported.manifest.loc[imported.manifest["clip_id"] == clip_id, "sha256"] = sha256(imported.audio / path)
    torch.save({"x": torch.zeros(100, 128)}, imported.audio / "b.pt")
    with pytest.raises(InputError) as raised:
        imported.compute(features=DECLARED)
    assert "clips without features: 3 problems" in str(raised.value)
    assert "001 (data: 001.pt): is empty: 0 bytes" in str(raised.value)
    assert "a (data: a.pt): holds nothing but padding" in str(raised.value)
    assert "data: b.pt: changed since the manifest" in str(raised.value)


# --- the index --------------------------------------------------------------------------------------------


def test_parts_give_the_same_store_as_one(project):
    one = project.compute_store()
    project.store = project.store.with_name("parts")
    three = project.compute_store(n_parts=9)  # some of them empty
    assert three.clip_ids.tolist() == list(CLIPS)
    for clip_id in CLIPS:
        np.testing.assert_array_equal(three.frames(clip_id), one.frames(clip_id))
    assert read_json(project.store / "state.json") == FeatureState.of(FRONTEND).to_json()


def test_parts_of_different_features_are_refused(project):
    parts = [project.compute(part) for part in ("1-of-2", "2-of-2")]
    write_json(parts[1] / "state.json", read_json(parts[1] / "state.json") | {"version": 0})
    with pytest.raises(InputError, match=r"do not fit together: 1 problem\n  - .*2-of-2: its state differs"):
        write_index(parts, project.store)


def test_a_clip_in_two_parts_is_refused(project):
    parts = [project.compute("1-of-2"), project.compute("1-of-1")]
    with pytest.raises(InputError) as raised:
        write_index(parts, project.store)
    assert "001: in 1-of-2/shard-00000.npy and 1-of-1/shard-00000.npy" in str(raised.value)
    assert not (project.store / "index.csv").exists()
