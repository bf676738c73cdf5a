"""The figures of curves: training, the pretext task, and scores by the share of labels."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from tymbal.report.style import BLUE, MUTED, SERIES, WIDTH

RUN, PRETRAIN_RUN = ("fold", "seed"), ("corpus", "seed")  # what tells runs apart in one figure
HEADROOM = 1.05  # of an axis over what is drawn on it
PRETEXT = {"nce": "InfoNCE", "accuracy": "Masked patches told apart", "mse": "Reconstruction, MSE"}


def training_curves(curves: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> Figure:
    """Loss and validation mAP by epoch: a thin line a run, thick ones for the mean, a dot at each kept epoch."""
    figure.set_size_inches(WIDTH, 3.2)
    loss, score = figure.subplots(1, 2, gridspec_kw={"wspace": 0.06})
    _line_per_run(loss, curves, "train_loss", MUTED, "training", RUN, "epoch")
    _line_per_run(loss, curves, "val_loss", BLUE, "validation", RUN, "epoch")
    loss.set(title="Loss", ylim=(0, None))
    _line_per_run(score, curves, "val_mAP", BLUE, "validation", RUN, "epoch")
    score.set(title="Validation mAP, macro", ylim=(0, 1.02))
    for axes in (loss, score):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.margins(x=0.03)
    loss.legend(loc="best")
    return figure


def pretext_curves(
    checks: pd.DataFrame, pretraining: pd.DataFrame, figure: Figure, labels: Mapping[str, str]
) -> Figure:
    """Each part of the pretext task, with chance, and the learning rate by epoch, drawn as training curves are."""
    n_masked = pretraining["n_masked"].iloc[0]
    chance = {"nce": math.log(n_masked), "accuracy": 1 / n_masked}  # of any answer alike
    parts = {part: title for part, title in PRETEXT.items() if checks[f"val_{part}"].notna().any()}
    figure.set_size_inches(WIDTH, 2.8)
    *panels, rate = figure.subplots(1, len(parts) + 1)
    for axes, (part, title) in zip(panels, parts.items(), strict=True):
        _line_per_run(axes, checks, f"train_{part}", MUTED, "training", PRETRAIN_RUN, "check")
        _line_per_run(axes, checks, f"val_{part}", BLUE, "held out", PRETRAIN_RUN, "check")
        if part in chance:
            axes.axhline(chance[part], color=MUTED, linewidth=0.8, linestyle="--", label="chance")
        axes.set(title=title, ylim=(0, HEADROOM * axes.dataLim.y1))
    _line_per_run(rate, checks, "lr", MUTED, "", PRETRAIN_RUN, "check")
    rate.set(title="Learning rate", ylim=(0, None))
    rate.yaxis.set_major_formatter(
        lambda value, _: f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-") if value else "0"
    )
    for axes in (*panels, rate):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        axes.margins(x=0.03)
    panels[0].legend(loc="best")
    return figure


def _line_per_run(
    axes: Axes, curves: pd.DataFrame, column: str, colour: str, label: str, run: Sequence[str], row: str
) -> None:
    """Draw a column against the epoch.

    Args:
        axes: where.
        curves: rows of all runs.
        column: what to draw.
        colour: of its lines.
        label: in the legend.
        run: columns that tell runs apart.
        row: column that counts the rows of a run.
    """
    runs = curves.pivot_table(index=row, columns=list(run), values=column)  # [rows, runs]
    if runs.shape[1] > 1:
        for _, mine in curves.groupby(list(run)):
            axes.plot(mine["epoch"], mine[column], color=colour, linewidth=0.7, alpha=0.4)
    together = runs.dropna()
    epoch = curves.groupby(row)["epoch"].mean()  # corpora of different sizes have other epochs at the same check
    marker = "o" if len(together) == 1 else None  # a line needs two points
    axes.plot(epoch[together.index], together.mean(axis=1), color=colour, label=label, marker=marker, markersize=4)
    if column.startswith("val_"):
        kept = curves[curves["best"] == 1]
        axes.plot(kept["epoch"], kept[column], "o", color="white", markeredgecolor=colour, markersize=5)


def label_share(metrics: pd.DataFrame, runs: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> Figure:
    """Accuracy and mAP against the share of labels: a line a family of models, small dots for the runs."""
    settings = runs[["model", "fold", "seed", "family", "label_percent", "test_clips"]]
    scores = metrics[metrics["class"] == ""].merge(settings, on=["model", "fold", "seed"])
    percent = scores.groupby("family")["label_percent"]
    scores = scores[percent.transform("min") < percent.transform("max")]
    titles = {"accuracy": "Accuracy", "mAP_macro": "mAP, macro"}
    shown = [metric for metric in titles if (scores["metric"] == metric).any()]
    figure.set_size_inches(WIDTH if len(shown) > 1 else 0.6 * WIDTH, 3.6)
    grid = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axes, metric in zip(grid, shown, strict=True):
        mine = scores[scores["metric"] == metric]
        for i, (family, rows) in enumerate(mine.groupby("family")):
            colour = SERIES[i % len(SERIES)]
            name = f"{family} (transductive)" if "transductive" in set(rows["test_clips"]) else family
            mean = rows.groupby("label_percent")["value"].mean()
            axes.plot(rows["label_percent"], rows["value"], "o", color=colour, alpha=0.3, markersize=4, mew=0)
            axes.plot(mean.index, mean, "o-", color=colour, markersize=7, markeredgecolor="white", label=name)
        axes.set(title=titles[metric], xlabel="training clips with labels", xscale="log", ylim=(0, 1.02))
        axes.xaxis.set_major_locator(FixedLocator(sorted(mine["label_percent"].unique())))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
