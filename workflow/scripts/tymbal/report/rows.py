"""The figures with a row a class (or a level of a slice): dots, and bars for 95 % intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Transform

from tymbal.evaluate.tables import rows_of
from tymbal.folds import ALL
from tymbal.report.metric_names import ACCURACY, AUC, F1, MAP, SLICES
from tymbal.report.numbers import decimals, span
from tymbal.report.style import BLUE, FAINT, INK, MUTED, ORANGE, WIDTH

OF_CLIPS = {"unit": "clip", "thresholds": ""}  # rows of metrics that rank clips
SLICED = (MAP, AUC, F1, ACCURACY)  # metrics that slices have
MAX_LEVELS = 40  # of a slice in a figure

DOT: dict[str, Any] = {"marker": "o", "color": BLUE, "markersize": 7, "markeredgecolor": "white", "linewidth": 0}
SMALL_DOT = {**DOT, "markersize": 4, "alpha": 0.35, "markeredgewidth": 0}
OPEN_DOT: dict[str, Any] = {"marker": "o", "color": MUTED, "markersize": 4.5, "markerfacecolor": "none", "linewidth": 0}
TICK: dict[str, Any] = {"marker": "|", "markersize": 7, "markeredgewidth": 1.6, "linewidth": 0}


def per_class_ap(
    intervals: pd.DataFrame, metrics: pd.DataFrame, figure: Figure, labels: Mapping[str, str]
) -> pd.DataFrame:
    """Average precision of each class, best first: mean with interval, runs, chance, number of positives."""
    runs = rows_of(metrics, {"metric": "AP", **OF_CLIPS})
    prevalence = rows_of(metrics, {"metric": "prevalence", **OF_CLIPS})
    # Of the runs that have an AP.
    chance = prevalence[prevalence["n_pos"] > 0].groupby("class")["value"].mean()
    means = rows_of(intervals, {"metric": "AP", **OF_CLIPS}).set_index("class").reindex(list(labels))
    means = means[["value", "low", "high"]].assign(
        what="mean",
        chance=chance,
        # Each clip counted once, however many seeds were trained.
        n_pos=runs.drop_duplicates(["class", "fold"]).groupby("class")["n_pos"].sum(),
    )
    rows = means.sort_values("value", ascending=False, kind="stable").reset_index()
    runs = runs.loc[runs["class"].isin(labels), ["class", "fold", "seed", "value"]].dropna().assign(what="run")
    several = runs["class"].duplicated().any()
    drawn = pd.concat([rows, runs]) if several else rows
    figure.set_size_inches(WIDTH, 1.0 + 0.27 * len(rows))
    axes = figure.subplots()
    y = np.arange(len(rows))
    axes.vlines(rows["chance"], y - 0.3, y + 0.3, color=ORANGE, linewidth=1.6)
    axes.hlines(y, rows["low"], rows["high"], color=BLUE, linewidth=1.6)
    if several:
        below = dict(zip(rows["class"], y + 0.25, strict=True))  # the bar of the interval
        axes.plot(runs["value"], runs["class"].map(below), **SMALL_DOT)
    axes.plot(rows["value"], y, **DOT)
    for place, (value, n_pos) in enumerate(zip(rows["value"], rows["n_pos"], strict=True)):
        _beside(axes, place, decimals(value, 2), color=INK)
        _beside(axes, place, f"{n_pos:.0f}", column=1)
        if np.isnan(value):
            axes.text(0.008, place, "not evaluable: no positive test clip", va="center", color=MUTED, fontsize=8.5)
    _head(axes, "AP")
    _head(axes, "n", column=1)
    _class_axis(axes, [labels[name] for name in rows["class"]])
    axes.set(xlim=(0, 1.005), xlabel="average precision")
    keys = {"mean of runs" if several else "average precision": Line2D([], [], **DOT)}
    keys |= {"run": Line2D([], [], **SMALL_DOT)} if several else {}
    _legend(
        axes,
        {
            **keys,
            "95 % interval": Line2D([], [], color=BLUE, linewidth=1.6),
            "chance": Line2D([], [], color=ORANGE, **TICK),
        },
    )
    return drawn


def thresholds(table: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> pd.DataFrame:
    """Threshold of each class: a thin bar a run for its interval, dots as chosen, open dots before shrinking."""
    parts = [rows_of(table, {"class": name}).sort_values(["fold", "seed"]) for name in labels]
    most = max(map(len, parts))
    figure.set_size_inches(WIDTH, 1.0 + (0.27 + 0.03 * min(most, 10)) * len(parts))
    axes = figure.subplots()
    for y, rows in enumerate(parts):
        at = y + (np.linspace(-0.3, 0.3, len(rows)) if len(rows) > 1 else np.zeros(len(rows)))
        if y % 2:
            axes.axhspan(y - 0.5, y + 0.5, color=FAINT, alpha=0.4, linewidth=0)
        axes.plot(rows["overall"], at, color=ORANGE, **TICK)
        axes.hlines(at, rows["low"], rows["high"], color=BLUE, linewidth=1.6 if most == 1 else 1, alpha=0.45)
        axes.plot(rows["own"], at, **OPEN_DOT)
        axes.plot(rows["threshold"], at, **{**DOT, "markersize": 7 if most == 1 else 4.5, "markeredgewidth": 0.6})
        _beside(axes, y, f"{rows['threshold'].mean():.2f}", color=INK)
        _beside(axes, y, span(rows["n_pos"]), column=1)
    _head(axes, "mean")
    _head(axes, "n", column=1)
    _class_axis(axes, list(labels.values()))
    axes.set(xlim=(-0.005, 1.005), xlabel="threshold on the model's own score")
    _legend(
        axes,
        {
            "threshold" if most == 1 else "threshold of a run": Line2D([], [], **DOT),
            "95 % interval": Line2D([], [], color=BLUE, alpha=0.45, linewidth=1.6),
            "of its own clips alone": Line2D([], [], **OPEN_DOT),
            "of all classes together": Line2D([], [], color=ORANGE, **TICK),
        },
    )
    return pd.concat(parts).drop(columns=["dataset", "model"])


def slices(table: pd.DataFrame, intervals: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> pd.DataFrame:
    """Scores on parts of the test clips: a row of panels a slice, a column a metric, a line a level."""
    shown = [metric for metric in SLICED if table.loc[table["metric"] == metric.name, "value"].notna().any()]
    scores = table[table["metric"].isin([metric.name for metric in shown])]
    parts = {name: _most_clips(rows) for name, rows in scores.groupby("slice", sort=False)}
    drawn = pd.concat(parts.values()).drop(columns=["dataset", "model"])
    prevalence = rows_of(table, {"metric": "prevalence_macro"}).set_index(["slice", "level"])["value"]
    of_map = prevalence.reindex(pd.MultiIndex.from_frame(drawn[["slice", "level"]])).to_numpy()
    drawn["chance"] = np.select([drawn["metric"] == "mAP_macro", drawn["metric"] == "AUC_macro"], [of_map, 0.5], np.nan)
    heights = [part["level"].nunique() for part in parts.values()]
    figure.set_size_inches(WIDTH if len(shown) > 2 else 0.7 * WIDTH, 0.82 * len(heights) + 0.23 * sum(heights))
    grid = figure.subplots(len(parts), len(shown), squeeze=False, gridspec_kw={"height_ratios": heights})
    for line, (name, part) in zip(grid, parts.items(), strict=True):
        levels = list(dict.fromkeys(part["level"]))
        for axes, metric in zip(line, shown, strict=True):
            rows = drawn[(drawn["slice"] == name) & (drawn["metric"] == metric.name)].set_index("level").reindex(levels)
            of_all = {"metric": metric.name, "class": "", "unit": "clip", "thresholds": metric.thresholds}
            for value in rows_of(intervals, of_all)["value"]:
                axes.axvline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
            y = np.arange(len(rows))
            axes.vlines(rows["chance"], y - 0.3, y + 0.3, color=ORANGE, linewidth=1.6)
            axes.hlines(y, rows["low"], rows["high"], color=BLUE, linewidth=1.6)
            axes.plot(rows["value"], y, **{**DOT, "markersize": 6})
            for place, value in enumerate(rows["value"]):
                _beside(axes, place, decimals(value, 2), color=INK)
            _class_axis(axes, levels if axes is line[0] else [""] * len(levels))
            axes.set(xlim=(0, 1.01), xticks=[0, 0.25, 0.5, 0.75, 1])
            axes.set_xticklabels(["0", "", "0.5", "", "1"])
            axes.set_xlabel(metric.title + (" at chosen thresholds" if metric.thresholds else ""))
        n_levels = table.loc[table["slice"] == name, "level"].nunique()
        of = f" ({len(levels)} of {n_levels}, those with most clips)" if len(levels) < n_levels else ""
        line[0].set_title(SLICES.get(str(name), str(name)) + of)
        for place, n in enumerate(part.groupby("level", sort=False)["n_clips"].max()):
            _beside(line[-1], place, f"{n:.0f}", column=1)
        _head(line[-1], "n", column=1)
    return drawn


def _most_clips(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the levels of a slice with most clips, in the order of the table."""
    n_clips = rows.groupby("level", sort=False)["n_clips"].max()
    return rows[rows["level"].isin(n_clips.nlargest(MAX_LEVELS).index)]


def class_shares(balance: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> pd.DataFrame:
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
        _beside(grid[-1], y, n_clips[name])
    _head(grid[-1], "n")
    return balance[["part", "class", "fold", "share", "target_share", "n_clips"]]


def _class_axis(axes: Axes, names: list[str]) -> None:
    """Classes downwards from the top, with a faint line each."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.spines["left"].set_visible(False)


def _beside(axes: Axes, y: float, text: object, column: int = 0, color: str = MUTED) -> None:
    """Text of a column to the right of the axes."""
    _annotate(axes, (1, y), axes.get_yaxis_transform(), str(text), (31 + 43 * column, 0), color)


def _head(axes: Axes, text: str, column: int = 0) -> None:
    """Head of a column to the right of the axes."""
    _annotate(axes, (1, 1), axes.transAxes, text, (31 + 43 * column, 9), MUTED)


def _annotate(
    axes: Axes, xy: tuple[float, float], where: Transform, text: str, points: tuple[float, float], color: str
) -> None:
    axes.annotate(
        text, xy, xytext=points, xycoords=where, textcoords="offset points", va="center", ha="right", color=color
    )


def _legend(axes: Axes, keys: Mapping[str, Line2D]) -> None:
    """In one line above the axes."""
    axes.legend(
        keys.values(),
        keys.keys(),
        loc="lower left",
        bbox_to_anchor=(-0.01, 1),
        ncols=len(keys),
        labelcolor=MUTED,
        handletextpad=0.4,
        columnspacing=1.4,
        borderaxespad=0,
    )
