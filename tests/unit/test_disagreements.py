"""Suspected label errors: which cells are listed, in which order, and what is kept of the worst."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_runs import fake_frames
from tymbal.evaluate.calibration import Calibration, write_calibration
from tymbal.evaluate.disagreements import COLUMNS, N_OF_CLASS, N_SHOWN, N_TOLD, disagreements, pick_errors, varied
from tymbal.evaluate.predictions import Predictions, average, write_predictions
from tymbal.evaluate.sounds import Sound, mp3
from tymbal.evaluate.tables import read_table
from tymbal.ingest.manifest import write_manifest

RULES = ["any", "main", "main-ignore-sub"]


def clips(scores, labels, names=None) -> Predictions:
    n, c = np.shape(labels)
    names = names or [f"clip {i:04d}" for i in range(n)]
    classes = [f"class {i}" for i in range(c)]
    return Predictions(names, [f"r {name}" for name in names], ["S"] * n, classes, np.array(scores), np.array(labels))


def listed(made, rule="any"):
    return disagreements(made, np.ones(len(made.clip_ids), dtype=int), rule)


def test_both_kinds_ranked_by_confidence():
    made = clips([[0.99, 0.4, 0.2], [0.3, 0.001, 0.6], [0.9, 0.5, 0.5]], [[0, 1, 0], [0, 0.6, 1], [1, 0, 1]])
    told = listed(made)
    assert told[["rank", "clip_id", "class", "label", "probability", "kind"]].to_numpy().tolist() == [
        [1, "clip 0001", "class 1", 0.6, 0.001, "tagged"],
        [2, "clip 0000", "class 0", 0, 0.99, "untagged"],
        [3, "clip 0000", "class 1", 1, 0.4, "tagged"],
    ]


@pytest.mark.parametrize(("rule", "kinds"), [("any", ["tagged"]), ("main", []), ("main-ignore-sub", [])])
def test_a_sub_tag_is_a_tag(rule, kinds):
    """Whether or not it counts as positive, nobody has said that the class is absent."""
    assert listed(clips([[0.01], [0.99]], [[0.6], [0.6]]), rule)["kind"].tolist() == kinds


@given(st.integers(0, 2**32), st.sampled_from(RULES))
@settings(deadline=None, max_examples=30)
def test_the_most_confident_of_each_kind_are_listed(seed, rule):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0.6, 1], (150, 4))
    made = clips(rng.random((150, 4)).round(2).astype(np.float32), labels)  # with ties, 0 and 1
    told = listed(made, rule)
    loss = -np.log(np.clip(np.where(told["kind"] == "tagged", told["probability"], 1 - told["probability"]), 1e-7, 1))
    assert (np.diff(loss) <= 1e-9).all()
    assert told["rank"].tolist() == list(range(1, len(told) + 1))
    positive = labels > 0 if rule == "any" else labels == 1
    for kind, doubtful, sure in (
        ("untagged", (labels == 0) & (made.scores > 0.5), made.scores),
        ("tagged", positive & (made.scores < 0.5), 1 - made.scores),
    ):
        mine = told[told["kind"] == kind]
        cells = {(made.clip_ids[i], made.classes[c]): sure[i, c] for i, c in zip(*np.nonzero(doubtful), strict=True)}
        found = list(zip(mine["clip_id"], mine["class"], strict=True))
        assert len(found) == len(set(found)) == min(N_TOLD, len(cells))
        left_out = [value for cell, value in cells.items() if cell not in set(found)]
        assert min((cells[cell] for cell in found), default=1) >= max(left_out, default=0)


def test_shown_are_varied():
    rng = np.random.default_rng(0)
    made = clips(rng.uniform(0.5, 1, (100, 3)) - 0.5 * (labels := rng.integers(0, 2, (100, 3))), labels)
    shown = varied(listed(made))
    assert shown["clip_id"].is_unique
    assert shown["kind"].value_counts().max() <= N_SHOWN
    assert shown["class"].value_counts().tolist() == [N_OF_CLASS] * 3
    assert shown["rank"].is_monotonic_increasing
    assert shown["rank"].iloc[0] == 1


def test_a_clip_counts_once_with_the_mean_of_its_runs():
    """Two seeds of fold 1, in different orders, and one of fold 2."""
    first = clips([[0.2, 0.4], [0.6, 0.8]], [[1, 0], [0, 1]], ["b", "a"])
    again = clips([[0.8, 0.6], [0.4, 0.2]], [[0, 1], [1, 0]], ["a", "b"])
    other = clips([[0.5, 0.5]], [[1, 1]], ["c"])
    mean, n_runs = average([first, again, other])
    assert (mean.clip_ids, mean.recordings, n_runs.tolist()) == (["a", "b", "c"], ["r a", "r b", "r c"], [2, 2, 1])
    assert mean.labels.tolist() == [[0, 1], [1, 0], [1, 1]]
    np.testing.assert_allclose(mean.scores, [[0.7, 0.7], [0.3, 0.3], [0.5, 0.5]])


@pytest.fixture
def picked(tmp_path):
    """Pick of two seeds' errors; gives the table and the arrays."""

    def pick(made: Predictions, temperatures=(1.0, 1.0)):
        runs = []
        for seed, temperature in enumerate(temperatures):
            runs.append(tmp_path / f"seed{seed}")
            write_predictions(made, runs[-1] / "predictions.csv")
            calibration = Calibration("temperature", "bce", temperature, None, None, 9, 0.1, 0.1, 0.1, 0.1)
            write_calibration(runs[-1] / "calibration.json", calibration)
        n = len(made.clip_ids)
        manifest = {"clip_id": made.clip_ids, "root": "field", "path": [f"{name}.wav" for name in made.clip_ids]}
        manifest |= {"start_s": 6.0 * np.arange(n), "duration_s": 6.0, "recording": made.recordings, "site": "1"}
        write_manifest(pd.DataFrame(manifest | {"sample_rate": 16000, "sha256": "0"}), tmp_path / "manifest.csv")

        def sound(clip):
            silent = clip.start_s == 0
            return Sound(b"" if silent else mp3(np.ones(600) * clip.start_s, 8000), "no audio: gone" if silent else "")

        paths = {"table": tmp_path / "m.csv", "arrays": tmp_path / "m.npz"}
        subject = {"dataset": "2024", "model": "m"}
        pick_errors(runs, subject, "any", tmp_path / "manifest.csv", fake_frames, 0.01, sound, **paths)
        with np.load(paths["arrays"]) as arrays:  # no pickles
            return read_table(paths["table"]), dict(arrays)

    return pick


def test_files_of_a_model(picked):
    labels = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    table, arrays = picked(clips(np.array([[0.01, 0.2], [0.9, 0.97], [0.6, 0.8]], dtype=np.float32), labels))
    assert list(table.columns) == COLUMNS
    columns = ["dataset", "model", "rank", "clip_id", "root", "path", "start_s", "duration_s", "site", "n_runs"]
    assert table[columns].to_numpy().tolist() == [
        ["2024", "m", 1, "clip 0000", "field", "clip 0000.wav", 0, 6, "1", 2],
        ["2024", "m", 2, "clip 0001", "field", "clip 0001.wav", 6, 6, "1", 2],
        ["2024", "m", 3, "clip 0002", "field", "clip 0002.wav", 12, 6, "1", 2],
    ]
    assert table["kind"].tolist() == ["tagged", "untagged", "untagged"]
    assert table["probability"].tolist() == pytest.approx([0.01, 0.9, 0.8])
    for name in ("rank", "clip_id", "class", "kind", "label"):
        assert arrays[name].tolist() == table[name].tolist()
    np.testing.assert_allclose(arrays["probability"], table["probability"], rtol=1e-6)
    assert arrays["fbank"].dtype == np.float16
    for x, n, name in zip(arrays["fbank"], arrays["n_frames"], arrays["clip_id"], strict=True):
        np.testing.assert_array_equal(x[:n], fake_frames(name))
        assert not x[n:].any()
    assert arrays["frame_shift_s"] == 0.01
    # The sound of each clip, at its place.
    assert arrays["audio_note"].tolist() == ["no audio: gone", "", ""]
    offsets = arrays["audio_offsets"]
    assert (offsets[0], offsets[1], offsets[-1]) == (0, 0, len(arrays["audio"]))
    for k in (1, 2):
        assert soundfile.info(io.BytesIO(arrays["audio"][offsets[k] : offsets[k + 1]].tobytes())).samplerate == 8000


def test_probabilities_are_calibrated_run_by_run(picked):
    made = clips(np.array([[0.9], [0.2]], dtype=np.float32), np.zeros((2, 1), dtype=np.float32))
    table, _ = picked(made, temperatures=(1.0, 2.0))
    tempered = 1 / (1 + np.exp(-np.log(9) / 2))
    assert table["probability"].tolist() == pytest.approx([(0.9 + tempered) / 2])


def test_a_model_that_agrees_with_all_labels(picked):
    labels = np.eye(3, dtype=np.float32)
    table, arrays = picked(clips(0.2 + 0.6 * labels, labels))
    assert list(table.columns) == COLUMNS
    assert table.empty
    assert len(arrays["fbank"]) == len(arrays["clip_id"]) == len(arrays["audio"]) == len(arrays["audio_note"]) == 0
    assert arrays["audio_offsets"].tolist() == [0]


def test_confidence_beyond_what_float32_tells():
    made = clips(np.array([[1.0], [0.0]], dtype=np.float32), np.array([[0], [1]], dtype=np.float32))
    assert len(listed(made)) == 2
    assert listed(replace(made, labels=1 - made.labels)).empty
