"""The page over all experiments: overview, comparisons, data sheets, pre-trainings, and links to models' pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tymbal.config import Config
from tymbal.evaluate.tables import read_table, rows_of
from tymbal.report import results
from tymbal.report.comparison import label_curves, paired_section, start_of
from tymbal.report.data_sections import audit_section, ingest_section, split_section, texts
from tymbal.report.document import Page, PageFigure
from tymbal.report.methods import write_methods
from tymbal.report.numbers import Estimates
from tymbal.report.pretrainings import pretraining_sections

PER_DATASET = ["metrics", "intervals", "balance", "runs", "audit", "near_copies", "ingest", "quarantine", "paired"]
PER_DATASET += ["published", "planned"]


def write_index(config: Config, summary: Path, figures: Sequence[PageFigure], out: Path) -> None:
    """Write the page as one self-contained HTML file; the same inputs give the same bytes.

    Args:
        config: all settings.
        summary: folder of the summary tables.
        figures: SVG files of data sets and pre-trainings, shown in this order within their sections.
        out: the page; those of models are beside it.
    """
    tables = {name: read_table(summary / f"{name}.csv") for name in (*PER_DATASET, "pretraining", "corpora")}
    page = Page(out)
    planned = tables["planned"]
    done = planned.groupby("dataset", sort=False)["n_done"].transform("sum") > 0
    datasets = [_dataset(config, name, tables, figures, page) for name in planned.loc[done, "dataset"].unique()]
    pretrainings = pretraining_sections(tables["pretraining"], tables["corpora"], tables["runs"])
    for section in pretrainings:
        section["figures"] = page.figures(figures, {"ssl": section["name"]})
    sections = [dataset[key] for dataset in datasets for key in ("audit", "ingest")]
    models = [model for dataset in datasets for model in dataset["models"] if model["n_done"]]
    published = tables["published"]
    page.write(
        "index.html.j2",
        [
            *tables["metrics"]["class"].unique(),
            *texts(sections),
            *published["model"],
            *published["source"],
            *(model["methods"].paragraph for model in models),
        ],
        datasets=datasets,
        waiting=[_named(row) for row in planned[~done].to_dict("records")],  # on data sets without any result
        pretrainings=pretrainings,
        group=config.evaluation.bootstrap.group,
        draws=config.evaluation.bootstrap.draws,
        n_planned=int(planned["n_planned"].sum()),
        n_done=int(planned["n_done"].sum()),
        single_label=any(dataset["single_label"] for dataset in datasets),
    )


def _dataset(
    config: Config, name: str, tables: Mapping[str, pd.DataFrame], figures: Sequence[PageFigure], page: Page
) -> dict[str, Any]:
    """All that the page says of one data set and the models on it."""
    mine = {table: rows_of(tables[table], {"dataset": name}) for table in PER_DATASET}
    split = config.datasets[name].split
    assert split is not None, f"{name} has no labels"
    return {
        "name": name,
        "single_label": config.datasets[name].task == "single-label",
        **split_section(split, mine["balance"]),
        "audit": audit_section(mine["audit"], mine["near_copies"], split.group),
        "ingest": ingest_section(mine["ingest"], mine["quarantine"]),
        "figures": page.figures(figures, {"dataset": name}),
        "paired": paired_section(mine["paired"], mine["runs"]),
        "curves": label_curves(mine["runs"], mine["intervals"]),
        "published": mine["published"].to_dict("records"),
        "models": [_model(config, row, mine, tables) for row in mine["planned"].to_dict("records")],
    }


def _model(
    config: Config, planned: Mapping[Any, Any], mine: Mapping[str, pd.DataFrame], tables: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    """The line of the overview about one model: of one without results, only that it is planned.

    Args:
        config: all settings.
        planned: its row of the summary table.
        mine: the summary tables' rows about the data set.
        tables: whole, for the methods paragraph.
    """
    row = _named(planned)
    if not planned["n_done"]:
        return row
    metrics, intervals, runs = (
        rows_of(mine[table], {"model": planned["model"]}) for table in ("metrics", "intervals", "runs")
    )
    estimates = Estimates(intervals)
    return {
        **row,
        "origin": start_of(runs),
        "setting": results.setting(estimates, metrics),
        "estimates": estimates,
        "methods": write_methods(config, tables, planned["dataset"], planned["model"]),
    }


def _named(planned: Mapping[Any, Any]) -> dict[str, Any]:
    return {**planned, "name": planned["model"]}
