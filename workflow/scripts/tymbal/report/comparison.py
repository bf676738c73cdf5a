"""How the models of one data set compare: where each starts, paired differences, label curves, published numbers."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from tymbal.evaluate.slices import sorted_levels
from tymbal.evaluate.tables import rows_of
from tymbal.report.metric_names import ACCURACY, AUC, F1, MAP, SLICES
from tymbal.report.numbers import ENOUGH_SEEDS, Estimates

SHOWN = 30  # pairs of models; the others are counted
COMPARED = (MAP, ACCURACY, AUC, F1)
WIDTH = 3  # metrics side by side; the others are in the table
MOST_LEVELS = 8  # of a slice side by side; slices with more are in the table


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
    whole = rows_of(alike, {"slice": ""})
    keys = set(zip(whole["metric"], whole["thresholds"], strict=True))
    shown = [told for told in COMPARED if told.key in keys][:WIDTH]
    pairs = []
    for (a, b), rows in whole[whole["n_folds"] > 0].groupby(["model_a", "model_b"], sort=False):
        records = {(row["metric"], row["thresholds"]): row for row in rows.to_dict("records")}
        values = [records[told.key] for told in shown]
        pairs.append(
            {"a": a, "b": b, **{name: rows[name].iloc[0] for name in ("n_folds", "n_groups")}, "values": values}
        )
    return {
        "metrics": shown,
        "pairs": pairs[:SHOWN],
        "apart": whole.loc[whole["n_folds"] == 0, ["model_a", "model_b"]].drop_duplicates().to_numpy().tolist(),
        "label_percent": percent,
        "transductive": set(runs.loc[runs["test_clips"] == "transductive", "model"]),
        "more": max(len(pairs) - SHOWN, 0),
        "other_shares": len(alike) < len(paired),
        "slices": [
            {**each, "pairs": each["pairs"][:SHOWN], "more": max(len(each["pairs"]) - SHOWN, 0)}
            for each in paired_slices(alike)
        ],
    }


def paired_slices(paired: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Differences in mAP between models on parts of the test clips: of each slice its levels, and a row a pair.

    Args:
        paired: rows of one data set. Slices of more than 8 levels are left out, and pairs that share no part.
    """
    rows = paired[(paired["slice"] != "") & (paired["metric"] == MAP.name)]
    for name, mine in rows.groupby("slice", sort=False):
        levels = sorted_levels(str(name), mine["level"])
        pairs = []
        for (a, b), of_pair in mine[mine["n_folds"] > 0].groupby(["model_a", "model_b"], sort=False):
            records = {row["level"]: row for row in of_pair.to_dict("records")}
            pairs.append({"a": a, "b": b, "values": [records.get(level) for level in levels]})
        if pairs and len(levels) <= MOST_LEVELS:
            yield {"name": name, "title": SLICES.get(str(name), name), "levels": levels, "pairs": pairs}


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
