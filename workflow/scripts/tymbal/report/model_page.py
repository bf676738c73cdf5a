"""The page of one model on one data set: every number, figure and doubt, and nothing else needed to show it."""

from collections.abc import Sequence
from pathlib import Path

from tymbal.config import Config
from tymbal.evaluate.tables import read_table, rows_of
from tymbal.questions import kept_apart
from tymbal.report import results
from tymbal.report.comparison import start_of
from tymbal.report.disagreements import disagreements
from tymbal.report.document import Page, PageFigure, Shown
from tymbal.report.methods import write_methods
from tymbal.report.numbers import Estimates
from tymbal.report.provenance_section import provenance, settings

TABLES = ["metrics", "intervals", "slices", "thresholds", "disagreements", "runs", "planned", "balance", "ingest"]
TABLES += ["audit", "paired", "pretraining", "corpora"]  # these, planned, balance and ingest for the methods paragraph

# Which section of the page shows which figures; all others are shown with the classes.
PLACES = {
    "thresholds": "thresholds",
    "reliability": "calibration",
    "slices": "slices",
    "examples": "disagreements",
    "training-curves": "training",
}


def write_model_page(
    config: Config, summary: Path, dataset: str, model: str, figures: Sequence[PageFigure], errors: Path, out: Path
) -> None:
    """Write the page as one self-contained HTML file; the same inputs give the same bytes.

    Args:
        config: all settings.
        summary: folder of the summary tables.
        dataset: that it was scored on.
        model: told of.
        figures: SVG files of the model, shown in this order within their sections.
        errors: clips whose labels the model doubts most (NPZ).
        out: the page.
    """
    tables = {name: read_table(summary / f"{name}.csv") for name in TABLES}
    subject = {"dataset": dataset, "model": model}
    mine = {name: rows_of(table, subject) for name, table in tables.items() if {*subject} <= {*table.columns}}
    metrics, runs = mine["metrics"], mine["runs"].sort_values(["fold", "seed"])
    estimates = Estimates(mine["intervals"])
    page = Page(out)
    by_place: dict[str, list[Shown]] = {place: [] for place in ("classes", *PLACES.values())}
    for figure in page.figures(figures, subject):
        by_place[PLACES.get(figure.key, "classes")].append(figure)
    split = config.datasets[dataset].split
    assert split is not None, f"{dataset} has no labels"
    methods = write_methods(config, tables, dataset, model)
    doubts = disagreements(page, mine["disagreements"], errors)
    configuration = settings(config, dataset, model)
    told = [str(cell) for row in doubts["rows"] for cell in row.values()]
    page.write(
        "model.html.j2",
        [*metrics["class"].unique(), *mine["slices"]["level"].unique(), *told, methods.paragraph, configuration],
        dataset=dataset,
        model=model,
        question=kept_apart(split.group),
        group=config.evaluation.bootstrap.group,
        planned=mine["planned"].iloc[0].to_dict(),
        origin=start_of(runs),
        setting=results.setting(estimates, metrics),
        n_groups=estimates.n_groups,
        draws=estimates.draws,
        headlines=results.headlines(estimates, metrics),
        units=results.by_unit(estimates),
        classes=results.by_class(estimates, metrics),
        choose=config.evaluation.choose,
        single_label=config.datasets[dataset].task == "single-label",
        loss=config.models[model].train.loss,
        thresholds=results.by_threshold(estimates, metrics, mine["thresholds"]),
        method=config.evaluation.calibration,
        calibration=results.calibration(estimates),
        slices=results.slices(mine["slices"]),
        doubts=doubts,
        per_run=results.by_run(metrics),
        runs=runs.to_dict("records"),
        provenance=provenance(runs),
        configuration=configuration,
        methods=methods,
        figures=by_place,
    )
