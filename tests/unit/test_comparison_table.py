"""The comparison of models as text."""

import pandas as pd
import pytest

from fake_runs import EVALUATION, write_dataset, write_runs
from tymbal.evaluate.paired import compare
from tymbal.evaluate.summary import collect, planned_runs, published
from tymbal.report.comparison_table import comparison
from tymbal.runs import Run

CLASSES = ["Owl", "Frog", "蟬"]
SVM = {"model": "SVM | MFCC", "metric": "accuracy", "value": 0.675, "source": "Piczak 2015"}


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, pd.DataFrame]:
    """Two models on one data set, of which one lacks a run; two planned models without any."""
    root = tmp_path_factory.mktemp("compared")
    runs = write_runs(root, "esc", "weak", CLASSES, single_label=True, skill=0.5)
    runs += write_runs(root, "esc", "good", CLASSES, n_folds=1, single_label=True)
    made = collect(runs, {"esc": write_dataset(root / "data", CLASSES)}, {"weak": "weak", "good": "good"}, EVALUATION)
    done = [run for run, _ in runs]
    planned = [*done, Run("esc", "good", 2, 0), Run("esc", "late", 1, 0), Run("field", "weak", 1, 0)]
    more = {"planned": planned_runs(planned, done), "published": published({"esc": [SVM]})}
    return made | more | {"paired": compare(runs)}


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"]


def test_models_differences_and_published_figures_are_apart(tables):
    text = comparison(tables)
    esc, field = text.split("## esc\n")[1].split("## field\n")
    models, rest = esc.split("### Differences\n")
    differences, others = rest.split("### Published by others\n")

    header, _, weak, good, late = cells(models)
    assert header == ["model", "runs", "classes", "mAP", "Accuracy", "ROC AUC", "lwlrap", "F1", "Brier"]
    assert (weak[:3], good[:3], late[:4]) == (
        ["weak", "2 of 2", "3"],
        ["good", "1 of 2", "3"],
        ["late", "0 of 1", "", ""],
    )
    row = tables["intervals"].query("model == 'weak' and metric == 'accuracy' and unit == 'clip'").iloc[0]
    assert weak[4] == f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"

    differences, parts = differences.split("### Differences in mAP on parts of the test clips\n")
    header, _, pair = cells(differences)
    assert header[:5] == ["first", "second", "folds", "runs", "groups"]
    assert pair[:5] == ["weak", "good", "1", "1 and 1", "20"]
    assert pair[header.index("mAP")].startswith("+")
    assert pair[header.index("Brier")].startswith("−")

    seasons = [line for line in parts.splitlines() if line[:1] == "|" and "season: Dec-Feb" in line]
    assert len(seasons) == 1
    header, _, pair = cells(parts[parts.index(seasons[0]) :])[:3]
    assert header == ["first", "second", "season: Dec-Feb", "season: Mar-May"]
    row = tables["paired"].query("level == 'Mar-May' and metric == 'mAP_macro'").iloc[0]
    told = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]".replace("-", "−")
    assert pair == ["weak", "good", pair[2], told]

    assert cells(others)[2] == ["SVM \\| MFCC", "accuracy", "0.675", "Piczak 2015"]
    assert "SVM" not in models + differences
    assert cells(field)[2] == ["weak", "0 of 1", ""]


def test_one_model_alone_is_told_without_differences(tables):
    alone = {name: table[table["model"] != "good"] if "model" in table else table[:0] for name, table in tables.items()}
    text = comparison(alone)
    assert "| weak" in text
    assert "Differences" not in text
    assert "Nothing to compare: fewer than two models have results." in text
    assert "Nothing to compare" not in comparison(tables).split("## field")[0]


def test_models_without_a_common_fold_are_said_not_to_be_compared(tables):
    paired = tables["paired"].assign(n_folds=0)
    text = comparison({**tables, "paired": paired})
    assert "Not compared, as they have no fold in common: weak and good.\n" in text
    assert not [line for line in cells(text) if line[:2] == ["weak", "good"]]
