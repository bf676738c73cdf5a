"""Every figure is drawn from summary tables, whatever the classes are called, and tells in a table what it shows."""

import base64
import io
import logging
import math
import shutil
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fontTools.ttLib import TTFont
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from fake_runs import EVALUATION, fake_frames, reconstructions, write_dataset, write_pretraining, write_runs
from tymbal.evaluate.examples import pick_examples
from tymbal.evaluate.summary import collect
from tymbal.evaluate.tables import read_table, rows_of, write_table
from tymbal.pretrain import summary as pretrain_summary
from tymbal.report import style
from tymbal.report.catalog import FIGURES
from tymbal.report.curves import label_share, pr_curves, pretext_curves, reliability, training_curves
from tymbal.report.examples import Examples, Reconstructions, examples
from tymbal.report.examples import reconstructions as draw_reconstructions
from tymbal.report.figures import CLIPS, PLOTS, draw
from tymbal.report.heatmaps import confusion, dependence
from tymbal.report.rows import MAX_LEVELS, class_shares, per_class_ap, slices, thresholds

CLASSES = {
    "zh": ["鳥", "蛙", "哺乳類", "A$\\frac$"],
    "single": ["dog_bark", "rain", "sea"],
    "short": ["a", "b"],
    "one": ["rain"],
}


@pytest.fixture(scope="module")
def summary(tmp_path_factory) -> Path:
    """Tables of four data sets: Chinese names with a class never present, single labels, a single epoch, and one class.

    Model m-10 of two of them learns from a tenth of the labels. There are pre-trainings of all kinds.
    """
    root = tmp_path_factory.mktemp("figures")
    runs = [
        *write_runs(root, "zh", "m", CLASSES["zh"], n_folds=3, seeds=(0, 1), absent=["哺乳類"]),
        *write_runs(root, "single", "m", CLASSES["single"], single_label=True),
        *write_runs(root, "short", "m", CLASSES["short"], n_folds=1, n_test=3, n_epochs=1),
        *write_runs(root, "one", "m", CLASSES["one"], n_folds=1),
    ]
    for run, folder in runs[::-1]:  # ends with the first run of each
        pick_examples(folder / "predictions.csv", fake_frames, 0.01, root / f"summary/{run.dataset}.npz")
    runs += write_runs(root, "zh", "m-10", CLASSES["zh"], n_folds=3, skill=1.0, label_percent=10)
    runs += write_runs(root, "single", "m-10", CLASSES["single"], single_label=True, skill=1.0, label_percent=10)
    runs += write_runs(root, "single", "alone", CLASSES["single"], single_label=True)
    folders = {name: write_dataset(root / name, classes, 3) for name, classes in CLASSES.items()}
    pretrainings, corpora = write_pretraining(root, "joint", 3)
    for objective in ("discriminative", "stage1", "stage2"):
        pretrainings += write_pretraining(root / objective, objective, 1, objective)[0]
    families = {"m": "m", "m-10": "m", "alone": "alone"}
    tables = collect(runs, folders, families, EVALUATION) | pretrain_summary.collect(pretrainings, corpora)
    for name, table in tables.items():
        write_table(table, root / f"summary/{name}.csv")
    reconstructions(root / "summary/reconstructions.npz")
    return root / "summary"


SUBJECTS = {
    "dataset": [{"dataset": dataset} for dataset in CLASSES],
    "model": [{"dataset": dataset, "model": "m"} for dataset in CLASSES],
    "labels": [{"dataset": "zh"}, {"dataset": "single"}],
    "pretraining": [{"ssl": objective} for objective in ("joint", "discriminative", "stage1", "stage2")],
}
DRAWN = [(key, subject) for key, kind in FIGURES.items() for subject in SUBJECTS[kind.scope]]


def arrays(summary: Path, subject: dict[str, str]) -> Path:
    return summary / f"{subject.get('dataset', 'reconstructions')}.npz"


def waited_for(summary: Path, key: str, folder: Path) -> Path:
    """A folder with the tables that the rule of a figure waits for, and no other."""
    for name in FIGURES[key].read:
        shutil.copy(summary / f"{name}.csv", folder)
    return folder


@pytest.fixture(autouse=True)
def styled():
    """As `draw` has it while a function draws."""
    with style.style(["DejaVu Sans"]):
        yield


def labels(dataset: str) -> dict[str, str]:
    return {name: name for name in CLASSES[dataset]}


def rows(summary: Path, table: str, dataset: str) -> pd.DataFrame:
    found = read_table(summary / f"{table}.csv")
    return rows_of(found, {"dataset": dataset} | ({"model": "m"} if "model" in found else {}))


def drawn_by(plot, *tables, labels) -> tuple[Figure, pd.DataFrame]:
    """The figure and the table of what it shows."""
    figure = Figure()
    return figure, plot(*tables, figure, labels)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def ends(axes: Axes, kind: int, way: int = 0) -> list[list[float]]:
    """Both ends, [[low, high], ...], of the lines of a collection, in x or (way 1) y."""
    undefined = [math.nan, math.nan]  # such lines have no ends
    return [list(line[:, way]) if len(line) else undefined for line in axes.collections[kind].get_segments()]


def test_the_catalogue_and_the_functions_agree():
    assert set(PLOTS) == set(FIGURES)
    assert {key for key, kind in FIGURES.items() if not kind.tables} == set(CLIPS)


@pytest.mark.parametrize(("key", "subject"), DRAWN, ids=lambda value: value if isinstance(value, str) else None)
def test_drawn_as_paths_without_a_missing_glyph(summary, tmp_path, key, subject):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Matplotlib warns of a missing glyph, of a crowded layout, of empty axes
        draw(key, waited_for(summary, key, tmp_path), subject, arrays(summary, subject), tmp_path / "figure.svg")
    names = {element.tag.split("}")[1] for element in ET.parse(tmp_path / "figure.svg").iter()}
    assert "path" in names
    assert "text" not in names
    assert "date" not in names
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    lacking = key == "dependence" and subject["dataset"] == "one"
    assert read_table(tmp_path / "figure.csv").empty == lacking


@pytest.mark.parametrize(
    "key",
    [key for key, kind in FIGURES.items() if kind.tables and kind.scope != "labels"],
)
def test_what_the_tables_do_not_tell_is_said_instead_of_an_empty_figure(summary, tmp_path, monkeypatch, key):
    said = []
    monkeypatch.setattr(Figure, "text", lambda figure, x, y, text, **how: said.append(text))
    nobody = dict.fromkeys(SUBJECTS[FIGURES[key].scope][0], "nobody")
    draw(key, summary, nobody, None, tmp_path / "figure.svg")
    assert said == [FIGURES[key].absent]
    assert read_table(tmp_path / "figure.csv").empty


@pytest.mark.parametrize(
    ("key", "subject"),
    [
        ("confusion", {"dataset": "zh", "model": "m"}),
        ("thresholds", {"dataset": "zh", "model": "m"}),
        ("examples", {"dataset": "zh", "model": "m"}),
        ("reconstructions", {"ssl": "joint"}),
    ],
)
def test_redrawn_to_the_same_bytes(summary, tmp_path, key, subject):
    for name in ("first", "second"):
        draw(key, summary, subject, arrays(summary, subject), tmp_path / f"{name}.svg")
    for suffix in ("svg", "pdf", "csv"):
        assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()


def test_training_curves_have_a_line_a_run_their_mean_and_the_kept_epochs(summary):
    curves = rows(summary, "curves", "zh")
    figure, drawn = drawn_by(training_curves, curves, labels=labels("zh"))
    *runs, mean, kept = figure.axes[1].lines
    assert len(runs) == 6
    assert drawn.loc[drawn["what"] == "mean", "val_mAP"].tolist() == mean.get_ydata().tolist()
    assert drawn.loc[drawn["what"] == "run", "val_mAP"].tolist() == curves["val_mAP"].tolist()
    np.testing.assert_allclose(mean.get_ydata(), np.mean([run.get_ydata() for run in runs], axis=0))
    best = curves[curves["best"] == 1]
    assert kept.get_xdata().tolist() == best["epoch"].tolist()
    assert kept.get_ydata().tolist() == best["val_mAP"].tolist()


def test_training_curves_without_a_defined_map(summary):
    curves = rows(summary, "curves", "zh").assign(val_mAP=np.nan)
    figure, _ = drawn_by(training_curves, curves, labels=labels("zh"))
    assert len(figure.axes[0].lines) == 15  # two times six runs and their mean, and the kept epochs


def test_the_mean_ends_with_the_shortest_run(summary):
    curves = rows(summary, "curves", "zh")
    short = curves[(curves["fold"] > 1) | (curves["epoch"] < 3)]
    _, drawn = drawn_by(training_curves, short, labels=labels("zh"))
    assert drawn.loc[drawn["what"] == "mean", "train_loss"].notna().tolist() == [True, True, False]


def test_pretext_curves_have_the_parts_of_the_objective(summary):
    checks, pretraining = (read_table(summary / f"{name}.csv") for name in ("pretext_curves", "pretraining"))
    mine = rows_of(checks, {"ssl": "joint"})
    figure, drawn = drawn_by(pretext_curves, mine, pretraining, labels={})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["InfoNCE", "Masked patches told apart", "Reconstruction, MSE", "Learning rate"]
    *runs, mean, kept = figure.axes[2].lines[4:]  # after those of training
    assert len(runs) == 3
    np.testing.assert_allclose(mean.get_xdata(), 1.5 * np.arange(1, 31))  # epochs, not checks
    np.testing.assert_allclose(mean.get_ydata(), np.mean([run.get_ydata() for run in runs], axis=0))
    assert kept.get_ydata().tolist() == mine.loc[mine["best"] == 1, "val_mse"].tolist()
    np.testing.assert_allclose(drawn.loc[drawn["what"] == "mean", "val_mse"], mean.get_ydata())
    figure, drawn = drawn_by(pretext_curves, rows_of(checks, {"ssl": "discriminative"}), pretraining, labels={})
    assert len(figure.axes) == 3
    assert "val_mse" not in drawn


def test_pretext_curves_of_a_teacher_have_no_chance(summary):
    checks, pretraining = (read_table(summary / f"{name}.csv") for name in ("pretext_curves", "pretraining"))
    titles = {}
    for stage in ("stage1", "stage2"):
        figure, drawn = drawn_by(pretext_curves, rows_of(checks, {"ssl": stage}), pretraining, labels={})
        titles[stage] = [axes.get_title(loc="left") for axes in figure.axes]
        assert not any(line.get_linestyle() == "--" for axes in figure.axes for line in axes.lines)
        assert not [name for name in drawn if name.startswith("chance")]
        for axes in figure.axes[:-1]:
            assert axes.lines[-1].get_xdata().tolist() == [45.0]  # the last check is the one that was kept
    assert titles["stage1"] == [
        "Class token", "Hidden patches", "Spread of predictions", "Learning rate",
    ]  # fmt: skip
    assert titles["stage2"] == [
        "Class token, clips", "Hidden patches, clips", "Class token, mixtures", "Hidden patches, mixtures",
        "Source retention", "Spread of predictions", "Learning rate",
    ]  # fmt: skip


def test_pretext_curves_show_chance(summary):
    checks, pretraining = (read_table(summary / f"{name}.csv") for name in ("pretext_curves", "pretraining"))
    for accuracy in (0.3, 0.001):  # above and below chance
        flat = rows_of(checks, {"ssl": "joint"}).assign(val_accuracy=accuracy, train_accuracy=accuracy)
        axes = drawn_by(pretext_curves, flat, pretraining, labels={})[0].axes
        chance = [[line.get_ydata()[0] for line in panel.lines if line.get_linestyle() == "--"] for panel in axes]
        assert chance == [[pytest.approx(np.log(48))], [pytest.approx(1 / 48)], [], []]
        for panel in axes[:3]:
            assert panel.get_ylim()[1] > 1.04 * max(max(line.get_ydata()) for line in panel.lines)


def told(summary: Path, dataset: str) -> tuple[pd.DataFrame, ...]:
    """What a learning curve is drawn from."""
    return tuple(
        rows_of(read_table(summary / f"{name}.csv"), {"dataset": dataset}) for name in ("intervals", "metrics", "runs")
    )


@pytest.mark.parametrize(("dataset", "metrics"), [("zh", ["mAP_macro"]), ("single", ["accuracy", "mAP_macro"])])
def test_a_line_joins_models_that_differ_in_labels_alone(summary, dataset, metrics):
    intervals, table, runs = told(summary, dataset)
    figure, drawn = drawn_by(label_share, intervals, table, runs, labels={})
    assert len(figure.axes) == len(metrics)
    for panel, metric in zip(figure.axes, metrics, strict=True):
        single, means = panel.lines  # of the model alone there is no line
        overall = rows_of(intervals, {"metric": metric, "unit": "clip"}).set_index("model").loc[["m-10", "m"]]
        assert means.get_xdata().tolist() == [10, 100]
        np.testing.assert_allclose(means.get_ydata(), overall["value"])
        np.testing.assert_allclose(ends(panel, 0, 1), overall[["low", "high"]])
        assert means.get_label() == "m"
        mine = drawn[drawn["metric"] == metric]
        assert mine.loc[mine["what"] == "run", "value"].tolist() == single.get_ydata().tolist()
        assert mine.loc[mine["what"] == "mean", "value"].tolist() == means.get_ydata().tolist()
    seen, _ = drawn_by(label_share, intervals, table, runs.assign(test_clips="transductive"), labels={})
    assert seen.axes[0].lines[-1].get_label() == "m (transductive)"


@pytest.mark.parametrize(
    ("n_seeds", "said"),
    [
        ([1, 1], "1 seed a point; fewer than 3 are thin"),
        ([2, 5], "2–5 seeds a point; fewer than 3 are thin"),
        ([3, 3], "3 seeds a point"),
    ],
)
def test_a_learning_curve_says_how_many_seeds_it_has(summary, n_seeds, said):
    intervals, table, runs = told(summary, "zh")
    given = intervals.assign(n_seeds=intervals["model"].map(dict(zip(("m", "m-10"), n_seeds, strict=True))))
    figure, _ = drawn_by(label_share, given, table, runs, labels={})
    assert figure.get_suptitle() == said


def test_what_is_hidden_is_not_shown(summary):
    with np.load(summary / "reconstructions.npz") as file:
        clips = Reconstructions(**file)
    figure, drawn = drawn_by(draw_reconstructions, clips, labels={})
    axes = figure.axes
    assert len(axes) == 3 * len(clips.clip_id)
    assert drawn["clip_id"].tolist() == clips.clip_id.tolist()
    assert drawn["duration_s"].tolist() == pytest.approx(clips.n_frames * 0.01)
    assert drawn["share_hidden"][0] == clips.masked[0, : clips.n_frames[0]].mean()
    for k, n in enumerate(clips.n_frames):
        whole, shown, filled = (panel.images[0].get_array() for panel in axes[3 * k : 3 * k + 3])
        assert whole.shape == (128, n)
        np.testing.assert_array_equal(np.ma.getmaskarray(shown), clips.masked[k, :n].T)
        np.testing.assert_array_equal(filled, clips.filled[k, :n].T.astype(np.float32))


def test_classes_are_ranked_and_those_not_evaluable_said_to_be(summary):
    intervals, metrics = (rows(summary, name, "zh") for name in ("intervals", "metrics"))
    figure, drawn = drawn_by(per_class_ap, intervals, metrics, labels=labels("zh"))
    order = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    mean = rows_of(intervals, {"metric": "AP", "unit": "clip"}).set_index("class")["value"]
    assert order[-1] == "哺乳類"
    assert order[:-1] == mean.dropna().sort_values(ascending=False).index.tolist()
    assert "not evaluable: no positive test clip" in texts(figure)
    assert f"{mean.max():.2f}" in texts(figure)
    assert drawn.loc[drawn["what"] == "mean", "class"].tolist() == order


def test_classes_have_chance_interval_runs_and_mean(summary):
    intervals, metrics = (rows(summary, name, "zh") for name in ("intervals", "metrics"))
    figure, drawn = drawn_by(per_class_ap, intervals, metrics, labels=labels("zh"))
    best = drawn.iloc[0]
    runs = drawn.loc[(drawn["what"] == "run") & (drawn["class"] == best["class"]), "value"]
    chance, bar = ends(figure.axes[0], 0)[0], ends(figure.axes[0], 1)[0]
    dots, mean = (line.get_xdata() for line in figure.axes[0].lines)
    clips = metrics[metrics["unit"] == "clip"]
    assert len(runs) == 6
    assert dots.tolist() == drawn.loc[drawn["what"] == "run", "value"].tolist()
    assert mean[0] == best["value"] == pytest.approx(runs.mean())
    assert bar == [best["low"], best["high"]]
    assert bar[0] < best["value"] < bar[1]
    prevalence = rows_of(clips, {"metric": "prevalence", "class": best["class"]})["value"]
    assert chance == [pytest.approx(prevalence.mean())] * 2 == [pytest.approx(best["chance"])] * 2
    once = rows_of(clips, {"metric": "AP", "class": best["class"], "seed": 0})["n_pos"].sum()
    assert best["n_pos"] == once  # not twice for two seeds
    assert str(once) in texts(figure)


def test_a_single_run_is_not_drawn_twice(summary):
    intervals, metrics = (rows(summary, name, "one") for name in ("intervals", "metrics"))
    figure, drawn = drawn_by(per_class_ap, intervals, metrics, labels=labels("one"))
    assert drawn["what"].tolist() == ["mean"]
    assert len(figure.axes[0].lines) == 1


def test_thresholds_are_drawn_before_and_after_they_are_drawn_together(summary):
    table = rows(summary, "thresholds", "zh")
    figure, drawn = drawn_by(thresholds, table, labels=labels("zh"))
    axes = figure.axes[0]
    lines = iter(axes.lines)
    for c, name in enumerate(CLASSES["zh"]):
        mine = table[table["class"] == name].sort_values(["fold", "seed"])
        overall, own, chosen = next(lines), next(lines), next(lines)
        assert overall.get_xdata().tolist() == mine["overall"].tolist()
        np.testing.assert_array_equal(own.get_xdata(), mine["own"])
        assert chosen.get_xdata().tolist() == mine["threshold"].tolist()
        np.testing.assert_array_equal(ends(axes, c), mine[["low", "high"]])
        assert np.all(np.abs(chosen.get_ydata() - c) < 0.5)
    assert math.isnan(drawn.set_index("class").loc["哺乳類", "own"].iloc[0])
    assert len(drawn) == len(table)


def test_slices_have_a_panel_a_slice_and_metric_with_chance_and_all_clips(summary):
    table, intervals = (rows(summary, name, "zh") for name in ("slices", "intervals"))
    figure, drawn = drawn_by(slices, table, intervals, labels=labels("zh"))
    names = list(dict.fromkeys(table["slice"]))
    assert {"polyphony", "site", "hour"} <= set(names)
    assert len(figure.axes) == 3 * len(names)  # mAP, ROC AUC, F1
    whole = rows_of(intervals, {"metric": "mAP_macro", "class": "", "unit": "clip"})["value"].item()
    first = drawn[(drawn["slice"] == names[0]) & (drawn["metric"] == "mAP_macro")]
    panel = figure.axes[0]
    assert [tick.get_text() for tick in panel.get_yticklabels()] == first["level"].tolist()
    everywhere, dots = (line.get_xdata() for line in panel.lines)
    assert list(everywhere) == [whole] * 2
    np.testing.assert_array_equal(ends(panel, 0), first[["chance", "chance"]])
    np.testing.assert_array_equal(ends(panel, 1), first[["low", "high"]])
    np.testing.assert_array_equal(dots, first["value"])
    assert first["chance"].tolist() == pytest.approx(
        rows_of(table, {"slice": names[0], "metric": "prevalence_macro"})["value"].tolist(), nan_ok=True
    )
    assert set(drawn.loc[drawn["metric"] == "AUC_macro", "chance"]) == {0.5}
    assert drawn.loc[drawn["metric"] == "F1_macro", "chance"].isna().all()
    assert str(first["n_clips"].iloc[0]) in texts(figure)


def test_of_many_sites_those_with_most_clips_are_shown_and_said_to_be(summary):
    table, intervals = (rows(summary, name, "zh") for name in ("slices", "intervals"))
    level = table[(table["slice"] == "site") & (table["level"] == table["level"][table["slice"] == "site"].iloc[0])]
    n = MAX_LEVELS + 5
    many = pd.concat([level.assign(level=f"s{i:03d}", n_clips=n - i) for i in range(n)])
    figure, drawn = drawn_by(slices, many, intervals, labels=labels("zh"))
    assert drawn["level"].unique().tolist() == [f"s{i:03d}" for i in range(MAX_LEVELS)]
    assert figure.axes[0].get_title(loc="left") == f"Site ({MAX_LEVELS} of {n}, those with most clips)"


def test_reliability_before_and_after_calibration(summary):
    table, intervals = (rows(summary, name, "zh") for name in ("reliability", "intervals"))
    figure, drawn = drawn_by(reliability, table, intervals, labels=labels("zh"))
    for axes, stage, ending in zip(figure.axes, ("before", "after"), ("", "_calibrated"), strict=True):
        mine = table[table["stage"] == stage]
        assert len(mine) == 10
        diagonal, dots = axes.lines
        assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
        assert dots.get_xydata().tolist() == mine[["mean_score", "share_positive"]].to_numpy().tolist()
        np.testing.assert_allclose(ends(axes, 0, 1), mine[["low", "high"]])
        np.testing.assert_allclose(ends(axes, 1), mine[["least_score", "most_score"]])
        overall = rows_of(intervals, {"class": "", "unit": "clip"}).set_index("metric")
        ece, brier = overall.loc[f"ECE{ending}"], overall.loc[f"Brier{ending}"]
        assert axes.texts[0].get_text().splitlines() == [
            f"ECE {ece['value']:.3f}",
            f"Brier {brier['value']:.3f} ({brier['low']:.3f}–{brier['high']:.3f})",
        ]
        assert set(drawn.loc[drawn["stage"] == stage, "Brier"]) == {brier["value"]}


def test_dependence_has_each_pair_once(summary):
    table = rows(summary, "dependence", "zh")
    figure, drawn = drawn_by(dependence, table, labels=labels("zh"))
    together, errors = figure.axes[:2]  # the others are scales of their colours
    assert [tick.get_text() for tick in errors.get_xticklabels()] == CLASSES["zh"][:-1]
    assert [tick.get_text() for tick in errors.get_yticklabels()] == CLASSES["zh"][1:]
    for row in table.itertuples():
        i, j = CLASSES["zh"].index(row.class_b) - 1, CLASSES["zh"].index(row.class_a)
        value = errors.images[0].get_array()[i, j]
        assert value is np.ma.masked if math.isnan(row.error_correlation) else value == row.error_correlation
        ratio = together.images[0].get_array()[i, j]
        if row.expected_both < 1:
            assert ratio is np.ma.masked
        else:
            assert ratio == pytest.approx(np.clip(np.log2(max(row.n_both / row.expected_both, 1e-9)), -3, 3))
    assert drawn["n_both"].tolist() == table["n_both"].tolist()


def test_single_labels_are_never_together(summary):
    figure, _ = drawn_by(dependence, rows(summary, "dependence", "single"), labels=labels("single"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Correlation of the errors", ""]  # and its scale


def test_a_panel_a_class_and_an_empty_one_where_there_is_no_positive(summary):
    points = rows(summary, "pr_curves", "zh")
    figure, drawn = drawn_by(pr_curves, points, labels=labels("zh"))
    panels = figure.axes
    assert [panel.get_title(loc="left") for panel in panels] == CLASSES["zh"]
    assert [len(panel.lines) for panel in panels] == [2, 2, 0, 2]  # chance and the curve
    bird = points[points["class"] == "鳥"]
    assert panels[0].get_title(loc="right") == f"n {bird['n_pos'].iloc[0]}"
    assert panels[0].lines[0].get_ydata()[0] == bird["prevalence"].iloc[0]
    recall, precision = panels[0].lines[1].get_data()
    assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(  # the area drawn is the average precision
        -(np.diff(bird["recall"], append=0) * bird["precision"]).sum()
    )
    assert drawn.loc[drawn["class"] == "鳥", "recall"].tolist() == recall[:0:-1].tolist()


@pytest.mark.parametrize("dataset", ["zh", "single"])
def test_confusion_prints_per_cent_of_the_right_cells(summary, dataset):
    table, metrics = rows(summary, "confusion", dataset), rows(summary, "metrics", dataset)
    figure, drawn = drawn_by(confusion, table, metrics, labels=labels(dataset))
    axes = figure.axes[0]
    printed = {text.get_position(): text.get_text() for text in axes.texts}
    order = CLASSES[dataset]
    for row in table.itertuples():
        position = (order.index(row.predicted_class), order.index(row.true_class))
        if np.isnan(row.share):
            assert printed[position] == "–"
        elif row.share >= 0.005:
            assert printed[position] == f"{100 * row.share:.0f}"
    support = rows_of(metrics, {"metric": "AP", "unit": "clip"}).groupby("class")["n_pos"].sum()
    assert drawn["share"].tolist() == pytest.approx(table["share"].tolist(), nan_ok=True)
    assert [printed[1.06, i] for i in range(len(order))] == [str(support[name]) for name in order]


def test_class_shares_show_every_fold_and_the_target(summary):
    balance = rows(summary, "balance", "zh")
    figure, drawn = drawn_by(class_shares, balance, labels=labels("zh"))
    panels = figure.axes
    assert drawn["share"].tolist() == balance["share"].tolist()
    for panel, part in zip(panels, ("train", "val", "test"), strict=True):
        mine = balance[balance["part"] == part]
        assert panel.lines[0].get_xdata() == [mine["target_share"].iloc[0]] * 2
        assert panel.lines[1].get_xdata().tolist() == mine["share"].tolist()
        low, high = panel.get_xlim()
        assert low <= mine["share"].min()
        assert mine["share"].max() <= high
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == [*CLASSES["zh"], "all clips"]


def test_examples_fill_the_bars_of_tagged_classes(summary):
    with np.load(summary / "zh.npz") as file:
        clips = Examples(**file)
    figure, drawn = drawn_by(examples, clips, labels=labels("zh"))
    axes = figure.axes
    assert drawn["score"].tolist() == [bar.get_width() for bars in axes[1::2] for bar in bars.patches]
    for k, bars in enumerate(axes[1::2]):
        names = [tick.get_text() for tick in bars.get_yticklabels()]
        assert [bar.get_width() for bar in bars.patches] == sorted(clips.score[k], reverse=True)
        for bar, name in zip(bars.patches, names, strict=True):
            weight = clips.label[k, CLASSES["zh"].index(name.split(" (")[0])]
            assert (to_hex(bar.get_facecolor()) == style.BLUE) == (weight > 0)
            assert name.endswith("(0.6)") == (weight == np.float32(0.6))


def test_long_clips_are_averaged_over_time():
    frames = np.repeat(np.arange(700.0), 2)[:, None] * np.ones(4)
    clips = Examples(frames[None], np.array([1400]), np.array(["x"]), np.ones((1, 1)), np.ones((1, 1)), ["a"], 0.01)
    image = drawn_by(examples, clips, labels={"a": "a"})[0].axes[0].images[0]
    assert image.get_array().shape == (4, 467)
    np.testing.assert_allclose(image.get_array()[0, :2], [1 / 3, 5 / 3])
    assert image.get_extent()[1] == 14


def test_a_class_that_no_font_can_write_is_numbered_and_told(caplog):
    families = style.fonts_for(["Bird", "\U000e0fff"])
    with caplog.at_level(logging.WARNING):
        assert style.printable(["Bird", "x\U000e0fff"], families) == {"Bird": "Bird", "x\U000e0fff": "class 1"}
    assert "printed as 'class 1'" in caplog.text


def test_without_the_shipped_font_latin_names_stay(monkeypatch):
    monkeypatch.setattr(style, "_shipped", lambda: ())
    families = style.fonts_for(["Bird", "Été"])
    assert families == ["DejaVu Sans"]
    assert style.printable(["Été"], families) == {"Été": "Été"}


def test_a_page_brings_the_glyphs_that_its_class_names_need():
    assert style.web_font(["Cicada", "Müßiggänger"]) is None
    address = style.web_font(["Cicada", "溪流", "蟬"])
    assert address == style.web_font(["蟬", "溪流"])  # equal pages are equal bytes
    data = base64.b64decode(address.removeprefix("data:font/woff;base64,"))
    assert set("溪流蟬") == {chr(code) for code in TTFont(io.BytesIO(data)).getBestCmap()}
    assert len(data) < 10_000


def test_the_last_bit_of_the_layout_leaves_no_trace(summary, tmp_path, monkeypatch):
    """The solver of the layout does not always give the same one, and clip paths are named by where they are."""
    solved = Figure.draw_without_rendering

    def jittered(figure):
        solved(figure)
        for axes in figure.axes:
            bounds = axes.get_position(original=True).bounds
            axes.set_position([np.nextafter(value, 2) for value in bounds], which="original")

    for name, draw_without_rendering in (("first", solved), ("second", jittered)):
        monkeypatch.setattr(Figure, "draw_without_rendering", draw_without_rendering)
        draw("slices", summary, {"dataset": "zh", "model": "m"}, None, tmp_path / f"{name}.svg")
    for suffix in ("svg", "pdf"):
        assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()
