"""How the models of one data set compare: where each starts, paired differences, label curves, published numbers."""

from typing import Any

import pandas as pd

from tymbal.report.metric_names import ACCURACY, AUC, F1, MAP
from tymbal.report.numbers import ENOUGH_SEEDS, Estimates

SHOWN = 30  # pairs of models; the others are counted
COMPARED = (MAP, ACCURACY, AUC, F1)
WIDTH = 3  # metrics side by side; the others are in the table


def start_of(runs: pd.DataFrame) -> dict[str, Any]:
    """What the runs of a model start from, whether that had heard their test clips, and how many labels they had.

    Args:
        runs: their rows of the summary table.
    """
    return {
        "init": runs["init"].iloc[0],
        "start": runs["start"].iloc[0],
        "label_percent": runs["label_percent"].iloc[0],
        "n_transductive": int((runs["test_clips"] == "transductive").sum()),
        "n_unknown": int((runs["test_clips"] == "unknown").sum()),
        "n_runs": len(runs),
    }


def paired_section(paired: pd.DataFrame, runs: pd.DataFrame) -> dict[str, Any]:
    """Differences between the models of one data set, a row a pair that learns from the same share of labels.

    Args:
        paired: its rows of the summary table.
        runs: likewise.
    """
    percent = dict(zip(runs["model"], runs["label_percent"], strict=True))
    alike = paired[paired["model_a"].map(percent) == paired["model_b"].map(percent)]
    keys = set(zip(alike["metric"], alike["thresholds"], strict=True))
    shown = [told for told in COMPARED if told.key in keys][:WIDTH]
    pairs = []
    for (a, b), rows in alike[alike["n_folds"] > 0].groupby(["model_a", "model_b"], sort=False):
        records = {(row["metric"], row["thresholds"]): row for row in rows.to_dict("records")}
        values = [records[told.key] for told in shown]
        pairs.append(
            {"a": a, "b": b, **{name: rows[name].iloc[0] for name in ("n_folds", "n_groups")}, "values": values}
        )
    return {
        "metrics": shown,
        "pairs": pairs[:SHOWN],
        "apart": alike.loc[alike["n_folds"] == 0, ["model_a", "model_b"]].drop_duplicates().to_numpy().tolist(),
        "label_percent": percent,
        "transductive": set(runs.loc[runs["test_clips"] == "transductive", "model"]),
        "more": max(len(pairs) - SHOWN, 0),
        "other_shares": len(alike) < len(paired),
    }


def label_curves(runs: pd.DataFrame, intervals: pd.DataFrame) -> dict[str, Any]:
    """Points of the label curves of one data set: families of models that were trained on several shares of labels.

    Args:
        runs: its rows of the summary table.
        intervals: likewise.
    """
    shown = [told for told in (ACCURACY, MAP) if (intervals["metric"] == told.name).any()]
    points: list[dict[str, Any]] = []
    for family, mine in runs.groupby("family", sort=False):
        if mine["label_percent"].min() == mine["label_percent"].max():
            continue
        for percent, rows in mine.groupby("label_percent"):
            model = rows["model"].iloc[0]
            estimates = Estimates(intervals[intervals["model"] == model])
            points.append(
                {
                    "family": family,
                    "percent": percent,
                    "n_train": rows["n_train"].mean(),
                    "n_seeds": rows["seed"].nunique(),
                    "n_runs": len(rows),
                    "values": [estimates.get(told.name) for told in shown],
                }
            )
    few = any(point["n_seeds"] < ENOUGH_SEEDS for point in points)
    return {"metrics": shown, "points": points, "few": few, "enough": ENOUGH_SEEDS}
