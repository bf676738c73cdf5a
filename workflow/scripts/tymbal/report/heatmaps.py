"""The figures of classes against classes: what is taken for what, and what depends on what."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from tymbal.evaluate.tables import rows_of
from tymbal.report.numbers import signed
from tymbal.report.style import DIVERGING, FAINT, HEAT, INK, MUTED, WIDTH

FEWEST_EXPECTED = 1  # clips that chance puts two classes in together, for a ratio to mean anything
# What colours stand for, by place between their ends.
TIMES: dict[float, str] = {-3: "1/8 or less", -2: "1/4", -1: "1/2", 0: "1", 1: "2", 2: "4", 3: "8 or more"}
CORRELATION: dict[float, str] = {-1: "−1", -0.5: "−0.5", 0: "0", 0.5: "0.5", 1: "1"}
SIDE_BY_SIDE = 12  # classes at most for two maps in a row
WRITTEN = 30  # classes at most for numbers in the cells: a page holds each digit as a path


def confusion(table: pd.DataFrame, metrics: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> pd.DataFrame:
    """Per cent of each true class's clips that are predicted as, or detected to hold, each class."""
    order = list(labels)
    support = rows_of(metrics, {"metric": "AP", "unit": "clip"}).groupby("class")["n_pos"].sum()
    drawn = table[["kind", "true_class", "predicted_class", "n", "share"]].assign(
        n_true=table["true_class"].map(support)
    )
    share = drawn.pivot_table(index="true_class", columns="predicted_class", values="share", dropna=False)
    matrix = share.reindex(index=order, columns=order).to_numpy()
    n_classes = len(order)
    cell = min(0.62, max(0.24, 7.2 / n_classes))  # inches
    figure.set_size_inches(max(2.2 + cell * n_classes, 4), 1.5 + 0.62 * cell * n_classes)
    axes = figure.subplots()
    axes.imshow(np.nan_to_num(matrix), cmap=HEAT, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for i, j in np.ndindex(matrix.shape):
        percent = 100 * matrix[i, j]
        if math.isnan(percent):
            text = "–"
        elif percent == 0:
            continue
        else:
            text = f"{percent:.0f}" if percent >= 0.5 else "<1"
        colour = "white" if percent > 65 else INK if i == j or percent >= 10 else MUTED
        axes.text(j, i, text, ha="center", va="center", fontsize=min(9, 20 * cell), color=colour)
    single = table["kind"].iloc[0] == "confusion"
    axes.set_ylabel("true class", labelpad=8)
    threshold = metrics["threshold"].iloc[0]
    axes.set(xlabel="class with the highest score" if single else f"class detected (score of {threshold:g} or more)")
    _class_ticks(axes, list(labels.values()), list(labels.values()), FAINT)
    right: dict[str, Any] = {"ha": "right", "va": "center", "color": MUTED, "transform": axes.get_yaxis_transform()}
    for i, name in enumerate(order):
        axes.text(1.06, i, str(support[name]), **right)
        axes.add_patch(
            Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=0.8, clip_on=False, zorder=3)
        )
    axes.text(1.06, -0.8, "n", **right)
    return drawn


def dependence(table: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> pd.DataFrame:
    """How often two classes sound together, against chance, beside the correlation of the model's errors on them.

    Without any clip of two classes, as with single labels, only the latter.
    """
    known = table["expected_both"] >= FEWEST_EXPECTED
    ratio = (table["n_both"] / table["expected_both"]).where(known)
    drawn = table[["class_a", "class_b", "n_both", "expected_both", "error_correlation"]].assign(ratio=ratio)
    maps: dict[str, tuple[np.ndarray, list[str], dict[float, str]]] = {}  # title -> values, as written, colours
    if drawn["n_both"].any():
        together = np.log2(ratio.clip(2.0 ** min(TIMES), 2.0 ** max(TIMES)).to_numpy())
        maps["Heard together, times as often as by chance"] = together, [_times(x) for x in ratio], TIMES
    correlation = drawn["error_correlation"].to_numpy()
    maps["Correlation of the errors"] = correlation, [_signed(x) for x in correlation], CORRELATION

    place = {name: i for i, name in enumerate(labels)}
    pairs = np.sort(np.stack([drawn["class_a"].map(place), drawn["class_b"].map(place)], axis=1))  # [P, 2]
    n = len(labels) - 1
    n_columns = len(maps) if n < SIDE_BY_SIDE else 1
    cell = min(0.62, max(0.3, (WIDTH / n_columns - 1.6) / n))  # inches
    n_rows = math.ceil(len(maps) / n_columns)
    figure.set_size_inches(max(n_columns * (cell * n + 1.6), 4), n_rows * (0.72 * cell * n + 1.6))
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes, (title, (values, texts, colours)) in zip(grid.flat, maps.items(), strict=True):
        image = _triangle(axes, pairs, values, texts, list(labels.values()), max(colours), min(9, 20 * cell))
        bar = figure.colorbar(image, ax=axes, location="right", shrink=0.8, aspect=30, pad=0.02)
        bar.set_ticks(list(colours), labels=list(colours.values()), fontsize=8)
        bar.outline.set_visible(False)
        axes.set_title(title)
    return drawn


def _triangle(
    axes: Axes,
    pairs: np.ndarray,
    values: np.ndarray,
    texts: Sequence[str],
    names: list[str],
    end: float,
    fontsize: float,
) -> AxesImage:
    """Draw a value for each pair of classes below the diagonal; colours go from -end to end."""
    matrix = np.full((len(names) - 1, len(names) - 1), np.nan)  # without the first row and the last column, both empty
    for (first, second), value, text in zip(pairs.tolist(), values, texts, strict=True):
        matrix[second - 1, first] = value
        if len(names) <= WRITTEN:
            colour = "white" if abs(value) > 0.7 * end else INK
            axes.text(first, second - 1, text, ha="center", va="center", fontsize=fontsize, color=colour)
    _class_ticks(axes, names[:-1], names[1:], "white")
    return axes.imshow(matrix, cmap=DIVERGING, vmin=-end, vmax=end, aspect="auto", interpolation="nearest")


def _class_ticks(axes: Axes, columns: list[str], rows: list[str], between: str) -> None:
    """Names at the cells, lines of the colour `between` between them."""
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(labelcolor=INK)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for k in range(1, len(rows)):
        axes.axhline(k - 0.5, color=between, linewidth=0.6)
        axes.axvline(k - 0.5, color=between, linewidth=0.6)


def _times(ratio: float) -> str:
    return "" if math.isnan(ratio) else f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}"


def _signed(value: float) -> str:
    return "" if math.isnan(value) else signed(value, 2).replace("0.", ".")
