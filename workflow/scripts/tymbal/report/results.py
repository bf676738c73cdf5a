"""What a model's page says of its scores: sections made from the summary tables, for the template to lay out."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from tymbal.evaluate.targets import MEANING
from tymbal.report.metric_names import (
    ACCURACY,
    AUC,
    BALANCED_ACCURACY,
    DPRIME,
    F1,
    F1_MICRO,
    LWLRAP,
    MAP,
    MAP_MICRO,
    SLICES,
    Metric,
)
from tymbal.report.numbers import Estimate, Estimates, span
from tymbal.report.rows import SLICED

# Told first, with what they mean; those that a task does not have are left out.
HEADLINES = {
    MAP: "mean of the classes’ average precision",
    ACCURACY: "the highest score is the right class",
    AUC: "mean of the classes",
    F1: "mean of the classes, at thresholds chosen on validation clips",
    DPRIME: "of the mean ROC AUC",
}
OVERALL = (MAP, MAP_MICRO, LWLRAP, AUC, DPRIME, F1, F1_MICRO, ACCURACY, BALANCED_ACCURACY)
UNITS = {"clip": "Clips", "recording-max": "Recordings, maximum", "recording-mean": "Recordings, mean"}
CALIBRATION = (
    ("Brier", "Brier", "mean squared distance of probability and binary target"),
    ("ECE", "ECE", "mean distance of probability and share of positives, ten bins with equally many scores"),
    ("Brier, soft labels", "soft_Brier", "mean squared distance of probability and label weight"),
    ("BCE, soft labels", "soft_BCE", "cross-entropy of label weight and probability"),
)
AT = ("fixed", "chosen")  # thresholds
FEW_GROUPS = 30  # with fewer, intervals are a hint


def setting(estimates: Estimates, metrics: pd.DataFrame) -> dict[str, Any]:
    """On what a model was scored, and over how many runs.

    Args:
        estimates: of the model, as for the other functions.
        metrics: its rows of the summary table, likewise.
    """
    overall = metrics[(metrics["metric"] == "mAP_macro") & (metrics["unit"] == "clip")]
    rule = metrics["target_rule"].iloc[0]
    return {
        "n_runs": len(overall),
        "n_folds": overall["fold"].nunique(),
        "n_seeds": overall["seed"].nunique(),
        "n_clips": span(overall["n_clips"]),
        "evaluable": span(overall["n_classes"]),
        "n_classes": metrics.loc[metrics["class"] != "", "class"].nunique(),
        "chance": estimates.get("prevalence_macro").value,
        "target_rule": rule,
        "target_meaning": MEANING[rule],
        "threshold": metrics["threshold"].iloc[0],
        "few_groups": estimates.n_groups < FEW_GROUPS,
    }


def headlines(estimates: Estimates, metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """The cards at the top: each metric with its interval and the standard deviation over seeds."""
    cards = []
    for told, meaning in HEADLINES.items():
        if estimates.has(*told.key):
            estimate = estimates.get(told.name, "", told.thresholds)
            cards.append({"told": told, "meaning": meaning, "estimate": estimate, **_over_seeds(metrics, told)})
    return cards


def by_unit(estimates: Estimates) -> dict[str, Any]:
    """Overall metrics of clips, and of recordings pooled in two ways."""
    units = [unit for unit in UNITS if estimates.has("mAP_macro", unit=unit)]
    shown = [told for told in OVERALL if any(estimates.has(*told.key, unit) for unit in units)]
    rows = [(told, [estimates.get(told.name, "", told.thresholds, unit) for unit in units]) for told in shown]
    return {"units": [UNITS[unit] for unit in units], "rows": rows}


def by_class(estimates: Estimates, metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a class: positive clips and recordings (None where each clip is one), chance, metrics of ranking."""
    rows = []
    for name, mine in _of_classes(metrics):
        once = mine[mine["metric"] == "AP"].drop_duplicates(["fold", "unit"])  # test clips are the same for all seeds
        ap, recordings = once[once["unit"] == "clip"], once[once["unit"] == "recording-max"]
        prevalence = mine[(mine["metric"] == "prevalence") & (mine["unit"] == "clip") & (mine["n_pos"] > 0)]
        rows.append(
            {
                "name": name,
                "n_pos": int(ap["n_pos"].sum()),
                "n_recordings": int(recordings["n_pos"].sum()) if len(recordings) else None,
                "note": "" if estimates.get("AP", name).n_runs else ap["note"].iloc[0],
                "chance": prevalence["value"].mean(),  # of the runs that have an AP
                **{metric: estimates.get(metric, name) for metric in ("AP", "AUC", "dprime", "Brier")},
            }
        )
    return rows


def by_threshold(estimates: Estimates, metrics: pd.DataFrame, thresholds: pd.DataFrame) -> dict[str, Any]:
    """Thresholds chosen on validation clips, and what they change on test clips against the fixed one.

    Args:
        estimates: of the model.
        metrics: its rows of the summary table.
        thresholds: likewise.
    """
    told = {metric: _at_thresholds(metrics, metric) for metric in ("precision", "recall")}
    rows = [
        {
            "name": str(name),
            "threshold": Estimate(_mean(mine["threshold"]), _mean(mine["low"]), _mean(mine["high"]), len(mine)),
            "n_pos": span(mine["n_pos"]),
            "validation": _mean(mine["f1"]),
            "F1": [estimates.get("F1", str(name), at) for at in AT],
            **{metric: _change(values.loc[[str(name)]]) for metric, values in told.items()},
        }
        for name, mine in thresholds.groupby("class", sort=False)
    ]
    means = {metric: _mean_change(values) for metric, values in told.items()}
    return {"rows": rows, "F1": [estimates.get("F1_macro", "", at) for at in AT], **means}


def calibration(estimates: Estimates) -> list[dict[str, Any]]:
    """Each measure of probabilities before and after calibration; the lower, the better."""
    return [
        {
            "title": title,
            "meaning": meaning,
            "before": estimates.get(metric),
            "after": estimates.get(f"{metric}_calibrated"),
        }
        for title, metric, meaning in CALIBRATION
        if estimates.has(metric)
    ]


def slices(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A table a slice: each of its levels with its clips and metrics.

    Args:
        rows: of the model in the summary table.
    """
    tables = []
    for name, mine in rows.groupby("slice", sort=False):
        shown = [told for told in SLICED if (mine["metric"] == told.name).any()]
        levels = []
        for level, each in mine.groupby("level", sort=False):
            records = {row["metric"]: row for row in each.to_dict("records")}
            levels.append(
                {
                    "level": level,
                    "n_runs": each["n_runs"].max(),
                    **{column: each[column].iloc[0] for column in ("n_clips", "n_groups", "n_classes")},
                    "values": [
                        Estimate.of(records[told.name]) if told.name in records else Estimate() for told in shown
                    ],
                }
            )
        tables.append({"title": SLICES.get(str(name), name), "metrics": shown, "levels": levels})
    return tables


def by_run(metrics: pd.DataFrame) -> dict[str, Any]:
    """The overall metrics of each run, as its own evaluation told them."""
    overall = metrics[(metrics["class"] == "") & (metrics["unit"] == "clip")]
    known = set(zip(overall["metric"], overall["thresholds"], strict=True))
    shown = [told for told in OVERALL if told.key in known]
    rows = []
    for (fold, seed), mine in overall.groupby(["fold", "seed"]):
        records = {(row["metric"], row["thresholds"]): row for row in mine.to_dict("records")}
        ranked = records[MAP.key]
        values = [records[told.key]["value"] for told in shown]
        rows.append(
            {
                "fold": fold,
                "seed": seed,
                "n_clips": ranked["n_clips"],
                "n_classes": ranked["n_classes"],
                "values": list(zip(values, (told.digits for told in shown), strict=True)),
            }
        )
    return {"columns": shown, "rows": rows}


def _over_seeds(metrics: pd.DataFrame, told: Metric) -> dict[str, Any]:
    """Standard deviation over seeds of a metric's mean over folds: of seeds that have all folds, if there are two."""
    rows = metrics[(metrics["metric"] == told.name) & (metrics["thresholds"] == told.thresholds)]
    rows = rows[(rows["unit"] == "clip") & (rows["class"] == "")]
    values = rows.pivot_table("value", "fold", "seed", dropna=False)
    means = values.dropna(axis="columns").mean()
    return {"sd": means.std() if len(means) > 1 else None, "n_seeds": len(means)}


def _at_thresholds(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric by class, fold and seed, a column for each kind of threshold."""
    rows = metrics[(metrics["metric"] == metric) & (metrics["class"] != "") & (metrics["unit"] == "clip")]
    return rows.pivot_table("value", ["class", "fold", "seed"], "thresholds", dropna=False)[list(AT)]


def _change(values: pd.DataFrame) -> list[float | None]:
    """Means over the runs that have a value at both thresholds; where there is none, over those that have one."""
    both = values.dropna()
    return [_mean((values if both.empty else both)[at]) for at in AT]


def _mean_change(values: pd.DataFrame) -> dict[str, Any]:
    """Means over the classes, in each run, that have a value at both thresholds, and how many these are."""
    by_run = values.dropna().groupby(["fold", "seed"])
    means = by_run.mean()
    return {"change": [_mean(means[at]) for at in AT], "n_classes": span(by_run.size()) if len(means) else "0"}


def _of_classes(metrics: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """Rows by class, in class order."""
    rows = metrics[metrics["class"] != ""]
    return ((str(name), mine) for name, mine in rows.groupby("class", sort=False))


def _mean(values: pd.Series) -> float | None:
    return None if values.isna().all() else float(values.mean())
