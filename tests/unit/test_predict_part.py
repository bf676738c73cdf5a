"""Scores of windows: the same however a window comes to the model; and what a job and a season leave in files."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from helpers import kill
from small_prediction import CLASSES, CNN, CPU, LENGTH_S, SSAST, SSLAM, recording, small_model, sound
from tymbal import audio
from tymbal.compute import compute_part
from tymbal.config.predict import Predict
from tymbal.errors import InputError
from tymbal.evaluate.predictions import SCORE
from tymbal.files import sha256
from tymbal.inference import predict, scores
from tymbal.layout import write_index
from tymbal.predict import kept
from tymbal.predict.collect import Outputs, collect
from tymbal.predict.kept import EmbeddingsWriter, Scores, read_embeddings, read_files
from tymbal.predict.model import Predictor
from tymbal.predict.shard import predict_part
from tymbal.store import FeatureStore
from tymbal.tables import read_csv, write_csv
from tymbal.train.data import ClipSet


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(audio, "BLOCK", 7001)


def predicted(files, root, predictor, out, **settings) -> list[kept.FileScores]:
    predict_part(files, root, predictor, Predict(**settings), out)
    return list(Scores(out / "scores.parquet").by_file())


def by_store(path, starts_s, length_s, rate, predictor, folder) -> np.ndarray:
    """Scores of clips of a file as evaluation makes them: features in a store, then the model."""
    rows = [
        {"clip_id": f"{i}", "root": "data", "path": path.name, "start_s": start_s, "duration_s": length_s}
        for i, start_s in enumerate(starts_s)
    ]
    manifest, frontend = pd.DataFrame(rows).assign(sha256=sha256(path)), predictor.frontend
    compute_part(manifest, {"data": path.parent}, frontend, None, "mix", folder / "1-of-1", folder / "work", threads=1)
    write_index([folder / "1-of-1"], folder)
    store = FeatureStore(folder, predictor.card.frontend)
    labels = np.zeros((len(rows), len(CLASSES)), np.float32)
    clips = ClipSet(store, tuple(manifest["clip_id"]), labels, predictor.n_frames, predictor.card.scale, CPU)
    return scores(predict(predictor.model, clips, 16, None), predictor.card.loss)


@pytest.mark.parametrize(
    ("net", "rate"),
    [*((SSAST, rate) for rate in (8000, 16000, 22050, 32000, 44100, 48000, 192000)), (SSLAM, 44100), (CNN, 44100)],
)
def test_a_window_has_the_same_scores_however_it_comes(tmp_path, net, rate):
    """In a long file, in any batch, alone in a file, and as evaluation computes it from the feature store."""
    predictor = Predictor.load(small_model(tmp_path / "model", net), CPU)
    whole = recording(tmp_path / "long.flac", 2.13, rate)
    recording(tmp_path / "other.wav", 0.93, 16000, seed=1)
    [long, other] = predicted(["long.flac", "other.wav"], tmp_path, predictor, tmp_path / "a", overlap=0.5)
    assert len(long.start_s) >= 8
    assert (long.scores.max(axis=0) - long.scores.min(axis=0)).min() > 0.05  # so there is something to compare
    for size in (1, 3, 64):
        parts = predicted(["other.wav", "long.flac"], tmp_path, predictor, tmp_path / "b", overlap=0.5, batch_size=size)
        for again, before in zip(parts, (other, long), strict=True):
            np.testing.assert_array_equal(again.start_s, before.start_s)
            np.testing.assert_allclose(again.scores, before.scores, atol=1e-5, rtol=0)
    for i in (0, 3, len(long.start_s) - 1):
        start, end = round(long.start_s[i] * rate), round(long.end_s[i] * rate)
        soundfile.write(tmp_path / "alone.wav", whole[start:end], rate, subtype="FLOAT")
        [alone] = predicted(["alone.wav"], tmp_path, predictor, tmp_path / "b")
        assert alone.end_s.tolist() == [(end - start) / rate]
        np.testing.assert_allclose(alone.scores[0], long.scores[i], atol=1e-5, rtol=0)
    seconds = predictor.windows(Predict()).length_s
    evaluated = by_store(tmp_path / "long.flac", long.start_s, seconds, rate, predictor, tmp_path / "store")
    np.testing.assert_allclose(long.scores, evaluated, atol=1e-5, rtol=0)


@pytest.mark.parametrize("padding", ["mean", "original"])
def test_short_recordings_are_padded_as_short_clips_are(tmp_path, padding):
    predictor = Predictor.load(small_model(tmp_path / "model", loss="ce", padding=padding), CPU)
    recording(tmp_path / "short.wav", 0.21, 22050)
    [short] = predicted(["short.wav"], tmp_path, predictor, tmp_path / "a")
    evaluated = by_store(tmp_path / "short.wav", [0.0], 0.21, 22050, predictor, tmp_path / "store")
    np.testing.assert_allclose(short.scores, evaluated, atol=1e-5, rtol=0)
    assert short.scores.sum() == pytest.approx(1)


@pytest.mark.parametrize("net", [SSAST, {**SSAST, "pooling": "cls"}, SSLAM, CNN])
def test_embeddings_are_what_the_head_is_given(tmp_path, net):
    predictor = Predictor.load(small_model(tmp_path / "model", net), CPU)
    made = predictor([sound(LENGTH_S, 16000, seed) for seed in range(3)])
    assert made.embeddings.dtype == np.float16
    assert made.embeddings.shape[0] == 3 and made.embeddings.ndim == 2
    if net is not CNN:  # whose head sees places, not their mean
        with torch.inference_mode():
            logits = predictor.model.head(torch.from_numpy(made.embeddings).float()).numpy()
        np.testing.assert_allclose(scores(logits, "bce"), made.scores, atol=0.02)


def test_what_is_wrong_with_one_recording_is_a_line_in_a_table(tmp_path):
    predictor = Predictor.load(small_model(tmp_path / "model"), CPU)
    for i, name in enumerate(("a.wav", "b.flac", "鳥 1.wav")):
        recording(tmp_path / name, 1.2, 16000, seed=i)
    whole = recording(tmp_path / "nan.wav", 1.2)
    whole[10000:10100] = np.nan
    soundfile.write(tmp_path / "nan.wav", whole, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "click.wav", np.zeros(100), 16000)
    (tmp_path / "text.wav").write_text("no sound")
    files = ["empty.wav", "a.wav", "text.wav", "nan.wav", str(tmp_path / "b.flac"), "click.wav", "lost.wav", "鳥 1.wav"]
    found = predicted(files, tmp_path, predictor, tmp_path / "out", length_s=0.2, batch_size=4)
    table = read_files(tmp_path / "out" / "files.csv")
    assert table["file"].tolist() == files
    assert table["n_windows"].tolist() == [0, 6, 0, 4, 6, 0, 0, 6]
    assert table["seconds"].tolist() == pytest.approx([0, 1.2, 0, 0.625, 1.2, 0, 0, 1.2])
    told = ["no samples", "", "not readable", "0.6250 s is not a finite", "", "6.2 ms", "cannot be opened", ""]
    for problem, expected in zip(table["problem"], told, strict=True):
        assert expected in problem and bool(expected) == bool(problem)
    assert [one.file for one in found] == [file for file, n in zip(files, table["n_windows"], strict=True) if n]
    assert len(read_embeddings(tmp_path / "out" / "embeddings.npy")) == 22
    heard = table["n_windows"] > 0
    assert table.loc[heard, "log_mel_mean"].between(-16, 0).all() and (table.loc[heard, "log_mel_std"] > 0.1).all()
    assert table.loc[~heard, ["log_mel_mean", "log_mel_std"]].isna().all(axis=None)


def test_a_disk_that_fails_within_a_file_is_a_line_too(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("tymbal.predict.stream.cut_short", fail)
    recording(tmp_path / "a.wav", 1.0)
    predicted(["a.wav"], tmp_path, Predictor.load(small_model(tmp_path / "model"), CPU), tmp_path / "out")
    [row] = read_files(tmp_path / "out" / "files.csv").itertuples()
    assert (row.n_windows, row.problem) == (2, "cannot be read: Input/output error")


def test_mean_and_deviation_of_log_mel_are_those_of_the_frames(tmp_path):
    predictor = Predictor.load(small_model(tmp_path / "model"), CPU)
    recording(tmp_path / "a.wav", 1.0)
    [found] = predicted(["a.wav"], tmp_path, predictor, tmp_path / "out", length_s=0.5)
    by_store(tmp_path / "a.wav", found.start_s, 0.5, 16000, predictor, tmp_path / "store")
    values = FeatureStore(tmp_path / "store")
    frames = np.concatenate([values.frames(f"{i}") for i in range(2)]).astype(np.float64)
    [row] = read_files(tmp_path / "out" / "files.csv").itertuples()
    assert (row.log_mel_mean, row.log_mel_std) == pytest.approx((frames.mean(), frames.std()))


def test_a_model_whose_weights_have_diverged_is_refused(tmp_path):
    predictor = Predictor.load(small_model(tmp_path / "model"), CPU)
    with torch.no_grad():
        predictor.model.head[1].bias[0] = torch.nan
    recording(tmp_path / "a.wav", 1.0)
    with pytest.raises(InputError, match="weights have diverged"):
        predict_part(["a.wav"], tmp_path, predictor, Predict(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_embeddings_that_a_file_cannot_hold_are_refused(tmp_path):
    predictor = Predictor.load(small_model(tmp_path / "model"), CPU)
    with torch.no_grad():
        predictor.model.norm.weight.mul_(1e5)  # the head's own norm makes the scores what they were
    recording(tmp_path / "a.wav", 1.0)
    with pytest.raises(InputError, match=r"a\.wav: embeddings are beyond 65504"):
        predict_part(["a.wav"], tmp_path, predictor, Predict(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def predict_two(folder) -> None:
    predictor = Predictor.load(folder / "model", CPU)
    predict_part(["a.wav", "b.wav"], folder, predictor, Predict(batch_size=2), folder / "parts" / "1")


def test_a_killed_job_leaves_nothing_that_the_next_one_trips_over(tmp_path):
    small_model(tmp_path / "model")
    for name in ("a.wav", "b.wav"):
        recording(tmp_path / name, 2.0)
    kill(predict_two, tmp_path, at="tymbal.predict.shard.check_finite", call=3)
    assert not (tmp_path / "parts" / "1").exists()
    predict_two(tmp_path)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["1"]
    assert len(Scores(tmp_path / "parts" / "1" / "scores.parquet").columns(["file"])) == 8


def test_features_that_this_version_does_not_compute_are_refused(tmp_path):
    state = Predictor.load(small_model(tmp_path / "model"), CPU).card.frontend
    other = {**state, "version": 7, "window": "povey"}
    small_model(tmp_path / "model", frontend=other)
    with pytest.raises(InputError) as told:
        Predictor.load(tmp_path / "model", CPU)
    assert "window: found 'hanning', expected 'povey'" in str(told.value)
    assert "version: found 1, expected 7" in str(told.value)
    small_model(tmp_path / "model", frontend={**state, "backend": "imported"})
    with pytest.raises(InputError, match="model was trained on imported features"):
        Predictor.load(tmp_path / "model", CPU)


def test_windows_that_the_model_would_not_hear_whole_are_refused(tmp_path):
    predictor = Predictor.load(small_model(tmp_path / "model"), CPU)
    assert predictor.windows(Predict()).length_s == LENGTH_S  # 48 frames
    assert predictor.windows(Predict(length_s=0.55, overlap=0.2)).hop_s == pytest.approx(0.44)  # 53 frames
    with pytest.raises(
        InputError, match=r"0\.56 s has 54 frames, of which the model sees 48.* Leave it out for 0\.5 s"
    ):
        predictor.windows(Predict(length_s=0.56))
    with pytest.raises(InputError, match="shorter than one frame"):
        predictor.windows(Predict(length_s=0.024))


def season(tmp_path, monkeypatch) -> tuple[list, Outputs]:
    """Three jobs, the second of files without windows; the listed order is not that of the shards' names."""
    monkeypatch.setattr(kept, "GROUP_ROWS", 10)
    predictor = Predictor.load(small_model(tmp_path / "model"), CPU)
    rows, parts = [], {}
    for i, name in enumerate(("c.wav", "a.wav", "b.wav", "x.wav", "z.wav")):
        shard = {"c.wav": "2-of-3", "a.wav": "2-of-3", "x.wav": "3-of-3"}.get(name, "1-of-3")
        if name == "b.wav":
            rows.append((name, "", "S1", "", "", "", "", "an older problem"))
            continue
        if name == "x.wav":
            soundfile.write(tmp_path / name, np.zeros(10), 16000)
        else:
            recording(tmp_path / name, 1.0 + i, seed=i)
        rows.append((name, shard, "007", "2024-05-01T04:30:00", 1.0 + i, 16000, 1, ""))
        parts.setdefault(shard, []).append(name)
    write_csv(pd.DataFrame(rows, columns=list(kept.RECORDINGS)), tmp_path / "recordings.csv")
    for shard, files in parts.items():
        predict_part(files, tmp_path, predictor, Predict(length_s=0.25), tmp_path / "parts" / shard)
    names = ("scores.parquet", "embeddings.npy", "embeddings_index.csv", "files.csv", "scores.csv")
    return [tmp_path / "parts" / shard for shard in sorted(parts)], Outputs(*(tmp_path / "all" / n for n in names))


def test_parts_of_a_season_come_together_in_the_order_of_the_list(tmp_path, monkeypatch):
    parts, outputs = season(tmp_path, monkeypatch)
    collect(parts, tmp_path / "recordings.csv", outputs)
    whole = Scores(outputs.scores)
    assert [one.file for one in whole.by_file()] == ["c.wav", "a.wav", "z.wav"]
    by_part = [one for part in (parts[1], parts[2], parts[0]) for one in Scores(part / "scores.parquet").by_file()]
    for one, before in zip(whole.by_file(), by_part, strict=True):
        assert one.file == before.file
        for column, expected in zip(one[1:], before[1:], strict=True):
            np.testing.assert_array_equal(column, expected)
    table = pd.read_csv(outputs.scores_csv)
    assert list(table) == ["file", "start_s", "end_s", *(SCORE + name for name in CLASSES)]
    np.testing.assert_array_equal(
        table[SCORE + CLASSES[1]].astype(np.float32), np.concatenate([one.scores[:, 1] for one in by_part])
    )
    assert whole.columns(["file"])["file"].tolist() == table["file"].tolist()
    index = read_csv(outputs.embeddings_index, text=("file",))
    assert index["row"].tolist() == list(range(len(table)))
    pd.testing.assert_frame_equal(
        index[["file", "start_s", "end_s"]], table[["file", "start_s", "end_s"]], check_dtype=False
    )
    vectors = read_embeddings(outputs.embeddings)
    ours = [read_embeddings(part / "embeddings.npy") for part in (parts[1], parts[2], parts[0])]
    np.testing.assert_array_equal(vectors, np.concatenate([each for each in ours if len(each)]))
    files = read_files(outputs.files)
    assert files["file"].tolist() == ["c.wav", "a.wav", "b.wav", "x.wav", "z.wav"]
    assert files["n_windows"].tolist() == [4, 8, 0, 0, 20]
    assert files["site"].tolist() == ["007", "007", "S1", "007", "007"]
    assert files["problem"].tolist()[:3] == ["", "", "an older problem"]
    assert "holds 10 samples" in files["problem"][3]
    assert list(files)[-1] == "problem" and "shard" not in files


def test_the_rows_of_a_file_lie_in_one_group_and_small_files_share_one(tmp_path, monkeypatch):
    parts, outputs = season(tmp_path, monkeypatch)
    collect(parts, tmp_path / "recordings.csv", outputs)
    groups = [set(group["file"].to_pylist()) for group in Scores(outputs.scores).groups()]
    assert groups == [{"c.wav", "a.wav"}, {"z.wav"}]


def test_parts_of_other_recordings_or_models_are_refused(tmp_path, monkeypatch):
    parts, outputs = season(tmp_path, monkeypatch)
    with pytest.raises(InputError, match="its parts are not those of"):
        collect(parts[1:], tmp_path / "recordings.csv", outputs)
    predictor = Predictor.load(small_model(tmp_path / "model"), CPU)
    predict_part(["z.wav"], tmp_path, predictor, Predict(length_s=0.3), parts[0])
    with pytest.raises(InputError, match=r"1-of-3.* are of different models or windows"):
        collect(parts, tmp_path / "recordings.csv", outputs)


def test_a_season_without_a_window_has_tables_without_rows(tmp_path):
    predictor = Predictor.load(small_model(tmp_path / "model"), CPU)
    (tmp_path / "text.wav").write_text("no sound")
    assert predicted(["text.wav"], tmp_path, predictor, tmp_path / "1-of-1") == []
    row = dict.fromkeys(kept.RECORDINGS, "") | {"file": "text.wav", "shard": "1-of-1"}
    write_csv(pd.DataFrame([row]), tmp_path / "recordings.csv")
    outputs = Outputs(*(tmp_path / name for name in ("s", "e.npy", "i.csv", "f.csv", "s.csv")))
    collect([tmp_path / "1-of-1"], tmp_path / "recordings.csv", outputs)
    assert list(Scores(outputs.scores).by_file()) == []
    assert len(pd.read_csv(outputs.scores_csv)) == len(read_embeddings(outputs.embeddings)) == 0
    assert list(pd.read_csv(outputs.scores_csv))[3:] == [SCORE + name for name in CLASSES]


@pytest.mark.parametrize("lengths", [[], [0], [0, 3, 0, 40000], [1]])
def test_embeddings_are_written_piece_by_piece(tmp_path, lengths):
    rows = [np.random.default_rng(i).normal(size=(n, 5 if n else 0)).astype(np.float16) for i, n in enumerate(lengths)]
    with EmbeddingsWriter(tmp_path / "a.npy") as writer:
        for part in rows:
            writer.add(part)
    expected = np.concatenate([part for part in rows if len(part)] or [np.zeros((0, 0), np.float16)])
    np.testing.assert_array_equal(read_embeddings(tmp_path / "a.npy"), expected)


def test_another_file_is_no_file_of_scores(tmp_path):
    (tmp_path / "scores.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="is no file of scores"):
        Scores(tmp_path / "scores.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(InputError, match="is no file of scores"):
        Scores(tmp_path / "scores.parquet")
