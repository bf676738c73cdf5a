"""Summary tables from run folders."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix

from fake_runs import EVALUATION, corpus_facts, fake_frames, write_dataset, write_runs
from tymbal.errors import InputError
from tymbal.evaluate.examples import pick_examples
from tymbal.evaluate.pooled import CURVE_STEPS
from tymbal.evaluate.predictions import read_predictions
from tymbal.evaluate.summary import collect, planned_runs, published
from tymbal.evaluate.tables import read_table, rows_of, write_table
from tymbal.finished import digests
from tymbal.runs import Run

CLASSES = ["Bird", "Frog", "NA", "7"]  # names that a table reader could take for something else


@pytest.fixture(scope="module")
def multi(tmp_path_factory):
    """Runs of a multi-label data set, one class without positives, and their tables."""
    root = tmp_path_factory.mktemp("multi")
    runs = write_runs(root, "2024", "m", CLASSES, n_folds=2, seeds=(0, 1), absent=["7"])
    return runs, collect(runs, {"2024": write_dataset(root / "data", CLASSES)}, {"m": "m"}, EVALUATION)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Likewise with single labels and all classes present."""
    root = tmp_path_factory.mktemp("single")
    runs = write_runs(root, "esc", "m", CLASSES, single_label=True)
    return runs, collect(runs, {"esc": write_dataset(root / "data", CLASSES)}, {"m": "m"}, EVALUATION)


def pooled(runs):
    parts = [read_predictions(folder / "predictions.csv") for _, folder in runs]
    return np.concatenate([part.scores for part in parts]), np.concatenate([part.labels for part in parts])


def test_columns(multi):
    tables = multi[1]
    assert {name: ", ".join(table.columns) for name, table in tables.items()} == {
        "metrics": "dataset, model, fold, seed, part, target_rule, threshold, metric, class, thresholds, unit, value, "
        "low, high, draws, n_pos, n_clips, n_groups, n_classes, note",
        "intervals": "dataset, model, metric, class, thresholds, unit, n_runs, n_folds, n_seeds, n_groups, value, low, "
        "high, draws",
        "slices": "dataset, model, slice, level, metric, value, low, high, draws, n_runs, n_clips, n_pos, n_groups, "
        "n_classes",
        "thresholds": "dataset, model, fold, seed, class, threshold, low, high, own, overall, n_pos, f1, precision, "
        "recall",
        "reliability": "dataset, model, stage, bin, least_score, mean_score, most_score, share_positive, n, low, high",
        "dependence": "dataset, model, class_a, class_b, n_both, expected_both, error_correlation",
        "curves": "dataset, model, fold, seed, epoch, lr, head_lr, train_loss, val_loss, val_mAP, val_AUC, val_dprime, "
        "val_precision, val_recall, val_accuracy, threshold, clips_per_s, seconds, best",
        "pr_curves": "dataset, model, class, recall, precision, n_pos, n_clips, prevalence",
        "confusion": "dataset, model, kind, true_class, predicted_class, n, share",
        "balance": "dataset, fold, part, class, n_clips, n_groups, weight, share, target_share, residual",
        "runs": "dataset, model, fold, seed, best_epoch, epochs, n_train, n_val, n_test, parameters, device, "
        "precision, peak_memory_mb, minutes, gpu_kwh, cpu_kwh, label_percent, family, init, start, test_clips, "
        "started, ended, code, tymbal, commit, dirty, torch, python, machine, container, slurm_job, settings",
        "audit": "dataset, fold, part, measure, value, note",
        "near_copies": "dataset, fold, part, clip_id, train_clip_id, cosine, correlation",
        "quarantine": "dataset, file, where, kind, reason",
        "ingest": "dataset, kind, what, told",
    }


def test_metrics_are_those_of_the_runs(multi):
    runs, tables = multi
    for run, folder in runs:
        result = json.loads((folder / "metrics.json").read_text())
        told = [row for row in result["rows"] if not row["slice"]]
        assert len(told) < len(result["rows"])
        metrics = tables["metrics"]
        mine = metrics[(metrics["fold"] == run.fold) & (metrics["seed"] == run.seed)]
        for column in ("metric", "thresholds", "unit", "value", "low", "n_groups"):
            found = [None if isinstance(v, float) and math.isnan(v) else v for v in mine[column]]
            assert found == [row[column] for row in told]
        assert set(mine["n_clips"]) == {40, 20}  # two clips a recording


def test_intervals_and_slices_are_of_means_over_runs(multi):
    tables = multi[1]
    overall = tables["intervals"].query("metric == 'mAP_macro' and unit == 'clip'")
    assert len(overall) == 1
    metrics = tables["metrics"].query("metric == 'mAP_macro' and unit == 'clip'")
    row = overall.iloc[0]
    assert row["value"] == pytest.approx(metrics["value"].mean())
    assert row["low"] < row["value"] < row["high"]
    assert row[["n_runs", "n_folds", "n_seeds", "n_groups", "draws"]].tolist() == [4, 2, 2, 40, 30]
    slices = tables["slices"]
    assert set(slices["slice"]) == {"polyphony", "site", "hour", "season", "signal_level", "known_site"}
    assert set(slices["metric"]) == {"mAP_macro", "prevalence_macro", "AUC_macro", "F1_macro"}
    levels = slices[(slices["slice"] == "known_site") & (slices["metric"] == "AUC_macro")]
    assert levels[["level", "n_clips"]].to_numpy().tolist() == [["known", 56], ["new", 24]]


def test_thresholds_and_reliability_of_all_runs(multi):
    runs, tables = multi
    thresholds = tables["thresholds"]
    assert len(thresholds) == 4 * len(CLASSES)
    assert thresholds.loc[thresholds["class"] == "7", ["own", "f1"]].isna().all(axis=None)
    scores, labels = pooled(runs)
    for stage, rows in tables["reliability"].groupby("stage"):
        assert rows["n"].sum() == scores.size
        positives = (rows["n"] * rows["share_positive"]).sum()
        assert positives == pytest.approx((labels > 0).sum())
        if stage == "before":
            assert (rows["n"] * rows["mean_score"]).sum() == pytest.approx(scores.sum(), rel=1e-5)


def test_runs_of_a_fold_on_other_clips_are_refused(tmp_path):
    runs = write_runs(tmp_path, "d", "m", CLASSES, n_folds=1)
    runs += write_runs(tmp_path, "d", "n", CLASSES, n_folds=1, n_test=30)
    with pytest.raises(InputError, match=r"results/d/n/fold1/seed0: other clip_ids, groups than results/d/m/"):
        collect(runs, {"d": write_dataset(tmp_path / "data", CLASSES)}, {"m": "m", "n": "n"}, EVALUATION)


def test_results_of_another_generation_or_of_other_settings_are_all_named(tmp_path):
    runs = write_runs(tmp_path, "d", "m", CLASSES, n_folds=3)
    data = {"d": write_dataset(tmp_path / "data", CLASSES)}
    calibration = runs[0][1] / "calibration.json"
    calibration.write_text(calibration.read_text() + " ")
    metrics = runs[1][1] / "metrics.json"
    result = json.loads(metrics.read_text())
    result["evaluation"] |= {"target_rule": "main", "threshold": 0.3, "slices": []}
    metrics.write_text(json.dumps(result))
    with pytest.raises(InputError) as error:
        collect(runs, data, {"m": "m"}, EVALUATION)
    assert error.value.cases == (
        f"{runs[0][1]}: scored before calibration.json changed",
        f"{runs[1][1]}: evaluation.target_rule main, not any; evaluation.threshold 0.3, not 0.5",
    )


def test_results_of_an_earlier_split_are_refused(tmp_path):
    ((run, folder),) = write_runs(tmp_path, "d", "m", CLASSES, n_folds=1)
    data = write_dataset(tmp_path / "data", CLASSES)
    (data / "folds.csv").write_text("clip_id\n")
    metrics = folder / "metrics.json"
    result = json.loads(metrics.read_text())
    result["made_from"] |= digests([data / "folds.csv"])
    metrics.write_text(json.dumps(result))
    collect([(run, folder)], {"d": data}, {"m": "m"}, EVALUATION)
    (data / "folds.csv").write_text("clip_id\na\n")
    with pytest.raises(InputError, match=r"fold1/seed0: scored before folds.csv changed"):
        collect([(run, folder)], {"d": data}, {"m": "m"}, EVALUATION)


def test_planned_runs_are_counted_with_those_that_have_results():
    planned = [Run("d", model, fold, 0) for model in ("m", "n", "o") for fold in (1, 2)]
    table = planned_runs(planned, [planned[0], planned[2], planned[3]])
    assert table.to_numpy().tolist() == [["d", "m", 2, 1], ["d", "n", 2, 2], ["d", "o", 2, 0]]


def test_published_figures_keep_their_source():
    row = {"model": "SVM", "metric": "accuracy", "value": 0.675, "source": "Piczak 2015"}
    assert published({"esc": [row], "own": []}).to_dict("records") == [{"dataset": "esc", **row}]


def test_runs_have_one_row_each(multi):
    table = multi[1]["runs"]
    assert table[["commit", "dirty", "torch", "container"]].iloc[0].tolist() == ["0" * 40, 0, "2.9.1", ""]
    assert table[["fold", "seed", "n_test", "parameters", "init"]].to_numpy().tolist() == [
        [fold, seed, 40, 5524416, "scratch"] for seed in (0, 1) for fold in (1, 2)
    ]


def starts(tmp_path, **settings):
    """The columns that tell what two folds of the data set `esc` start from."""
    runs = write_runs(tmp_path, "esc", "m-10", CLASSES, label_percent=10, **settings)
    table = collect(runs, {"esc": write_dataset(tmp_path / "data", CLASSES)}, {"m-10": "m"}, EVALUATION)["runs"]
    return table[["label_percent", "family", "init", "start", "test_clips"]].to_numpy().tolist()


def test_runs_say_what_they_start_from(tmp_path):
    ssl = {"ssl": "tiny", "seed": 0}
    clean = [corpus_facts(fold) for fold in (1, 2)]
    assert starts(tmp_path / "a") == [[10, "m", "scratch", "", "clean"]] * 2
    assert starts(tmp_path / "b", init="x/y.pth") == [[10, "m", "file", "x/y.pth", "unknown"]] * 2
    released = {"released": "ssast-tiny-patch-400"}
    path = "resources/checkpoints/released/SSAST-Tiny-Patch-400.pth"
    assert starts(tmp_path / "d", init=released) == [[10, "m", "file", path, "unknown"]] * 2
    assert starts(tmp_path / "c", init=ssl, corpora=clean) == [[10, "m", "ssl", "tiny", "clean"]] * 2


def test_what_is_known_of_starting_weights_and_test_clips(tmp_path):
    def told_of(name, *corpora):
        return [row[-1] for row in starts(tmp_path / name, init="encoder.safetensors", corpora=corpora)]

    clean = [corpus_facts(fold) for fold in (1, 2)]
    told = corpus_facts(1, transductive=True)
    assert told_of("told", told, told) == ["transductive"] * 2
    assert told_of("before", *({**facts, "before": told} for facts in clean)) == ["transductive"] * 2
    assert told_of("clean before", *({**facts, "before": facts} for facts in clean)) == ["clean"] * 2
    assert told_of("other fold", clean[0], clean[0]) == ["clean", "transductive"]  # left out: test part of fold 1
    elsewhere = {**clean[0], "held_out": [], "parts": [{"dataset": "field"}]}
    assert told_of("elsewhere", elsewhere, elsewhere) == ["unknown"] * 2  # it may hold the clips by another name
    aware = {**elsewhere, "held_out": [["esc", 1], ["esc", 2]]}
    assert told_of("aware", aware, aware) == ["clean"] * 2
    assert told_of("elsewhere before", *({**facts, "before": elsewhere} for facts in clean)) == ["unknown"] * 2
    assert told_of("file before", *({**facts, "before": None} for facts in clean)) == ["unknown"] * 2


def test_pooled_curves_give_the_pooled_average_precision(multi):
    runs, tables = multi
    scores, labels = pooled(runs)
    for c, name in enumerate(CLASSES[:3]):
        curve = tables["pr_curves"][tables["pr_curves"]["class"] == name]
        recall, precision = curve["recall"].to_numpy()[::-1], curve["precision"].to_numpy()[::-1]
        area = (np.diff(recall, prepend=0) * precision).sum()
        assert area == pytest.approx(average_precision_score(labels[:, c] > 0, scores[:, c]))
        assert recall[-1] == 1
        assert set(curve["n_pos"]) == {int((labels[:, c] > 0).sum())}
        assert set(curve["n_clips"]) == {160}
    assert "7" not in set(tables["pr_curves"]["class"])  # no positives, no curve


def test_long_curves_are_thinned(tmp_path):
    runs = write_runs(tmp_path, "d", "m", CLASSES, n_folds=1, n_test=4000)
    curve = collect(runs, {"d": write_dataset(tmp_path / "b", CLASSES)}, {"m": "m"}, EVALUATION)["pr_curves"].query(
        "`class` == 'Bird'"
    )
    assert curve["n_pos"].iloc[0] > 2 * CURVE_STEPS
    assert CURVE_STEPS / 2 < len(curve) <= CURVE_STEPS + 1
    assert curve["recall"].iloc[0] == 1


def test_confusion_of_single_labels(single):
    runs, tables = single
    scores, labels = pooled(runs)
    expected = confusion_matrix(labels.argmax(axis=1), scores.argmax(axis=1))
    table = tables["confusion"]
    assert set(table["kind"]) == {"confusion"}
    assert table["n"].to_numpy().reshape(4, 4).tolist() == expected.tolist()
    assert table.groupby("true_class")["share"].sum().to_numpy() == pytest.approx(1)


def test_cooccurrence_of_multiple_labels(multi):
    runs, tables = multi
    scores, labels = pooled(runs)
    table = tables["confusion"]
    assert set(table["kind"]) == {"cooccurrence"}
    cells = table.set_index(["true_class", "predicted_class"])
    frogs = labels[:, 1] > 0  # any tag, a sub tag too
    assert cells.loc[("Frog", "Bird"), "n"] == (scores[frogs, 0] >= 0.5).sum()
    assert cells.loc[("Frog", "Bird"), "share"] == pytest.approx((scores[frogs, 0] >= 0.5).mean())
    assert cells.loc["7", "share"].isna().all()
    assert len(table) == 16


def test_data_sets_have_their_tables(multi):
    tables = multi[1]
    assert set(tables["audit"]["dataset"]) == {"2024"}
    assert tables["audit"].groupby("measure")["value"].size().unique().tolist() == [4]
    assert tables["near_copies"].empty
    assert tables["quarantine"].empty
    ingest = tables["ingest"].set_index(["kind", "what"])["told"]
    assert ingest["count", "n_clips"] == "1900"
    assert ingest["fact", "encoding"] == "cp950"
    assert ingest["warning", ""].startswith("tag columns")


def test_ingest_of_several_data_sets(tmp_path):
    runs = write_runs(tmp_path, "a", "m", CLASSES, n_folds=1)
    folders = {
        "a": write_dataset(tmp_path / "a", CLASSES, 1),
        "b": write_dataset(tmp_path / "b", CLASSES, 1, n_near=2, n_quarantined=3),
    }
    tables = collect(runs, folders, {"m": "m"}, EVALUATION)
    assert tables["near_copies"]["dataset"].tolist() == ["b"] * 2
    assert tables["quarantine"][["dataset", "kind"]].to_numpy().tolist() == [["b", "truncated files"]] * 3
    told = tables["ingest"].query("kind == 'quarantined'")
    assert told.to_numpy().tolist() == [["b", "quarantined", "truncated files", "3"]]


def test_written_tables_are_read_back(multi, tmp_path):
    for name, table in multi[1].items():
        write_table(table, tmp_path / f"{name}.csv")
        found = read_table(tmp_path / f"{name}.csv")
        pd.testing.assert_frame_equal(found, table, check_dtype=False, rtol=1e-8)
    assert found["dataset"].unique().tolist() == ["2024"]
    metrics = read_table(tmp_path / "metrics.csv")
    assert list(dict.fromkeys(metrics["class"])) == [*CLASSES, ""]
    assert len(rows_of(metrics, {"dataset": "2024", "model": "m"})) == len(metrics)
    assert rows_of(metrics, {"dataset": "2024", "model": "other"}).empty


def test_examples_go_from_best_to_worst(multi, tmp_path):
    (_, folder), *_ = multi[0]
    pick_examples(folder / "predictions.csv", fake_frames, 0.01, tmp_path / "examples.npz")
    clips = read_predictions(folder / "predictions.csv")
    error = np.abs(clips.scores - clips.labels)
    loss = -(clips.labels * np.log(clips.scores) + (1 - clips.labels) * np.log(1 - clips.scores)).mean(axis=1)
    with np.load(tmp_path / "examples.npz") as found:
        rows = [clips.clip_ids.index(name) for name in found["clip_id"]]
        assert len(rows) == 6
        assert loss[rows].tolist() == sorted(loss[rows])
        assert (loss[rows[0]], loss[rows[-1]]) == (loss.min(), loss.max())
        np.testing.assert_array_equal(np.abs(found["score"] - found["label"]), error[rows])
        assert found["fbank"].dtype == np.float16
        assert found["fbank"].shape == (6, found["n_frames"].max(), 128)
        for row, name, x, n in zip(rows, found["clip_id"], found["fbank"], found["n_frames"], strict=True):
            assert clips.clip_ids[row] == name
            np.testing.assert_array_equal(x[:n], fake_frames(name))
            assert not x[n:].any()
        assert found["classes"].tolist() == CLASSES
        assert found["frame_shift_s"] == 0.01


def test_fewer_clips_than_examples(tmp_path):
    ((_, folder),) = write_runs(tmp_path, "d", "m", CLASSES, n_folds=1, n_test=4)
    pick_examples(folder / "predictions.csv", fake_frames, 0.01, tmp_path / "examples.npz")
    with np.load(tmp_path / "examples.npz") as found:
        assert len(set(found["clip_id"])) == len(found["clip_id"]) == 4
