"""The figures of the catalogue, one function each: summary tables in, a figure out.

A function draws into the figure it is given, from the rows about its subject, and returns it. Labels hold the printed
form of each class in class order, see `tymbal.report.style.printable`; about a pre-training they are empty.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from tymbal.evaluate.tables import read_table, rows_of
from tymbal.files import atomic
from tymbal.folds import ALL
from tymbal.report.curves import label_share, pretext_curves, training_curves
from tymbal.report.examples import Examples, Reconstructions, examples, reconstructions
from tymbal.report.style import (
    BLUE,
    FAINT,
    HEAT,
    INK,
    MUTED,
    ORANGE,
    WIDTH,
    fonts_for,
    printable,
    style,
)

Labels = Mapping[str, str]
TICKS = [0, 0.25, 0.5, 0.75, 1]


def draw(key: str, summary: Path, subject: Mapping[str, str], arrays: Path | None, out: Path) -> None:
    """Draw one figure of the catalogue and save it as SVG; the same tables give the same bytes.

    Args:
        key: in `tymbal.report.catalog.FIGURES`.
        summary: folder of the summary tables.
        subject: whose rows are drawn, by column: `dataset`, `dataset` and `model`, or `ssl`.
        arrays: clips with features, of a figure that shows them (NPZ).
        out: the file.
    """
    classes: list[str] = []
    if "dataset" in subject:
        classes = class_order(rows_of(read_table(summary / "balance.csv"), {"dataset": subject["dataset"]}))
    sources, plot = PLOTS[key]
    data: list[Any]
    if isinstance(sources, tuple):
        data = [rows_of(read_table(summary / f"{source}.csv"), subject) for source in sources]
        families = fonts_for(classes)
    else:
        assert arrays is not None
        with np.load(arrays) as file:
            clips = sources(**file)
        data = [clips]
        families = fonts_for([*classes, *clips.clip_id])
    with style(families):
        figure = plot(*data, Figure(), printable(classes, families))
        with atomic(out) as partial:
            figure.savefig(partial, metadata={"Date": None, "Creator": None})


def class_order(balance: pd.DataFrame) -> list[str]:
    """The classes of a data set, in class order."""
    return [name for name in balance["class"].unique() if name != ALL]


def per_class_ap(metrics: pd.DataFrame, figure: Figure, labels: Labels) -> Figure:
    """Average precision of each class over runs, best first, with chance and number of positives."""
    per_class = metrics[(metrics["metric"] == "AP") & metrics["class"].isin(labels)]
    chance = metrics[metrics["metric"] == "prevalence"].groupby("class")["value"].mean()
    mean = per_class.groupby("class", sort=False)["value"].mean().sort_values(ascending=False, na_position="last")
    n_pos = per_class.groupby("class")["n_pos"].sum()

    figure.set_size_inches(WIDTH, 1.0 + 0.27 * len(mean))
    axes = figure.subplots()
    for y, (name, value) in enumerate(zip(mean.index.astype(str), mean, strict=True)):
        runs = per_class.loc[per_class["class"] == name, "value"].dropna()
        if runs.empty:
            axes.text(0.008, y, "not evaluable: no positive test clip", va="center", color=MUTED, fontsize=8.5)
        else:
            axes.plot([chance[name]] * 2, [y - 0.3, y + 0.3], color=ORANGE, linewidth=1.6, solid_capstyle="butt")
            if len(runs) > 1:
                axes.plot(runs, [y] * len(runs), "o", color=BLUE, alpha=0.35, markersize=4, markeredgewidth=0)
            axes.plot(value, y, "o", color=BLUE, markersize=8, markeredgecolor="white")
        _beside(axes, y, "–" if runs.empty else f"{value:.2f}", color=INK)
        _beside(axes, y, n_pos[name], x=1.13)
    _beside(axes, -0.95, "AP")
    _beside(axes, -0.95, "n", x=1.13)
    _class_axis(axes, [labels[name] for name in mean.index.astype(str)])
    axes.set(xlim=(0, 1.005), xlabel="average precision")
    several = per_class.groupby("class").size().max() > 1
    dot = Line2D([], [], color=BLUE, marker="o", markersize=8, markeredgecolor="white", linewidth=0)
    run = Line2D([], [], color=BLUE, marker="o", markersize=4, alpha=0.35, markeredgewidth=0, linewidth=0)
    tick = Line2D([], [], color=ORANGE, marker="|", markersize=9, markeredgewidth=1.6, linewidth=0)
    keys = {"mean of runs": dot, "run": run, "chance": tick} if several else {"average precision": dot, "chance": tick}
    axes.legend(
        keys.values(),
        keys.keys(),
        loc="lower left",
        bbox_to_anchor=(-0.01, 1),
        ncols=3,
        labelcolor=MUTED,
        handletextpad=0.2,
        columnspacing=1.4,
        borderaxespad=0,
    )
    return figure


def _class_axis(axes: Axes, names: list[str]) -> None:
    """Classes downwards from the top, with a faint line each."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.spines["left"].set_visible(False)


def _beside(axes: Axes, y: float, text: object, x: float = 1.06, color: str = MUTED) -> None:
    """Text of a column to the right of the axes; x in widths of the axes."""
    axes.text(x, y, str(text), va="center", ha="right", color=color, transform=axes.get_yaxis_transform())


def pr_curves(points: pd.DataFrame, figure: Figure, labels: Labels) -> Figure:
    """Precision against recall, a panel a class."""
    n_columns = min(4, len(labels))
    n_rows = math.ceil(len(labels) / n_columns)
    figure.set_size_inches(WIDTH, 0.5 + 2.0 * n_rows)
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(labels) :]:
        axes.set_visible(False)
    for axes, (name, label) in zip(grid.flat, labels.items(), strict=False):
        curve = points[points["class"] == name]
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=TICKS, yticks=TICKS)
        axes.set_xticklabels(["0", "", "0.5", "", "1"])
        axes.set_yticklabels(["0", "", "0.5", "", "1"])
        axes.set_title(label)
        if curve.empty:
            axes.text(0.5, 0.5, "no positive\ntest clip", ha="center", va="center", color=MUTED)
            continue
        first = curve.iloc[0]
        axes.set_title(f"n {first['n_pos']}", loc="right", color=MUTED, fontsize=8.5)
        axes.axhline(first["prevalence"], color=ORANGE, linewidth=1, linestyle=(0, (4, 3)))
        # Average precision gives each step of recall the precision at its end.
        ends = curve[["recall", "precision"]].to_numpy()[::-1]
        recall, precision = np.concatenate([[0], ends[:, 0]]), np.concatenate([ends[:1, 1], ends[:, 1]])
        axes.fill_between(recall, precision, step="pre", color=BLUE, alpha=0.1, linewidth=0)
        axes.step(recall, precision, where="pre", color=BLUE, linewidth=1.5, clip_on=False)
    figure.supxlabel("recall", fontsize=9, color=MUTED)
    figure.supylabel("precision", fontsize=9, color=MUTED)
    return figure


def confusion(table: pd.DataFrame, metrics: pd.DataFrame, figure: Figure, labels: Labels) -> Figure:
    """Per cent of each true class's clips that are predicted as, or detected to hold, each class."""
    order = list(labels)
    support = metrics[metrics["metric"] == "AP"].groupby("class")["n_pos"].sum()
    share = (
        table.pivot_table(index="true_class", columns="predicted_class", values="share", dropna=False)
        .loc[order, order]
        .to_numpy()
    )
    n_classes = len(order)
    cell = min(0.62, max(0.24, 7.2 / n_classes))  # inches
    figure.set_size_inches(max(2.2 + cell * n_classes, 4), 1.5 + 0.62 * cell * n_classes)
    axes = figure.subplots()
    axes.imshow(np.nan_to_num(share), cmap=HEAT, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for i, j in np.ndindex(share.shape):
        percent = 100 * share[i, j]
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
    axes.set(xlabel="class with the highest score" if single else "class detected")
    axes.set_xticks(range(n_classes), [labels[name] for name in order], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n_classes), [labels[name] for name in order])
    axes.tick_params(labelcolor=INK)
    for i, name in enumerate(order):
        _beside(axes, i, support[name])
        axes.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=0.8, clip_on=False))
    _beside(axes, -0.8, "n")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for k in range(1, n_classes):
        axes.axhline(k - 0.5, color=FAINT, linewidth=0.6)
        axes.axvline(k - 0.5, color=FAINT, linewidth=0.6)
    return figure


def class_shares(balance: pd.DataFrame, figure: Figure, labels: Labels) -> Figure:
    """Share of each class that each part of the split holds, a dot a fold, against the target."""
    names = [*labels, ALL]
    n_clips = balance[balance["fold"] == balance["fold"].min()].groupby("class")["n_clips"].sum()
    figure.set_size_inches(WIDTH, 1.1 + 0.25 * len(names))
    grid = figure.subplots(1, 3, sharey=True, gridspec_kw={"wspace": 0.05})
    for axes, (part, title) in zip(
        grid, {"train": "Training", "val": "Validation", "test": "Test"}.items(), strict=True
    ):
        rows = balance[balance["part"] == part]
        axes.axvline(rows["target_share"].iloc[0], color=ORANGE, linewidth=1.2)
        axes.plot(
            rows["share"], [names.index(name) for name in rows["class"]], "o", color=BLUE, alpha=0.55, markeredgewidth=0
        )
        target = rows["target_share"].iloc[0]
        reach = max(0.1, 1.2 * (rows["share"] - target).abs().max())  # the same class is never far off the picture
        axes.set(xlim=(max(target - reach, -0.01), min(target + reach, 1.01)), title=title)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        _class_axis(axes, [labels.get(name, "all clips") for name in names])
    for y, name in enumerate(names):
        _beside(grid[-1], y, n_clips[name], x=1.16)
    _beside(grid[-1], -0.95, "n", x=1.16)
    return figure


# Key in the catalogue -> the tables or the arrays it reads, and how it is drawn.
PLOTS: dict[str, tuple[tuple[str, ...] | type[Examples] | type[Reconstructions], Callable[..., Figure]]] = {
    "training-curves": (("curves",), training_curves),
    "per-class-ap": (("metrics",), per_class_ap),
    "pr-curves": (("pr_curves",), pr_curves),
    "confusion": (("confusion", "metrics"), confusion),
    "examples": (Examples, examples),
    "class-shares": (("balance",), class_shares),
    "label-share": (("metrics", "runs"), label_share),
    "pretext-curves": (("pretext_curves", "pretraining"), pretext_curves),
    "reconstructions": (Reconstructions, reconstructions),
}
