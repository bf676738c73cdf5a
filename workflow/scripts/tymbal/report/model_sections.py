"""What the page says of models beside their scores: what they start from, how it was made, how they compare."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from tymbal.evaluate.tables import rows_of
from tymbal.pretrain.summary import EXCLUDED

SHOWN = 30  # pairs of models; the others are counted

OBJECTIVES = {
    "joint": "tell the masked patches of a clip apart (InfoNCE) and reconstruct them (MSE)",
    "discriminative": "tell the masked patches of a clip apart (InfoNCE)",
    "generative": "reconstruct the masked patches (MSE)",
}

# Columns of the check that was kept.
MEASURES = {"val_accuracy": "Told apart", "val_nce": "InfoNCE", "val_mse": "MSE"}


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


def pretraining_sections(pretraining: pd.DataFrame, corpora: pd.DataFrame, runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Each pre-training with its corpora and what starts from it.

    Args:
        pretraining: summary table.
        corpora: likewise.
        runs: likewise.
    """
    sections = []
    for ssl in pretraining["ssl"].unique():
        mine = rows_of(pretraining, {"ssl": ssl})
        parts = corpora[corpora["corpus"].isin(mine["corpus"])]
        models = rows_of(runs, {"init": "ssl", "start": ssl})[["dataset", "model"]].drop_duplicates()
        left_out = dict(zip(parts["corpus"], map(_held_out, parts["held_out"]), strict=True))
        sections.append(
            {
                "name": ssl,
                "init": mine["init"].iloc[0],
                "start": mine["start"].iloc[0],
                "transductive": bool(mine["transductive"].any()),
                "objective": OBJECTIVES[mine["objective"].iloc[0]],
                "size": mine["size"].iloc[0],
                "n_masked": int(mine["n_masked"].iloc[0]),
                "n_patches": int(mine["n_patches"].iloc[0]),
                "n_short": span(mine["n_short"]) if mine["n_short"].any() else "",
                "parameters": int(mine["parameters"].iloc[0]),
                "n_corpora": len(left_out),
                "held_out": _held_out(" ".join(dict.fromkeys(parts["held_out"]))),
                "own_transductive": bool(parts["transductive"].any()),
                "parts": [_part(rows) for _, rows in parts.groupby("dataset", sort=False)],
                "models": list(models.itertuples(index=False, name=None)),
                "followers": sorted(rows_of(pretraining, {"init": "ssl", "start": ssl})["ssl"].unique()),
                "measures": {title: column for column, title in MEASURES.items() if mine[column].notna().any()},
                "runs": [{**run, "left_out": left_out[run["corpus"]]} for run in mine.to_dict("records")],
            }
        )
    return sections


def paired_section(paired: pd.DataFrame, runs: pd.DataFrame) -> dict[str, Any]:
    """Differences between the models of one data set, a row a pair that learns from the same share of labels.

    Args:
        paired: its rows of the summary table.
        runs: likewise.
    """
    percent = dict(zip(runs["model"], runs["label_percent"], strict=True))
    alike = paired[paired["model_a"].map(percent) == paired["model_b"].map(percent)]
    metrics = {"accuracy": "Accuracy", "mAP": "mAP"}
    shown = [metric for metric in metrics if (alike["metric"] == metric).any()]
    pairs = []
    for (a, b), rows in alike.groupby(["model_a", "model_b"], sort=False):
        by_metric = rows.set_index("metric")
        values = [by_metric.loc[metric].to_dict() for metric in shown]
        pairs.append({"a": a, "b": b, "n_runs": int(rows["n_runs"].iloc[0]), "values": values})
    return {
        "metrics": [metrics[metric] for metric in shown],
        "pairs": pairs[:SHOWN],
        "label_percent": percent,
        "transductive": set(runs.loc[runs["test_clips"] == "transductive", "model"]),
        "more": max(len(pairs) - SHOWN, 0),
        "other_shares": len(alike) < len(paired),
        "n_recordings": span(alike["n_recordings"]) if pairs else "",
    }


def _part(rows: pd.DataFrame) -> dict[str, Any]:
    """One data set, as a range over the corpora that hold it."""
    first = rows.iloc[0]
    return {
        "dataset": first["dataset"],
        "weight": f"{first['weight']:g}",
        "hours": span(rows["hours"], "{:,.2f}"),
        **{name: span(rows[name]) for name in ("n_clips", "n_train", "n_val")},
        "left_out": ", ".join(
            f"{span(rows[column])} {reason}" for reason, column in EXCLUDED.items() if rows[column].any()
        ),
    }


def span(values: pd.Series, form: str = "{:,.0f}") -> str:
    """All values the same: that one; otherwise the smallest and the largest."""
    low, high = form.format(values.min()), form.format(values.max())
    return low if low == high else f"{low}–{high}"


def _held_out(text: str) -> str:
    """`esc10:1 esc10:2 field:1` in words: `esc10 folds 1–2, field fold 1`."""
    folds: dict[str, set[int]] = {}
    for pair in text.split():
        dataset, _, fold = pair.partition(":")
        folds.setdefault(dataset, set()).add(int(fold))
    return ", ".join(f"{name} {'folds' if len(each) > 1 else 'fold'} {_joined(each)}" for name, each in folds.items())


def _joined(numbers: Iterable[int]) -> str:
    """Numbers in order, neighbours joined: `1–3, 5`."""
    stretches: list[list[int]] = []
    for number in sorted(numbers):
        if stretches and number == stretches[-1][-1] + 1:
            stretches[-1].append(number)
        else:
            stretches.append([number])
    return ", ".join(str(each[0]) if len(each) == 1 else f"{each[0]}–{each[-1]}" for each in stretches)
