"""Long tables over all runs: all that figures and the report read of them.

Columns are described where each table is made, and in results/README.md for users.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tymbal.config import Evaluation
from tymbal.evaluate.draws import check_samples, read_sample
from tymbal.evaluate.intervals import combine
from tymbal.evaluate.pooled import CONFUSION as POOLED_CONFUSION
from tymbal.evaluate.pooled import PR_CURVES as POOLED_PR_CURVES
from tymbal.evaluate.pooled import pooled_tables
from tymbal.evaluate.starts import known_of_test_clips, start_columns
from tymbal.evaluate.tables import read_table, rows_of
from tymbal.files import read_json
from tymbal.finished import check_current
from tymbal.runs import THRESHOLDS as CHOSEN
from tymbal.runs import Run

MODEL = ["dataset", "model"]
RUN = [*MODEL, "fold", "seed"]
FIGURE = ["value", "low", "high", "draws"]
METRICS = [*RUN, "part", "target_rule", "threshold", "metric", "class", "thresholds", "unit", *FIGURE]
METRICS += ["n_pos", "n_clips", "n_groups", "n_classes", "note"]
INTERVALS = [*MODEL, "metric", "class", "thresholds", "unit", "n_runs", "n_folds", "n_seeds", "n_groups", *FIGURE]
SLICES = [*MODEL, "slice", "level", "metric", *FIGURE, "n_runs", "n_clips", "n_pos", "n_groups", "n_classes"]
THRESHOLDS = [*RUN, "class", "threshold", "low", "high", "own", "overall", "n_pos", "f1", "precision", "recall"]
RELIABILITY = [*MODEL, "stage", "bin", "least_score", "mean_score", "most_score", "share_positive", "n", "low", "high"]
DEPENDENCE = [*MODEL, "class_a", "class_b", "n_both", "expected_both", "error_correlation"]
PUBLISHED = [*MODEL, "metric", "value", "source"]
PLANNED = [*MODEL, "n_planned", "n_done"]
PR_CURVES = [*MODEL, *POOLED_PR_CURVES]
CONFUSION = [*MODEL, *POOLED_CONFUSION]
RUNS = [*RUN, "best_epoch", "epochs", "n_train", "n_val", "n_test", "parameters", "device", "precision"]
RUNS += ["peak_memory_mb", "minutes", "gpu_kwh", "cpu_kwh", "label_percent", "family", "init", "start", "test_clips"]
RUNS += [
    "started",
    "ended",
    "code",
    "tymbal",
    "commit",
    "dirty",
    "torch",
    "python",
    "machine",
    "container",
    "slurm_job",
    "settings",
]
INGEST = ["dataset", "kind", "what", "told"]
PER_DATASET = {
    "balance": "folds_balance.csv",
    "audit": "audit.csv",
    "near_copies": "near_copies.csv",
    "quarantine": "quarantine.csv",
}
PER_MODEL = {
    "intervals": INTERVALS,
    "slices": SLICES,
    "pr_curves": PR_CURVES,
    "confusion": CONFUSION,
    "reliability": RELIABILITY,
    "dependence": DEPENDENCE,
}


def collect(
    runs: Sequence[tuple[Run, Path]],
    datasets: Mapping[str, Path],
    families: Mapping[str, str],
    evaluation: Evaluation,
) -> dict[str, pd.DataFrame]:
    """Read every run's and every data set's folder once and make the summary tables.

    Args:
        runs: each run and its folder, with what training, calibration and evaluation leave there.
        datasets: data set -> its folder, with the tables of PER_DATASET and ingest.json.
        families: model -> the name shared by those that differ from it in nothing but the share of labels.
        evaluation: settings, which all results must be made with.

    Returns:
        `metrics, curves, runs, thresholds`, a row or several a run; the tables of PER_MODEL, means over runs or test
        clips of all runs together; the tables of PER_DATASET and `ingest`: what `results/summary/<name>.csv` holds.

    Raises:
        InputError: results are of other settings or other files than there are now; or runs of a fold were scored on
            different clips, or drawn otherwise.
    """
    results = {run: read_json(folder / "metrics.json") for run, folder in runs}
    check_current(runs, results, datasets, evaluation)
    samples = {run: read_sample(folder / "draws.npz") for run, folder in runs}
    check_samples(samples)
    rows = (row for run, result in results.items() for row in _metric_rows(run, result))
    figures = pd.DataFrame(rows, columns=[*METRICS, "slice", "level"])

    per_model: dict[str, list[pd.DataFrame]] = {name: [] for name in PER_MODEL}
    for dataset, model in dict.fromkeys((run.dataset, run.model) for run, _ in runs):
        mine = [(run, folder) for run, folder in runs if (run.dataset, run.model) == (dataset, model)]
        result = results[mine[0][0]]  # the kind of labels is the same for all runs
        told = {"dataset": dataset, "model": model}
        means = combine(rows_of(figures, told), [folder / "draws.npz" for _, folder in mine])
        tables = {"intervals": means[means["slice"] == ""], "slices": means[means["slice"] != ""]}
        tables |= pooled_tables(
            [(run, folder, samples[run]) for run, folder in mine],
            evaluation.target_rule,
            evaluation.threshold,
            any(row["metric"] == "accuracy" for row in result["rows"]),
        )
        for name, table in tables.items():
            per_model[name].append(_labelled(table, **told)[PER_MODEL[name]])

    records = [
        {**_record(run, folder), "n_test": results[run]["n_clips"], "family": families[run.model]}
        for run, folder in runs
    ]
    thresholds = (row for run, folder in runs for row in _threshold_rows(run, folder / CHOSEN))
    per_dataset = {
        name: [_labelled(read_table(folder / file), dataset=dataset) for dataset, folder in datasets.items()]
        for name, file in PER_DATASET.items()
    }
    ingest = [(dataset, *row) for dataset, folder in datasets.items() for row in _ingest_rows(folder / "ingest.json")]
    curves = [_labelled(read_table(folder / "history.csv"), **run._asdict()) for run, folder in runs]
    return {
        "metrics": figures.loc[figures["slice"] == "", METRICS].reset_index(drop=True),
        "curves": pd.concat(curves, ignore_index=True),
        "runs": pd.DataFrame(records, columns=RUNS).astype({"gpu_kwh": float, "cpu_kwh": float}),
        "thresholds": pd.DataFrame(thresholds, columns=THRESHOLDS),
        **{name: pd.concat(tables, ignore_index=True) for name, tables in (per_model | per_dataset).items()},
        "ingest": pd.DataFrame(ingest, columns=INGEST),
    }


def planned_runs(planned: Sequence[Run], done: Sequence[Run]) -> pd.DataFrame:
    """How many runs of each model on each data set are planned, and how many of them the other tables are made of."""
    table = pd.DataFrame([(run.dataset, run.model, run in done) for run in planned], columns=[*MODEL, "done"])
    found = table.groupby(MODEL, sort=False)["done"].agg(n_planned="size", n_done="sum")
    return found.reset_index()[PLANNED]


def published(references: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """What others have published on the data sets: figures to hold ours against, made in other ways.

    Args:
        references: data set -> `model, metric, value, source` of each.
    """
    rows = [{"dataset": dataset, **row} for dataset, told in references.items() for row in told]
    return pd.DataFrame(rows, columns=PUBLISHED)


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
    shared = {"part": result["part"], **{key: result["evaluation"][key] for key in ("target_rule", "threshold")}}
    return ({**run._asdict(), **shared, **row} for row in result["rows"])


def _threshold_rows(run: Run, path: Path) -> Iterable[dict[str, Any]]:
    return ({**run._asdict(), "class": name, **told} for name, told in read_json(path).items())


def _record(run: Run, folder: Path) -> dict[str, Any]:
    """What `run.json` says of a run, in one row."""
    record = read_json(folder / "run.json")
    made_in: dict[str, Any] = {key: "" if told is None else told for key, told in record["environment"].items()}
    return {
        **record,
        **record["energy"],
        **made_in,
        **run._asdict(),
        **start_columns(record["model"]["init"]),
        "dirty": None if made_in["dirty"] == "" else int(made_in["dirty"]),
        "torch": made_in["packages"]["torch"],
        "parameters": record["parameters"]["total"],
        "label_percent": record["model"]["train"]["label_percent"],
        "settings": json.dumps(record["model"]),
        "test_clips": known_of_test_clips(record["init"], run.dataset, run.fold),
    }
