"""What a page says of pre-trainings: task, corpora with what was left out of them, and what starts from each."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from tymbal.evaluate.tables import rows_of
from tymbal.pretrain.summary import EXCLUDED
from tymbal.report.numbers import span

OBJECTIVES = {
    "joint": "tell the masked patches of a clip apart (InfoNCE) and reconstruct them (MSE)",
    "discriminative": "tell the masked patches of a clip apart (InfoNCE)",
    "generative": "reconstruct the masked patches (MSE)",
    "stage1": "predict what a teacher, a moving average of the encoder that is shown whole clips, makes of the masked "
    "patches, and from the class token what it makes of the clip",
    "stage2": "predict what a teacher, a moving average of the encoder that is shown whole clips, makes of the masked "
    "patches, and from the class token what it makes of the clip, both of clips and of partial mixtures of two clips, "
    "and of mixtures also what it makes of each of the two",
}
KEPT = {"val_loss": "that with the smallest loss on held-out recordings", "round": "the last"}

# Columns of the check that was kept.
MEASURES = {
    "val_accuracy": "Told apart",
    "val_nce": "InfoNCE",
    "val_mse": "MSE",
    "val_global": "Class token",
    "val_local": "Patches",
    "val_global_unmixed": "Class token, clips",
    "val_local_unmixed": "Patches, clips",
    "val_global_mixed": "Class token, mixtures",
    "val_local_mixed": "Patches, mixtures",
    "val_local_retention": "Retention",
    "val_global_retention": "Retention, class token",
    "val_prediction_std": "Spread of predictions",
}


def pretraining_sections(pretraining: pd.DataFrame, corpora: pd.DataFrame, runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Each pre-training with its corpora and what starts from it.

    Args:
        pretraining: summary table.
        corpora: likewise.
        runs: likewise.
    """
    sections, unknown = [], pd.Series()
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
                "measures": {title: name for name, title in MEASURES.items() if mine.get(name, unknown).notna().any()},
                "kept": KEPT[mine["kept_by"].iloc[0]],
                "runs": [{**run, "left_out": left_out[run["corpus"]]} for run in mine.to_dict("records")],
            }
        )
    return sections


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
