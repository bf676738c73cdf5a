"""The report: one page that holds every headline, table and figure, and needs nothing else to be shown."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import tymbal
from tymbal.config.data import GivenParts, Holdout, KFold, OfficialFolds, Split
from tymbal.evaluate.tables import read_table, rows_of
from tymbal.evaluate.targets import MEANING
from tymbal.files import write_text
from tymbal.folds import ALL
from tymbal.questions import kept_apart
from tymbal.report.catalog import FIGURES
from tymbal.report.data_sections import audit_section, ingest_section, texts
from tymbal.report.model_sections import paired_section, pretraining_sections, span, start_of
from tymbal.report.style import web_font

# What is told first: title, metric, and what it says. A metric that a task does not have is left out.
HEADLINES = {
    "mAP_macro": ("mAP", "macro: mean of the classes' average precision"),
    "accuracy": ("Accuracy", "the highest score is the right class"),
    "AUC_macro": ("ROC AUC", "macro: mean of the classes"),
    "dprime_of_mean_AUC": ("d′", "of the mean AUC"),
    "mAP_micro": ("mAP, micro", "all pairs of clip and class ranked together"),
}
PER_RUN = {
    "mAP_macro": "mAP",
    "mAP_micro": "mAP, micro",
    "AUC_macro": "AUC",
    "dprime_of_mean_AUC": "d′",
    "accuracy": "Accuracy",
    "precision_macro": "Precision",
    "recall_macro": "Recall",
}
PER_CLASS = {"AP": "AP", "AUC": "AUC", "dprime": "d′", "precision": "Precision", "recall": "Recall"}
PER_DATASET = ("metrics", "balance", "runs", "audit", "near_copies", "ingest", "quarantine", "paired")


@dataclass(frozen=True)
class PageFigure:
    """A figure to put into the page, and what it is about (see `tymbal.runs.PlannedFigure`)."""

    key: str
    subject: Mapping[str, str]
    path: Path


@dataclass(frozen=True)
class Spread:
    """A metric over runs: of those in which it is defined, mean, standard deviation (None for one run), number."""

    mean: float | None
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Summarise values, NaN where undefined."""
        defined = [value for value in values if not pd.isna(value)]
        sd = stdev(defined) if len(defined) > 1 else None
        return cls(mean(defined) if defined else None, sd, len(defined))


def write_page(summary: Path, figures: Sequence[PageFigure], splits: Mapping[str, Split], out: Path) -> None:
    """Write the report as one self-contained HTML file; the same inputs give the same bytes.

    Args:
        summary: folder of the summary tables.
        figures: SVG files, shown in this order.
        splits: the split of each data set, which says what its scores mean.
        out: the page.
    """
    tables = {name: read_table(summary / f"{name}.csv") for name in PER_DATASET}
    metrics, runs = tables["metrics"], tables["runs"]
    pretraining = read_table(summary / "pretraining.csv")
    pretrainings = pretraining_sections(pretraining, read_table(summary / "corpora.csv"), runs)
    for section in pretrainings:
        section["figures"] = _embed(figures, {"ssl": section["name"]})
    datasets: list[dict[str, Any]] = []
    for dataset, split in splits.items():
        mine = {name: rows_of(table, {"dataset": dataset}) for name, table in tables.items()}
        models = []
        for model in dict.fromkeys(mine["metrics"]["model"]):
            records = rows_of(mine["runs"], {"model": model}).sort_values(["fold", "seed"])
            models.append(
                {
                    "name": model,
                    **_results(rows_of(mine["metrics"], {"model": model})),
                    "origin": start_of(records),
                    "runs": records.to_dict("records"),
                    "figures": _embed(figures, {"dataset": dataset, "model": model}),
                }
            )
        datasets.append(
            {
                "name": dataset,
                "question": kept_apart(split.group),
                "scheme": _scheme(split),
                "parts": _parts(mine["balance"]),
                "group": split.group,
                "audit": audit_section(mine["audit"], mine["near_copies"], split.group),
                "ingest": ingest_section(mine["ingest"], mine["quarantine"]),
                "figures": _embed(figures, {"dataset": dataset}),
                "paired": paired_section(mine["paired"], mine["runs"]),
                "models": models,
            }
        )
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"decimals": _decimals, "thousands": _thousands, "duration": _duration, "signed": _signed}
    sections = [dataset[key] for dataset in datasets for key in ("audit", "ingest")]
    page = environment.get_template("report.html.j2").render(
        datasets=datasets,
        pretrainings=pretrainings,
        n_runs=len(runs),
        version=tymbal.__version__,
        per_class=PER_CLASS,
        font=web_font([*metrics["class"].unique(), *texts(sections)]),
    )
    write_text(out, page)


def _results(metrics: pd.DataFrame) -> dict[str, object]:
    """All that the page says of one model's scores on one data set."""
    overall = metrics[metrics["class"] == ""]
    by_metric = {str(name): rows for name, rows in overall.groupby("metric")}
    evaluable = by_metric["mAP_macro"]["n_classes"]
    classes = list(dict.fromkeys(metrics.loc[metrics["class"] != "", "class"]))
    return {
        "headlines": {
            title: {"spread": Spread.of(by_metric[metric]["value"]), "meaning": meaning}
            for metric, (title, meaning) in HEADLINES.items()
            if metric in by_metric
        },
        "evaluable": span(evaluable),
        "n_classes": len(classes),
        "n_runs": len(evaluable),
        "n_folds": overall["fold"].nunique(),
        "n_seeds": overall["seed"].nunique(),
        "n_clips": span(by_metric["mAP_macro"]["n_clips"]),
        "target_rule": metrics["target_rule"].iloc[0],
        "target_meaning": MEANING[metrics["target_rule"].iloc[0]],
        "threshold": metrics["threshold"].iloc[0],
        "per_run_columns": [title for metric, title in PER_RUN.items() if metric in by_metric],
        "per_run": [_run_row(rows) for _, rows in overall.groupby(["fold", "seed"])],
        "classes": [_class_row(name, metrics[metrics["class"] == name]) for name in classes],
    }


def _run_row(rows: pd.DataFrame) -> dict[str, object]:
    by_metric = rows.set_index("metric")
    return {
        "fold": rows["fold"].iloc[0],
        "seed": rows["seed"].iloc[0],
        "n_clips": by_metric.loc["mAP_macro", "n_clips"],
        "n_classes": by_metric.loc["mAP_macro", "n_classes"],
        "values": [
            (by_metric.loc[metric, "value"], by_metric.loc[metric, "n_classes"])
            for metric in PER_RUN
            if metric in by_metric.index
        ],
    }


def _class_row(name: str, rows: pd.DataFrame) -> dict[str, object]:
    by_metric = {metric: rows[rows["metric"] == metric] for metric in [*PER_CLASS, "prevalence"]}
    scored = by_metric["AP"]["value"].notna()
    return {
        "name": name,
        "n_pos": int(by_metric["AP"]["n_pos"].sum()),
        "note": "" if scored.any() else by_metric["AP"]["note"].iloc[0],
        "chance": Spread.of(by_metric["prevalence"]["value"]),
        "values": [Spread.of(by_metric[metric]["value"]) for metric in PER_CLASS],
    }


def _scheme(split: Split) -> str:
    match split:
        case Holdout():
            return (
                f"One split: {split.train:.0%} of the labelled clips train, {split.val:.0%} choose the epoch, "
                f"{split.test:.0%} test."
            )
        case GivenParts():
            return "The data set's own parts: it says of each clip whether it trains, chooses the epoch or tests."
        case KFold():
            folds = f"{split.n_folds} folds: every labelled clip is in the test part of exactly one."
        case OfficialFolds():
            folds = f"The data set's own {split.n_folds} folds, each the test part once."
    return f"{folds} Of the clips not tested, {split.val:.0%} choose the epoch and the rest train."


def _parts(balance: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Title, clips and groups of each part, as a range over folds."""
    sizes = balance[balance["class"] == ALL]
    titles = {"train": "Training", "val": "Validation", "test": "Test"}
    parts = ((title, sizes[sizes["part"] == part]) for part, title in titles.items())
    return [(title, span(rows["n_clips"]), span(rows["n_groups"])) for title, rows in parts]


def _embed(figures: Iterable[PageFigure], subject: Mapping[str, str]) -> list[dict[str, object]]:
    """Figures about a subject as data addresses. As images, as names inside one SVG recur in the next."""
    return [
        {
            "kind": FIGURES[figure.key],
            "data": "data:image/svg+xml;base64," + base64.b64encode(figure.path.read_bytes()).decode(),
        }
        for figure in figures
        if figure.subject == subject
    ]


def _decimals(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.{digits}f}".replace("-", "−")


def _signed(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:+.3f}".replace("-", "−")


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 60 else f"{minutes // 60:.0f} h {minutes % 60:02.0f} min"
