"""Every figure is drawn from summary tables, whatever the classes are called, and redrawn to the same bytes."""

import base64
import io
import logging
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from fake_runs import fake_frames, reconstructions, write_dataset, write_pretraining, write_runs
from tymbal.evaluate.summary import collect, pick_examples
from tymbal.evaluate.tables import read_table, rows_of, write_table
from tymbal.pretrain import summary as pretrain_summary
from tymbal.report import style
from tymbal.report.catalog import FIGURES
from tymbal.report.curves import label_share, pretext_curves, training_curves
from tymbal.report.examples import Examples, Reconstructions, examples
from tymbal.report.examples import reconstructions as draw_reconstructions
from tymbal.report.figures import PLOTS, class_shares, confusion, draw, per_class_ap, pr_curves

CLASSES = {"zh": ["鳥", "蛙", "哺乳類", "A$\\frac$"], "single": ["dog_bark", "rain", "sea"], "short": ["a", "b"]}


@pytest.fixture(scope="module")
def summary(tmp_path_factory) -> Path:
    """Tables of three data sets: Chinese names with a class never present, single labels, and a single epoch.

    Model m-10 of two of them learns from a tenth of the labels. There are two pre-trainings.
    """
    root = tmp_path_factory.mktemp("figures")
    runs = [
        *write_runs(root, "zh", "m", CLASSES["zh"], n_folds=3, absent=["哺乳類"]),
        *write_runs(root, "single", "m", CLASSES["single"], single_label=True),
        *write_runs(root, "short", "m", CLASSES["short"], n_folds=1, n_test=3, n_epochs=1),
    ]
    for run, folder in runs[::-1]:  # ends with the first run of each
        pick_examples(folder / "predictions.csv", fake_frames, 0.01, root / f"summary/{run.dataset}.npz")
    runs += write_runs(root, "zh", "m-10", CLASSES["zh"], n_folds=3, skill=1.0, label_percent=10)
    runs += write_runs(root, "single", "m-10", CLASSES["single"], single_label=True, skill=1.0, label_percent=10)
    runs += write_runs(root, "single", "alone", CLASSES["single"], single_label=True)
    folders = {name: write_dataset(root / name, classes, 3) for name, classes in CLASSES.items()}
    pretrainings, corpora = write_pretraining(root, "joint", 3)
    pretrainings += write_pretraining(root / "other", "discriminative", 1, "discriminative")[0]
    families = {"m": "m", "m-10": "m", "alone": "alone"}
    tables = collect(runs, folders, families) | pretrain_summary.collect(pretrainings, corpora)
    for name, table in tables.items():
        write_table(table, root / f"summary/{name}.csv")
    reconstructions(root / "summary/reconstructions.npz")
    return root / "summary"


SUBJECTS = {
    "dataset": [{"dataset": dataset} for dataset in CLASSES],
    "model": [{"dataset": dataset, "model": "m"} for dataset in CLASSES],
    "labels": [{"dataset": "zh"}, {"dataset": "single"}],
    "pretraining": [{"ssl": "joint"}, {"ssl": "discriminative"}],
}
DRAWN = [(key, subject) for key, kind in FIGURES.items() for subject in SUBJECTS[kind.scope]]


def arrays(summary: Path, subject: dict[str, str]) -> Path:
    return summary / f"{subject.get('dataset', 'reconstructions')}.npz"


@pytest.fixture(autouse=True)
def styled():
    """As `draw` has it while a function draws."""
    with style.style(["DejaVu Sans"]):
        yield


def labels(dataset: str) -> dict[str, str]:
    return {name: name for name in CLASSES[dataset]}


def rows(summary: Path, table: str, dataset: str):
    found = read_table(summary / f"{table}.csv")
    return rows_of(found, {"dataset": dataset} | ({"model": "m"} if "model" in found else {}))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_catalogue_and_the_functions_agree():
    assert set(PLOTS) == set(FIGURES)


@pytest.mark.parametrize(("key", "subject"), DRAWN, ids=lambda value: value if isinstance(value, str) else None)
def test_drawn_as_paths_without_a_missing_glyph(summary, tmp_path, key, subject):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Matplotlib warns of a missing glyph, of a crowded layout, of empty axes
        draw(key, summary, subject, arrays(summary, subject), tmp_path / "figure.svg")
    names = {element.tag.split("}")[1] for element in ET.parse(tmp_path / "figure.svg").iter()}
    assert "path" in names
    assert "text" not in names
    assert "date" not in names


@pytest.mark.parametrize(
    ("key", "subject"),
    [
        ("confusion", {"dataset": "zh", "model": "m"}),
        ("examples", {"dataset": "zh", "model": "m"}),
        ("reconstructions", {"ssl": "joint"}),
    ],
)
def test_redrawn_to_the_same_bytes(summary, tmp_path, key, subject):
    for name in ("first", "second"):
        draw(key, summary, subject, arrays(summary, subject), tmp_path / f"{name}.svg")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()


def test_training_curves_have_a_line_a_run_their_mean_and_the_kept_epochs(summary):
    curves = rows(summary, "curves", "zh")
    _, score = training_curves(curves, Figure(), labels("zh")).axes
    *runs, mean, kept = score.lines
    assert len(runs) == 3
    np.testing.assert_allclose(mean.get_ydata(), np.mean([run.get_ydata() for run in runs], axis=0))
    best = curves[curves["best"] == 1]
    assert kept.get_xdata().tolist() == best["epoch"].tolist()
    assert kept.get_ydata().tolist() == best["val_mAP"].tolist()


def test_training_curves_without_a_defined_map(summary):
    curves = rows(summary, "curves", "zh").assign(val_mAP=np.nan)
    loss, _ = training_curves(curves, Figure(), labels("zh")).axes
    assert len(loss.lines) == 9  # two times three runs and their mean, and the kept epochs


def test_pretext_curves_have_the_parts_of_the_objective(summary):
    checks, pretraining = (read_table(summary / f"{name}.csv") for name in ("pretext_curves", "pretraining"))
    mine = rows_of(checks, {"ssl": "joint"})
    figure = pretext_curves(mine, pretraining, Figure(), {})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["InfoNCE", "Masked patches told apart", "Reconstruction, MSE", "Learning rate"]
    *runs, mean, kept = figure.axes[2].lines[4:]  # after those of training
    assert len(runs) == 3
    np.testing.assert_allclose(mean.get_xdata(), 1.5 * np.arange(1, 31))  # epochs, not checks
    np.testing.assert_allclose(mean.get_ydata(), np.mean([run.get_ydata() for run in runs], axis=0))
    assert kept.get_ydata().tolist() == mine.loc[mine["best"] == 1, "val_mse"].tolist()
    assert len(pretext_curves(rows_of(checks, {"ssl": "discriminative"}), pretraining, Figure(), {}).axes) == 3


def test_pretext_curves_show_chance(summary):
    checks, pretraining = (read_table(summary / f"{name}.csv") for name in ("pretext_curves", "pretraining"))
    for accuracy in (0.3, 0.001):  # above and below chance
        flat = checks.assign(val_accuracy=accuracy, train_accuracy=accuracy)
        axes = pretext_curves(flat, pretraining, Figure(), {}).axes
        chance = [[line.get_ydata()[0] for line in panel.lines if line.get_linestyle() == "--"] for panel in axes]
        assert chance == [[pytest.approx(np.log(48))], [pytest.approx(1 / 48)], [], []]
        for panel in axes[:3]:
            assert panel.get_ylim()[1] > 1.04 * max(max(line.get_ydata()) for line in panel.lines)


@pytest.mark.parametrize(("dataset", "metrics"), [("zh", ["mAP_macro"]), ("single", ["accuracy", "mAP_macro"])])
def test_a_line_joins_models_that_differ_in_labels_alone(summary, dataset, metrics):
    of = {"dataset": dataset}
    table, runs = (rows_of(read_table(summary / f"{name}.csv"), of) for name in ("metrics", "runs"))
    panels = label_share(table, runs, Figure(), {}).axes
    assert len(panels) == len(metrics)
    for panel, metric in zip(panels, metrics, strict=True):
        _, means = panel.lines  # of the model alone there is no line
        overall = table[(table["metric"] == metric) & table["model"].isin(["m", "m-10"])]
        assert means.get_xdata().tolist() == [10, 100]
        np.testing.assert_allclose(means.get_ydata(), overall.groupby("model")["value"].mean()[["m-10", "m"]])
        assert means.get_label() == "m"
    seen = label_share(table, runs.assign(test_clips="transductive"), Figure(), {}).axes[0].lines[-1]
    assert seen.get_label() == "m (transductive)"


def test_what_is_hidden_is_not_shown(summary):
    with np.load(summary / "reconstructions.npz") as file:
        clips = Reconstructions(**file)
    axes = draw_reconstructions(clips, Figure(), {}).axes
    assert len(axes) == 3 * len(clips.clip_id)
    for k, n in enumerate(clips.n_frames):
        whole, shown, filled = (panel.images[0].get_array() for panel in axes[3 * k : 3 * k + 3])
        assert whole.shape == (128, n)
        np.testing.assert_array_equal(np.ma.getmaskarray(shown), clips.masked[k, :n].T)
        np.testing.assert_array_equal(filled, clips.filled[k, :n].T.astype(np.float32))


def test_classes_are_ranked_and_those_not_evaluable_said_to_be(summary):
    metrics = rows(summary, "metrics", "zh")
    figure = per_class_ap(metrics, Figure(), labels("zh"))
    order = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    mean = metrics[(metrics["metric"] == "AP") & metrics["class"].isin(order)].groupby("class")["value"].mean()
    assert order[-1] == "哺乳類"
    assert order[:-1] == mean.dropna().sort_values(ascending=False).index.tolist()
    assert "not evaluable: no positive test clip" in texts(figure)
    assert f"{mean.max():.2f}" in texts(figure)


def test_a_panel_a_class_and_an_empty_one_where_there_is_no_positive(summary):
    points = rows(summary, "pr_curves", "zh")
    panels = pr_curves(points, Figure(), labels("zh")).axes
    assert [panel.get_title(loc="left") for panel in panels] == CLASSES["zh"]
    assert [len(panel.lines) for panel in panels] == [2, 2, 0, 2]  # chance and the curve
    bird = points[points["class"] == "鳥"]
    assert panels[0].get_title(loc="right") == f"n {bird['n_pos'].iloc[0]}"
    assert panels[0].lines[0].get_ydata()[0] == bird["prevalence"].iloc[0]
    recall, precision = panels[0].lines[1].get_data()
    assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(  # the area drawn is the average precision
        -(np.diff(bird["recall"], append=0) * bird["precision"]).sum()
    )


@pytest.mark.parametrize("dataset", ["zh", "single"])
def test_confusion_prints_per_cent_of_the_right_cells(summary, dataset):
    table, metrics = rows(summary, "confusion", dataset), rows(summary, "metrics", dataset)
    axes = confusion(table, metrics, Figure(), labels(dataset)).axes[0]
    printed = {text.get_position(): text.get_text() for text in axes.texts}
    order = CLASSES[dataset]
    for row in table.itertuples():
        position = (order.index(row.predicted_class), order.index(row.true_class))
        if np.isnan(row.share):
            assert printed[position] == "–"
        elif row.share >= 0.005:
            assert printed[position] == f"{100 * row.share:.0f}"
    support = metrics[metrics["metric"] == "AP"].groupby("class")["n_pos"].sum()
    assert [printed[1.06, i] for i in range(len(order))] == [str(support[name]) for name in order]


def test_class_shares_show_every_fold_and_the_target(summary):
    balance = rows(summary, "balance", "zh")
    panels = class_shares(balance, Figure(), labels("zh")).axes
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
    axes = examples(clips, Figure(), labels("zh")).axes
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
    image = examples(clips, Figure(), {"a": "a"}).axes[0].images[0]
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
