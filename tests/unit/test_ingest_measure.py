"""Reading files from beginning to end: what they hold, and every way in which they may be bad."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import REPO
from tymbal.config import load
from tymbal.config.data import Features
from tymbal.files import sha256
from tymbal.ingest.containers import bytes_missing
from tymbal.ingest.measure import complete, measure, part_of, read_measured, write_measured
from tymbal.ingest.problems import NOT_FINITE, TOO_SHORT, TRUNCATED, UNREADABLE
from tymbal.plan import Plan

RATE = 48000
CONTAINERS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_24"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def noise(n_samples: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(n_samples).uniform(-0.5, 0.5, (n_samples, channels))


def one(path: Path, features: Features | None = None) -> dict[str, Any]:
    [row] = measure(path.parent, [path.name], features, threads=1).to_dict("records")
    return row


# --- audio that is fine -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("container", "subtype"), CONTAINERS)
@pytest.mark.parametrize("n_samples", [1201, RATE])  # one frame and a sample; an odd number leaves a byte of padding
def test_every_container_is_read_whole(tmp_path: Path, container: str, subtype: str, n_samples: int) -> None:
    path = tmp_path / "a.wav"  # the extension does not decide
    soundfile.write(path, noise(n_samples), RATE, format=container, subtype=subtype)
    assert one(path) == {
        "file": "a.wav",
        "sample_rate": RATE,
        "channels": 1,
        "duration_s": n_samples / RATE,
        "n_samples": n_samples,
        "sha256": sha256(path),
        "size": path.stat().st_size,
        "mtime_ns": path.stat().st_mtime_ns,
        "problem": "",
    }


@pytest.mark.parametrize("rate", [8000, 96000, 250000, 384000])
@pytest.mark.parametrize("channels", [1, 2, 7])
def test_rates_and_channels(tmp_path: Path, rate: int, channels: int) -> None:
    soundfile.write(tmp_path / "a.wav", noise(rate // 10, channels), rate)
    row = one(tmp_path / "a.wav")
    assert (row["sample_rate"], row["channels"], row["duration_s"], row["problem"]) == (rate, channels, 0.1, "")


@pytest.mark.parametrize("told", [0, 0xFFFFFFFF])
def test_a_length_that_a_recorder_left_open_is_no_truncation(tmp_path: Path, told: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(RATE), RATE)
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", told)
    path.write_bytes(data)
    row = one(path)
    # libsndfile takes a size of 0 at its word, and the file is told for it.
    assert row["problem"].startswith(TOO_SHORT) if told == 0 else (row["problem"], row["n_samples"]) == ("", RATE)


def test_a_flac_of_unknown_length_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(RATE), RATE)
    data = bytearray(path.read_bytes())
    fields = int.from_bytes(data[18:26], "big")
    data[18:26] = (fields >> 36 << 36).to_bytes(8, "big")  # the lowest 36 bits are the number of samples
    path.write_bytes(data)
    assert one(path)["problem"].startswith(f"{UNREADABLE}: it does not tell its length")


def test_a_file_longer_than_a_block_is_read_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((2**19, 2)), 8000)
    assert one(tmp_path / "a.wav")["n_samples"] == 2**19


# --- audio that is bad ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("container", "subtype"), CONTAINERS)
@pytest.mark.parametrize("kept", [0.999, 0.8, 0.4])
def test_a_file_cut_short_is_told_in_every_container(tmp_path: Path, container: str, subtype: str, kept: float) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(3 * RATE), RATE, format=container, subtype=subtype)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    problem = one(path)["problem"]
    # An unfinished CAF, or Opus without its second page, is not recognised at all.
    assert problem.startswith((TRUNCATED, UNREADABLE) if container == "CAF" else TRUNCATED)


def test_hours_beyond_four_gigabytes_are_not_taken_for_a_truncation(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    n_bytes = 6_000_000_000  # of samples; a hole in the file, so nothing is written
    with path.open("wb") as file:
        file.write(
            b"RF64" + b"\xff" * 4 + b"WAVEds64" + struct.pack("<IQQQI", 28, n_bytes + 72, n_bytes, n_bytes // 2, 0)
        )
        file.write(b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16) + b"data" + b"\xff" * 4)
        file.truncate(file.tell() + n_bytes)
    with path.open("rb", buffering=0) as file:
        assert bytes_missing(file) == 0
    with path.open("r+b", buffering=0) as file:
        file.truncate(path.stat().st_size - 7)
        assert bytes_missing(file) == 7


def test_chunks_before_the_samples_do_not_hide_that_they_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(RATE), RATE)
    data = path.read_bytes()
    note = b"LIST" + struct.pack("<I", 7) + b"comment\0"  # an odd size and its padding
    path.write_bytes(data[:36] + note + data[36:])
    assert one(path)["problem"] == ""
    path.write_bytes(data[:36] + note + data[36:-100])
    assert one(path)["problem"] == f"{TRUNCATED}: 100 bytes of samples are missing at its end"


def test_an_mp3_that_does_not_tell_its_length(tmp_path: Path) -> None:
    """Of varying bit rate without a Xing frame: libsndfile guesses a length and gives no more than that."""
    samples = noise(20 * 44100)[:, 0]
    samples[5 * 44100 :] *= 1e-3
    soundfile.write(tmp_path / "a.mp3", samples, 44100, bitrate_mode="VARIABLE")
    data = (tmp_path / "a.mp3").read_bytes()
    second_frame = data.find(data[:2], 4)
    (tmp_path / "a.mp3").write_bytes(data[second_frame:])
    assert one(tmp_path / "a.mp3")["problem"].startswith(f"{UNREADABLE}: an MP3 of varying bit rate")


@pytest.mark.parametrize(
    "tags",
    [
        lambda data: data + b"TAG" + bytes(125),
        lambda data: b"ID3\x03\0\0" + bytes([0, 0, 0x10, 0]) + bytes(2048) + data,
    ],
)
def test_tags_of_an_mp3_are_no_samples(tmp_path: Path, tags: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(RATE), RATE)
    data = path.read_bytes()
    path.write_bytes(tags(data))
    assert (one(path)["problem"], one(path)["n_samples"]) == ("", RATE)
    path.write_bytes(tags(data)[: len(data) // 2])
    assert one(path)["problem"].startswith(TRUNCATED)


@pytest.mark.parametrize(
    ("n_samples", "rate", "told"),
    [
        (0, 16000, "0 samples, 0.0 ms"),
        (1, 16000, "1 sample, 0.1 ms"),
        (399, 16000, "399 samples, 24.9 ms"),
        (1102, 44100, "1102 samples, 25.0 ms"),
    ],
)
def test_slivers_down_to_one_sample(tmp_path: Path, n_samples: int, rate: int, told: str) -> None:
    soundfile.write(tmp_path / "a.wav", noise(n_samples), rate)
    row = one(tmp_path / "a.wav")
    assert row["problem"] == f"{TOO_SHORT}: {told}, expected at least 25 ms"
    assert row["n_samples"] == n_samples
    soundfile.write(tmp_path / "a.wav", noise(rate * 25 // 1000 + 1), rate)
    assert one(tmp_path / "a.wav")["problem"] == ""


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite(tmp_path: Path, value: float) -> None:
    samples = noise(RATE)
    samples[RATE // 2] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    assert one(tmp_path / "a.wav")["problem"] == f"{NOT_FINITE}: the sample at 0.5000 s is not a finite number"


def test_what_is_no_audio_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "zero.wav").touch()
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "folder.wav").mkdir()
    files = ["zero.wav", "text.wav", "folder.wav", "gone.wav"]
    problems = measure(tmp_path, files, None, threads=2).set_index("file")["problem"]
    assert problems["zero.wav"] == f"{UNREADABLE}: 0 bytes"
    assert problems["text.wav"].startswith(f"{UNREADABLE}: not readable as audio")
    assert problems["folder.wav"] == f"{UNREADABLE}: Is a directory"
    assert problems["gone.wav"] == f"{UNREADABLE}: No such file or directory"


@pytest.fixture(scope="module")
def samples_of_containers(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("containers") / "a"
    data = []
    for container, subtype in CONTAINERS:
        soundfile.write(path, noise(4800), RATE, format=container, subtype=subtype)
        data.append(path.read_bytes())
    return data


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_fuzzed_audio_gives_a_row_and_never_a_traceback(
    samples_of_containers: list[bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(samples_of_containers)))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(200, len(content) - 1)))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzzed.wav"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    row = one(path)
    assert row["problem"] or row["duration_s"] >= 0.025


# --- features ---------------------------------------------------------------------------------------------


def test_features_are_measured_by_their_frames(tmp_path: Path) -> None:
    features = Features(sample_rate=8000, n_mels=16, padding=0.0)
    x = torch.randn(100, 16)
    x[98:] = 0
    torch.save({"x": x, "y": torch.zeros(3)}, tmp_path / "a.pt")
    row = one(tmp_path / "a.pt", features)
    assert (row["sample_rate"], row["channels"], row["n_samples"], row["problem"]) == (8000, 1, 98, "")
    assert row["duration_s"] == pytest.approx(0.995)  # 98 frames of 25 ms every 10 ms
    assert row["sha256"] == sha256(tmp_path / "a.pt")


def test_features_that_are_bad(tmp_path: Path) -> None:
    features = Features(n_mels=16, padding=0.0)
    torch.save({"x": torch.zeros(9, 16)}, tmp_path / "padding.pt")
    torch.save({"x": torch.randn(16, 40)}, tmp_path / "transposed.pt")
    torch.save(torch.full((9, 16), torch.nan), tmp_path / "nan.pt")
    torch.save(torch.randn(50, 16), tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:-500])
    (tmp_path / "zero.pt").touch()
    files = ["padding.pt", "transposed.pt", "nan.pt", "cut.pt", "zero.pt"]
    problems = measure(tmp_path, files, features, threads=2)["problem"].tolist()
    assert problems[0] == f"{TOO_SHORT}: nothing but 9 rows of padding"
    assert "transposed" in problems[1]
    assert "not finite" in problems[2]
    assert problems[3].startswith(UNREADABLE)
    assert problems[4] == f"{UNREADABLE}: 0 bytes"


# --- shards -----------------------------------------------------------------------------------------------


def test_shards_hold_every_file_once_in_order() -> None:
    files = [str(i) for i in range(10)]
    for n in (1, 3, 4, 10, 13):
        parts = [part_of(files, f"{i}-of-{n}") for i in range(1, n + 1)]
        assert [file for part in parts for file in part] == files
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_what_was_measured_is_read_again_though_a_shard_is_empty(tmp_path: Path) -> None:
    for name in ("1.wav", "NA.wav"):
        soundfile.write(tmp_path / name, noise(RATE // 3), RATE)
    (tmp_path / "zero.wav").touch()
    everything = measure(tmp_path, ["1.wav", "NA.wav", "zero.wav"], None, threads=2)
    paths = []
    for i in range(1, 6):
        paths.append(tmp_path / f"{i}-of-5.csv")
        write_measured(measure(tmp_path, part_of(everything["file"].tolist(), f"{i}-of-5"), None, threads=1), paths[-1])
    pd.testing.assert_frame_equal(read_measured(paths), everything)


def test_what_is_new_or_was_bad_or_changed_is_read_again_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    files = ["same.wav", "in/same.wav", "in/louder.wav", "longer.wav", "mended.wav", "empty.wav", "gone.wav"]
    (tmp_path / "in").mkdir()
    for file in files:
        soundfile.write(tmp_path / file, noise(RATE), RATE)
    (tmp_path / "mended.wav").write_bytes(b"")
    (tmp_path / "empty.wav").write_bytes(b"")
    write_measured(measure(tmp_path, files, None, threads=1), tmp_path / "1.csv")
    before = read_measured([tmp_path / "1.csv"])

    replace(tmp_path / "in/louder.wav", noise(RATE) / 2)  # of equal size: only its time differs, by a nanosecond
    replace(tmp_path / "longer.wav", noise(2 * RATE), later_ns=0)
    replace(tmp_path / "mended.wav", noise(RATE))
    replace(tmp_path / "new.wav", noise(RATE))
    (tmp_path / "gone.wav").unlink()
    read: list[str] = []

    def noted(folder: Path, files: list[str], *others: Any) -> pd.DataFrame:
        read.extend(files)
        return measure(folder, files, *others)

    monkeypatch.setattr("tymbal.ingest.measure.measure", noted)
    after = complete(before, tmp_path, [*files, "new.wav"], None, threads=1)
    assert read == ["empty.wav", "gone.wav", "in/louder.wav", "longer.wav", "mended.wav", "new.wav"]
    assert sorted(after["file"]) == sorted([*files, "new.wav"])
    after = after.set_index("file")
    for file in ("same.wav", "in/same.wav", "in/louder.wav", "longer.wav", "mended.wav", "new.wav"):
        assert (after.loc[file, "problem"], after.loc[file, "sha256"]) == ("", sha256(tmp_path / file)), file
    assert after.loc["empty.wav", "problem"] == f"{UNREADABLE}: 0 bytes"
    assert after.loc["gone.wav", "problem"] == f"{UNREADABLE}: No such file or directory"


def replace(path: Path, samples: np.ndarray, later_ns: int = 1) -> None:
    """Write other samples, with the file's time later by so much."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    soundfile.write(path, samples, RATE)
    os.utime(path, ns=(before + later_ns, before + later_ns))


def test_a_file_replaced_while_it_was_a_copy_is_a_copy_no_more(tmp_path: Path) -> None:
    for file in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / file, noise(RATE), RATE)
    before = measure(tmp_path, ["a.wav", "b.wav"], None, threads=1)
    assert not before["sha256"].is_unique
    replace(tmp_path / "b.wav", noise(RATE) / 2)
    assert complete(before, tmp_path, ["a.wav", "b.wav"], None, threads=1)["sha256"].is_unique


def test_other_statistics_declared_do_not_read_millions_of_files_again() -> None:
    raw = yaml.safe_load((REPO / "config" / "config.yaml").read_text(encoding="utf-8"))
    settings = []
    for mean in (-7.4, 7.4):
        lab = {
            "source": {"format": "list", "audio": "lab:specs"},
            "features": {"normalised": {"mean": mean, "std": 4.1}},
        }
        plan = Plan(load(raw | {"roots": {"lab": "elsewhere"}, "datasets": raw["datasets"] | {"lab": lab}}))
        settings.append(plan.measure_settings("lab"))
    assert settings[0] == settings[1]
    assert settings[0]["audio"] == "lab:specs"
    assert Features(**settings[0]["features"]).n_mels == 128
    assert plan.measure_settings("soundscapes") == {"audio": "synth:soundscapes/audio", "features": None}
