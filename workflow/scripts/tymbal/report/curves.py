"""The figures of curves: training, pretext task, scores by the share of labels, precision and recall, reliability."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from tymbal.evaluate.tables import rows_of
from tymbal.report.metric_names import ACCURACY, MAP
from tymbal.report.numbers import ENOUGH_SEEDS, decimals, span
from tymbal.report.style import BLUE, INK, MUTED, ORANGE, SERIES, WIDTH

RUN, PRETRAIN_RUN = ["fold", "seed"], ["corpus", "seed"]  # what tells runs apart in one figure
HEADROOM = 1.05  # of an axis over what is drawn on it
PRETEXT = {
    "nce": "InfoNCE",
    "accuracy": "Masked patches told apart",
    "mse": "Reconstruction, MSE",
    "global": "Class token",
    "local": "Hidden patches",
    "global_unmixed": "Class token, clips",
    "local_unmixed": "Hidden patches, clips",
    "global_mixed": "Class token, mixtures",
    "local_mixed": "Hidden patches, mixtures",
    "local_retention": "Source retention",
    "global_retention": "Source retention, class token",
    "prediction_std": "Spread of predictions",
}
MOST_PANELS = 4  # side by side
TICKS = [0, 0.25, 0.5, 0.75, 1]
ROOT_TICKS = [0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1]


def training_curves(curves: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> pd.DataFrame:
    """Loss and validation mAP by epoch: a thin line a run, thick ones for the mean, a dot at each kept epoch."""
    drawn = _with_mean(curves, ["train_loss", "val_loss", "val_mAP"], RUN, "epoch")
    figure.set_size_inches(WIDTH, 3.2)
    loss, score = figure.subplots(1, 2, gridspec_kw={"wspace": 0.06})
    _line_per_run(loss, drawn, "train_loss", MUTED, "training", RUN)
    _line_per_run(loss, drawn, "val_loss", BLUE, "validation", RUN)
    loss.set(title="Loss", ylim=(0, None))
    _line_per_run(score, drawn, "val_mAP", BLUE, "validation", RUN)
    score.set(title="Validation mAP, macro", ylim=(0, 1.02))
    for axes in (loss, score):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.margins(x=0.03)
    loss.legend(loc="best")
    return drawn


def pretext_curves(
    checks: pd.DataFrame, pretraining: pd.DataFrame, figure: Figure, labels: Mapping[str, str]
) -> pd.DataFrame:
    """Each part of the pretext task, with chance where it is known, and the learning rate by epoch."""
    n_masked = pretraining["n_masked"].iloc[0]
    chance = {"nce": math.log(n_masked), "accuracy": 1 / n_masked}  # of any answer alike
    parts = {part: title for part, title in PRETEXT.items() if checks.get(f"val_{part}", pd.Series()).notna().any()}
    columns = [f"{side}_{part}" for part in parts for side in ("train", "val")]
    drawn = _with_mean(checks, [*columns, "lr"], PRETRAIN_RUN, "check")
    n_rows = math.ceil((len(parts) + 1) / MOST_PANELS)
    n_columns = math.ceil((len(parts) + 1) / n_rows)
    figure.set_size_inches(WIDTH, 2.8 if n_rows == 1 else 2.3 * n_rows)
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    *panels, rate = grid[: len(parts) + 1]
    for axes in grid[len(parts) + 1 :]:
        axes.remove()
    for axes, (part, title) in zip(panels, parts.items(), strict=True):
        _line_per_run(axes, drawn, f"train_{part}", MUTED, "training", PRETRAIN_RUN)
        _line_per_run(axes, drawn, f"val_{part}", BLUE, "held out", PRETRAIN_RUN)
        if part in chance:
            axes.axhline(chance[part], color=MUTED, linewidth=0.8, linestyle="--", label="chance")
            drawn[f"chance_{part}"] = chance[part]
        axes.set(title=title, ylim=(0, HEADROOM * axes.dataLim.y1))
    _line_per_run(rate, drawn, "lr", MUTED, "", PRETRAIN_RUN)
    rate.set(title="Learning rate", ylim=(0, None))
    rate.yaxis.set_major_formatter(
        lambda value, _: f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-") if value else "0"
    )
    for axes in (*panels, rate):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        axes.margins(x=0.03)
    panels[0].legend(loc="best")
    return drawn


def _with_mean(curves: pd.DataFrame, columns: Sequence[str], run: list[str], row: str) -> pd.DataFrame:
    """The curves of all runs, and of their mean while all of them go on.

    Args:
        curves: rows of all runs.
        columns: what is drawn.
        run: columns that tell runs apart.
        row: column that counts the rows of a run.
    """
    runs = curves.assign(what="run")[["what", *run, *dict.fromkeys([row, "epoch"]), *columns, "best"]]
    n_runs = (curves.groupby(run)[list(columns)].count() > 0).sum()  # that have the column at all
    by_row = curves.groupby(row)
    mean = by_row[list(columns)].mean().where(by_row[list(columns)].count() == n_runs)
    mean["epoch"] = by_row["epoch"].mean()  # corpora of different sizes have other epochs at the same check
    mean[row] = mean.index
    return pd.concat([runs, mean.assign(what="mean")], ignore_index=True)


def _line_per_run(axes: Axes, drawn: pd.DataFrame, column: str, colour: str, label: str, run: list[str]) -> None:
    """Draw a column against the epoch; `drawn` as `_with_mean` gives it."""
    runs, mean = drawn[drawn["what"] == "run"], drawn[drawn["what"] == "mean"].dropna(subset=column)
    by_run = runs.groupby(run)
    if by_run.ngroups > 1:
        for _, mine in by_run:
            axes.plot(mine["epoch"], mine[column], color=colour, linewidth=0.7, alpha=0.4)
    marker = "o" if len(mean) == 1 else None  # a line needs two points
    axes.plot(mean["epoch"], mean[column], color=colour, label=label, marker=marker, markersize=4)
    if column.startswith("val_"):
        kept = runs[runs["best"] == 1]
        axes.plot(kept["epoch"], kept[column], "o", color="white", markeredgecolor=colour, markersize=5)


def label_share(
    intervals: pd.DataFrame, metrics: pd.DataFrame, runs: pd.DataFrame, figure: Figure, labels: Mapping[str, str]
) -> pd.DataFrame:
    """Accuracy and mAP against the share of labels: a line a family of models with intervals, small dots for runs."""
    titles = {metric.name: metric.title for metric in (ACCURACY, MAP)}
    models = runs.groupby("model").agg(
        family=("family", "first"),
        label_percent=("label_percent", "first"),
        transductive=("test_clips", lambda known: "transductive" in set(known)),
    )
    percent = models.groupby("family")["label_percent"]
    models = models[percent.transform("min") < percent.transform("max")]
    both = pd.concat([intervals.assign(what="mean"), metrics.assign(what="run")])
    both = both[both["metric"].isin(titles) & (both["class"] == "") & (both["unit"] == "clip")]
    columns = [
        "what",
        "family",
        "transductive",
        "label_percent",
        "model",
        "fold",
        "seed",
        "metric",
        "value",
        "low",
        "high",
    ]
    drawn = both.merge(models, on="model")[[*columns, "n_seeds"]].sort_values(["family", "label_percent"])
    drawn.loc[drawn["what"] == "run", ["low", "high"]] = np.nan  # not shown of single runs

    shown = [metric for metric in titles if (drawn["metric"] == metric).any()]
    figure.set_size_inches(WIDTH if len(shown) > 1 else 0.6 * WIDTH, 3.8)
    grid = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axes, metric in zip(grid, shown, strict=True):
        mine = drawn[drawn["metric"] == metric]
        for i, ((family, known), rows) in enumerate(mine.groupby(["family", "transductive"])):
            colour = SERIES[i % len(SERIES)]
            single, mean = rows[rows["what"] == "run"], rows[rows["what"] == "mean"]
            axes.plot(single["label_percent"], single["value"], "o", color=colour, alpha=0.3, markersize=4, mew=0)
            axes.vlines(mean["label_percent"], mean["low"], mean["high"], color=colour, linewidth=1.4)
            name = f"{family} (transductive)" if known else str(family)
            axes.plot(mean["label_percent"], mean["value"], "o-", color=colour, markersize=7, mec="white", label=name)
        axes.set(title=titles[metric], xlabel="training clips with labels", xscale="log", ylim=(0, 1.02))
        axes.margins(x=0.06)
        axes.xaxis.set_major_locator(FixedLocator(sorted(mine["label_percent"].unique())))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(_seeds(drawn["n_seeds"]), x=0.995, ha="right", fontsize=9, color=MUTED)
    return drawn


def _seeds(n_seeds: pd.Series) -> str:
    """How many seeds the points of a learning curve are means over, and whether that is enough."""
    thin = f"; fewer than {ENOUGH_SEEDS} are thin" if n_seeds.min() < ENOUGH_SEEDS else ""
    return f"{span(n_seeds)} {'seed' if n_seeds.max() == 1 else 'seeds'} a point{thin}"


def pr_curves(points: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> pd.DataFrame:
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
    return points.drop(columns=["dataset", "model"])


def reliability(
    table: pd.DataFrame, intervals: pd.DataFrame, figure: Figure, labels: Mapping[str, str]
) -> pd.DataFrame:
    """How often a class is there against how probable it was said to be, before and after calibration."""
    titles = {"before": "The model's own scores", "after": "Calibrated probabilities"}
    names = {"before": "{}", "after": "{}_calibrated"}
    drawn = table.drop(columns=["dataset", "model"])
    whole = rows_of(intervals, {"class": "", "unit": "clip", "thresholds": ""}).set_index("metric")
    figure.set_size_inches(0.82 * WIDTH, 4.1)
    grid = figure.subplots(1, 2, sharex=True, sharey=True, gridspec_kw={"wspace": 0.06})
    for axes, (stage, title) in zip(grid, titles.items(), strict=True):
        rows = drawn[drawn["stage"] == stage]
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.vlines(rows["mean_score"], rows["low"], rows["high"], color=BLUE, linewidth=1.6)
        axes.hlines(rows["share_positive"], rows["least_score"], rows["most_score"], color=BLUE, linewidth=1, alpha=0.5)
        axes.plot(rows["mean_score"], rows["share_positive"], "o", color=BLUE, markersize=6, mec="white", clip_on=False)
        # Square roots make room near 0, where scores of rare classes are.
        for scale in (axes.set_xscale, axes.set_yscale):
            scale("function", functions=(np.sqrt, np.square))
        told = whole.reindex([names[stage].format(metric) for metric in ("ECE", "Brier")])
        drawn.loc[drawn["stage"] == stage, ["ECE", "Brier"]] = told["value"].to_list()
        lines = [_told(name, row) for name, (_, row) in zip(("ECE", "Brier"), told.iterrows(), strict=True)]
        axes.text(0.03, 0.97, "\n".join(lines), va="top", color=INK, transform=axes.transAxes)
        axes.set(title=title, xlim=(0, 1), ylim=(0, 1), xticks=ROOT_TICKS, yticks=ROOT_TICKS)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
    figure.supxlabel("score or probability", fontsize=9, color=MUTED)
    figure.supylabel("share of positives", fontsize=9, color=MUTED)
    return drawn


def _told(name: str, row: pd.Series) -> str:
    """A score with its interval, as far as they are known."""
    bounds = "" if math.isnan(row["low"]) else f" ({decimals(row['low'])}–{decimals(row['high'])})"
    return f"{name} {decimals(row['value'])}{bounds}"
