"""Long tables over all runs: all that figures and the report read of them.

`collect` makes ten tables from the files in the folders of runs and data sets; `pick_examples` a few test clips with
their features. Columns are described where each table is made, and in results/README.md for users.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve

from tymbal.evaluate.predictions import Predictions, pool, read_predictions
from tymbal.evaluate.starts import known_of_test_clips, start_columns
from tymbal.evaluate.tables import read_table
from tymbal.evaluate.targets import binarise
from tymbal.files import atomic, read_json
from tymbal.runs import Run

CURVE_STEPS = 400  # a pooled precision-recall curve keeps one point per 1/400 of recall
N_EXAMPLES = 6

RUN = ["dataset", "model", "fold", "seed"]
METRICS = [
    *RUN,
    "part",
    "target_rule",
    "threshold",
    "metric",
    "class",
    "value",
    "n_pos",
    "n_clips",
    "n_classes",
    "note",
]
PR_CURVES = ["dataset", "model", "class", "recall", "precision", "n_pos", "n_clips", "prevalence"]
CONFUSION = ["dataset", "model", "kind", "true_class", "predicted_class", "n", "share"]
RUNS = [*RUN, "best_epoch", "epochs", "n_train", "n_val", "n_test", "parameters", "device", "precision"]
RUNS += ["peak_memory_mb", "minutes", "label_percent", "family", "init", "start", "test_clips"]
INGEST = ["dataset", "kind", "what", "told"]
PER_DATASET = {
    "balance": "folds_balance.csv",
    "audit": "audit.csv",
    "near_copies": "near_copies.csv",
    "quarantine": "quarantine.csv",
}


def collect(
    runs: Sequence[tuple[Run, Path]], datasets: Mapping[str, Path], families: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """Read every run's and every data set's folder once and make the summary tables.

    Args:
        runs: each run and its folder, with metrics.json, predictions.csv, history.csv and run.json.
        datasets: data set -> its folder, with the tables of PER_DATASET and ingest.json.
        families: model -> the name shared by those that differ from it in nothing but the share of labels.

    Returns:
        `metrics, curves, pr_curves, confusion, runs, balance, audit, near_copies, quarantine, ingest`: what
        `results/summary/<name>.csv` holds.
    """
    results = [(run, read_json(folder / "metrics.json")) for run, folder in runs]
    metrics = [row for run, result in results for row in _metric_rows(run, result)]
    curves = [_labelled(read_table(folder / "history.csv"), **run._asdict()) for run, folder in runs]
    records = [
        {**_record(run, folder), "n_test": result["n_clips"], "family": families[run.model]}
        for (run, folder), (_, result) in zip(runs, results, strict=True)
    ]
    pr_curves, confusion = [], []
    for dataset, model in dict.fromkeys((run.dataset, run.model) for run, _ in runs):
        mine = [i for i, (run, _) in enumerate(runs) if (run.dataset, run.model) == (dataset, model)]
        pooled = pool([read_predictions(runs[i][1] / "predictions.csv") for i in mine])
        result = results[mine[0]][1]  # rule and threshold are the same for all runs
        pr_curves += [(dataset, model, *row) for row in _pr_curves(pooled, result)]
        confusion += [(dataset, model, *row) for row in _confusion(pooled, result)]
    per_dataset = {
        name: [_labelled(read_table(folder / file), dataset=dataset) for dataset, folder in datasets.items()]
        for name, file in PER_DATASET.items()
    }
    ingest = [(dataset, *row) for dataset, folder in datasets.items() for row in _ingest_rows(folder / "ingest.json")]
    return {
        "metrics": pd.DataFrame(metrics, columns=METRICS),
        "curves": pd.concat(curves, ignore_index=True),
        "pr_curves": pd.DataFrame(pr_curves, columns=PR_CURVES),
        "confusion": pd.DataFrame(confusion, columns=CONFUSION),
        "runs": pd.DataFrame(records, columns=RUNS),
        **{name: pd.concat(tables, ignore_index=True) for name, tables in per_dataset.items()},
        "ingest": pd.DataFrame(ingest, columns=INGEST),
    }


def pick_examples(predictions: Path, frames: Callable[[str], np.ndarray], frame_shift_s: float, out: Path) -> None:
    """Keep six test clips with their features, evenly spread from the best to the worst predicted.

    Args:
        predictions: of one run.
        frames: features of a clip, [T, F] float16, such as `FeatureStore.frames`.
        frame_shift_s: time from frame to frame.
        out: NPZ to write: `fbank` [K, T, F] float16 (zeros after a clip's end), `n_frames` [K], `clip_id` [K],
            `score` [K, C], `label` [K, C], `classes` [C], `frame_shift_s`.
    """
    clips = read_predictions(predictions)
    p = np.clip(clips.scores.astype(np.float64), 1e-7, 1 - 1e-7)
    loss = -(clips.labels * np.log(p) + (1 - clips.labels) * np.log(1 - p)).mean(axis=1)  # [N]
    ranked = sorted(range(len(loss)), key=lambda i: (loss[i], clips.clip_ids[i]))
    chosen = [ranked[i] for i in np.unique(np.linspace(0, len(ranked) - 1, N_EXAMPLES).round().astype(int))]

    features = [frames(clips.clip_ids[i]) for i in chosen]
    lengths = [len(x) for x in features]
    fbank = np.zeros((len(chosen), max(lengths), features[0].shape[1]), dtype=np.float16)
    for row, x in zip(fbank, features, strict=True):
        row[: len(x)] = x
    with atomic(out) as partial:
        np.savez_compressed(
            partial,
            fbank=fbank,
            n_frames=np.array(lengths),
            clip_id=np.array([clips.clip_ids[i] for i in chosen]),
            score=clips.scores[chosen],
            label=clips.labels[chosen],
            classes=np.array(clips.classes),
            frame_shift_s=np.float64(frame_shift_s),
        )


def _labelled(table: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """The table with constant columns put in front."""
    return pd.concat([pd.DataFrame(columns, index=table.index), table], axis=1)


def _ingest_rows(path: Path) -> Iterable[tuple[str, str, str]]:
    """What was found when the data were taken in: kind (count, fact, warning or quarantined), what and how much."""
    found = read_json(path)
    yield from (("count", what, str(told)) for what, told in found.items() if isinstance(told, int | float))
    yield from (("fact", what, str(told)) for what, told in found["facts"].items())
    yield from (("warning", "", warning) for warning in found["warnings"])
    yield from (("quarantined", what, str(told)) for what, told in found["quarantined_by_kind"].items())


def _metric_rows(run: Run, result: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    shared = {key: result[key] for key in ("part", "target_rule", "threshold", "n_clips")}
    return ({**run._asdict(), **shared, **row} for row in result["rows"])


def _record(run: Run, folder: Path) -> dict[str, Any]:
    """What `run.json` says of a run, in one row."""
    record = read_json(folder / "run.json")
    return {
        **record,
        **run._asdict(),
        **start_columns(record["model"]["init"]),
        "parameters": record["parameters"]["total"],
        "label_percent": record["model"]["train"]["label_percent"],
        "test_clips": known_of_test_clips(record["init"], run.dataset, run.fold),
    }


def _pr_curves(pooled: Predictions, result: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    """The points that average precision sums over, by falling recall, of each class that has positives."""
    targets, keep = binarise(pooled.labels, result["target_rule"])
    for c, name in enumerate(pooled.classes):
        truth, score = targets[keep[:, c], c], pooled.scores[keep[:, c], c]
        if not truth.any():
            continue
        precision, recall, _ = precision_recall_curve(truth, score)
        counted = np.diff(recall) < 0  # the highest threshold of each recall; not the end (0, 1), which none gives
        precision, recall = precision[:-1][counted], recall[:-1][counted]
        _, first = np.unique(np.floor(-recall * CURVE_STEPS), return_index=True)
        n_pos, n_clips = int(truth.sum()), len(truth)
        for i in first:
            yield name, recall[i], precision[i], n_pos, n_clips, n_pos / n_clips


def _confusion(pooled: Predictions, result: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    """Clips of each true class by predicted class, and their share of the true class.

    With single labels the predicted class is the one with the highest score (`confusion`). Otherwise it is every
    class whose score reaches the threshold (`cooccurrence`), so that a row can sum to more than one.
    """
    n_classes = len(pooled.classes)
    if any(row["metric"] == "accuracy" for row in result["rows"]):
        kind = "confusion"
        truth = np.eye(n_classes, dtype=np.int64)[pooled.labels.argmax(axis=1)]
        predicted = np.eye(n_classes, dtype=np.int64)[pooled.scores.argmax(axis=1)]
    else:
        kind = "cooccurrence"
        truth = binarise(pooled.labels, result["target_rule"])[0].astype(np.int64)
        predicted = (pooled.scores >= result["threshold"]).astype(np.int64)
    counts = truth.T @ predicted  # [C, C]
    support = truth.sum(axis=0)
    for i, true_class in enumerate(pooled.classes):
        for j, predicted_class in enumerate(pooled.classes):
            share = counts[i, j] / support[i] if support[i] else None
            yield kind, true_class, predicted_class, int(counts[i, j]), share
