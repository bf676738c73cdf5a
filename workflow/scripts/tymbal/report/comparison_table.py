"""The models of each data set side by side, as text to read in a terminal or to paste: `comparison.md`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from tymbal.evaluate.tables import rows_of
from tymbal.report.comparison import paired_slices
from tymbal.report.metric_names import ACCURACY, AUC, BRIER, F1, LWLRAP, MAP
from tymbal.report.numbers import Estimate, decimals, signed, span

SHOWN = (MAP, ACCURACY, AUC, LWLRAP, F1, BRIER)
INTRODUCTION = """# Comparison

Means over runs (folds and seeds) on test clips. In brackets: 95 % interval over groups of test clips, drawn within the
test part of each fold, the same ones for all models. It does not hold what other training clips or another seed would
have given. mAP, ROC AUC and F1 are means over the classes that a test part can evaluate (column `classes`); F1 is at
thresholds chosen on validation clips; Brier is of calibrated probabilities, the smaller the better.
"""
DIFFERENCES = """### Differences

What the second model has more than the first, on the same clips and draws, in the folds in which both have runs: each
model's mean over its own seeds in a fold, and over folds.
"""
SLICES = """### Differences in mAP on parts of the test clips

Likewise, of the clips of one column at a time, in the folds in which these are the same for both models. Other metrics
and slices of more than eight levels are in `paired.csv`.
"""
NOTHING = "Nothing to compare: fewer than two models have results.\n"
PUBLISHED = """### Published by others

For orientation: not measured here, and neither ranked nor compared with the models above.
"""

Cells = dict[tuple[str, str], Mapping[Any, Any]]  # metric and thresholds -> row of a summary table
Row = tuple[list[str], Cells]


def comparison(tables: Mapping[str, pd.DataFrame]) -> str:
    """Write the comparison, in Markdown.

    Args:
        tables: the summary tables `metrics, intervals, paired, planned, published`, whole.
    """
    sections = [INTRODUCTION]
    for dataset in tables["planned"]["dataset"].unique():
        mine = {name: rows_of(table, {"dataset": dataset}) for name, table in tables.items()}
        sections += [f"## {dataset}\n", _models(mine["planned"], mine["intervals"], mine["metrics"])]
        if len(mine["paired"]):
            sections += [DIFFERENCES, *_differences(rows_of(mine["paired"], {"slice": ""})), *_slices(mine["paired"])]
        else:
            sections.append(NOTHING)
        if len(mine["published"]):
            columns = ["model", "metric", "value", "source"]
            rows = [[str(cell) for cell in row] for row in mine["published"][columns].to_numpy()]
            sections += [PUBLISHED, _table(columns, rows)]
    return "\n".join(sections)


def _models(planned: pd.DataFrame, intervals: pd.DataFrame, metrics: pd.DataFrame) -> str:
    overall = rows_of(intervals, {"class": "", "unit": "clip"})
    evaluable = rows_of(metrics, {"metric": "mAP_macro", "unit": "clip"})
    rows: list[Row] = []
    for model, n_planned, n_done in planned[["model", "n_planned", "n_done"]].to_numpy():
        told = {"model": model}
        classes = span(rows_of(evaluable, told)["n_classes"]) if n_done else ""
        rows.append(([model, f"{n_done} of {n_planned}", classes], _cells(rows_of(overall, told))))
    return _figures(["model", "runs", "classes"], rows, "value", decimals)


def _differences(paired: pd.DataFrame) -> list[str]:
    """A table, and the pairs that cannot be in it."""
    rows: list[Row] = []
    apart = []
    for _, mine in paired.groupby(["model_a", "model_b"], sort=False):
        first = mine.iloc[0]
        a, b = first["model_a"], first["model_b"]
        if first["n_folds"]:
            runs = f"{first['n_runs_a']} and {first['n_runs_b']}"
            rows.append(([a, b, str(first["n_folds"]), runs, str(first["n_groups"])], _cells(mine)))
        else:
            apart.append(f"{a} and {b}")
    sections = [_figures(["first", "second", "folds", "runs", "groups"], rows, "difference", signed)] if rows else []
    return sections + ([f"Not compared, as they have no fold in common: {'; '.join(apart)}.\n"] if apart else [])


def _slices(paired: pd.DataFrame) -> list[str]:
    """A table a slice: a row a pair of models, a column a level."""
    tables = []
    for each in paired_slices(paired):
        header = ["first", "second", *(f"{each['name']}: {level}" for level in each["levels"])]
        rows = [[pair["a"], pair["b"], *(_difference(value) for value in pair["values"])] for pair in each["pairs"]]
        tables.append(_table(header, rows))
    return [SLICES, *tables] if tables else []


def _difference(row: Mapping[str, Any] | None) -> str:
    return "" if row is None or not row["n_folds"] else _cell(row, "difference", signed)


def _cells(rows: pd.DataFrame) -> Cells:
    return {(row["metric"], row["thresholds"]): row for row in rows.to_dict("records")}


def _figures(names: Sequence[str], rows: Sequence[Row], value: str, told: Callable[[float | None], str]) -> str:
    """A table whose first columns are given, and whose others are the figures that any of the rows has."""
    shown = [metric for metric in SHOWN if any(metric.key in cells for _, cells in rows)]

    filled = [
        first + [_cell(cells[metric.key], value, told) if metric.key in cells else "" for metric in shown]
        for first, cells in rows
    ]
    return _table([*names, *(metric.title for metric in shown)], filled)


def _cell(row: Mapping[Any, Any], value: str, told: Callable[[float | None], str]) -> str:
    """A figure, in column `value` of its row, with its interval."""
    estimate = Estimate.of({"n_runs": 0, **row, "value": row[value]})  # pairs tell runs of each
    return f"{told(estimate.value)} [{told(estimate.low)}, {told(estimate.high)}]"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown that also lines up as plain text."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    texts = (" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "".join(f"| {text} |\n" for text in texts)
