"""Figures and the report page. They read results/summary/ only, so they can be redrawn without any model.

`make figures` runs the rules of this file and no other.
"""

TEMPLATES = Path(workflow.basedir) / "workflow/scripts/tymbal/report/templates"
PLANNED_FIGURES = plan.figures(FIGURES)
SUMMARY = {
    "metrics": "results/summary/metrics.csv",
    "curves": "results/summary/curves.csv",
    "pr_curves": "results/summary/pr_curves.csv",
    "confusion": "results/summary/confusion.csv",
    "balance": "results/summary/balance.csv",
    "runs": "results/summary/runs.csv",
    "pretext_curves": "results/summary/pretext_curves.csv",
    "pretraining": "results/summary/pretraining.csv",
}
# Read by the page alone.
TOLD_SUMMARY = {
    "corpora": "results/summary/corpora.csv",
    "paired": "results/summary/paired.csv",
    "audit": "results/summary/audit.csv",
    "near_copies": "results/summary/near_copies.csv",
    "ingest": "results/summary/ingest.csv",
    "quarantine": "results/summary/quarantine.csv",
}


rule plot_model_figure:
    """One kind of figure for one model on one data set."""
    input:
        **SUMMARY,
        arrays="results/summary/examples/{dataset}/{model}.npz",
    output:
        figure=report(
            "results/figures/{dataset}/{model}/{figure}.svg",
            caption="../report/figure.rst",
            category="{dataset}",
            subcategory="{model}",
            labels={"figure": "{figure}"},
        ),
    log:
        "logs/plot_model_figure/{dataset}/{model}/{figure}.log",
    benchmark:
        "benchmarks/plot_model_figure/{dataset}/{model}/{figure}.jsonl"
    wildcard_constraints:
        figure="|".join(
            key for key, figure in FIGURES.items() if figure.scope == "model"
        ),
    resources:
        **asked("plot_model_figure"),
    params:
        caption=lambda wildcards: FIGURES[wildcards.figure].caption,
        code=code_digest("report.figures"),
    script:
        "../scripts/plot_figure.py"


rule plot_dataset_figure:
    """One kind of figure for a data set."""
    input:
        **SUMMARY,
    output:
        figure=report(
            "results/figures/{dataset}/{figure}.svg",
            caption="../report/figure.rst",
            category="{dataset}",
            subcategory="data",
            labels={"figure": "{figure}"},
        ),
    log:
        "logs/plot_dataset_figure/{dataset}/{figure}.log",
    benchmark:
        "benchmarks/plot_dataset_figure/{dataset}/{figure}.jsonl"
    wildcard_constraints:
        figure="|".join(
            key
            for key, figure in FIGURES.items()
            if figure.scope in ("dataset", "labels")
        ),
    resources:
        **asked("plot_dataset_figure"),
    params:
        caption=lambda wildcards: FIGURES[wildcards.figure].caption,
        code=code_digest("report.figures"),
    script:
        "../scripts/plot_figure.py"


rule plot_pretraining_figure:
    """One kind of figure for a pre-training."""
    input:
        **SUMMARY,
        arrays=lambda wildcards: plan.first_pretraining(wildcards.ssl).arrays,
    output:
        figure=report(
            "results/figures/pretraining/{ssl}/{figure}.svg",
            caption="../report/figure.rst",
            category="pre-training",
            subcategory="{ssl}",
            labels={"figure": "{figure}"},
        ),
    log:
        "logs/plot_pretraining_figure/{ssl}/{figure}.log",
    benchmark:
        "benchmarks/plot_pretraining_figure/{ssl}/{figure}.jsonl"
    wildcard_constraints:
        figure="|".join(
            key for key, figure in FIGURES.items() if figure.scope == "pretraining"
        ),
    resources:
        **asked("plot_pretraining_figure"),
    params:
        caption=lambda wildcards: FIGURES[wildcards.figure].caption,
        code=code_digest("report.figures"),
    script:
        "../scripts/plot_figure.py"


rule figures:
    """All figures."""
    input:
        [figure.path for figure in PLANNED_FIGURES],


rule write_report:
    """One self-contained page with every number and figure."""
    input:
        **SUMMARY,
        **TOLD_SUMMARY,
        figures=[figure.path for figure in PLANNED_FIGURES],
    output:
        page=report(
            "results/report/index.html",
            caption="../report/page.rst",
            category="report",
        ),
    log:
        "logs/write_report.log",
    benchmark:
        "benchmarks/write_report.jsonl"
    resources:
        **asked("write_report"),
    params:
        figures=[tuple(figure) for figure in PLANNED_FIGURES],
        splits={dataset: plan.split_settings(dataset) for dataset in plan.datasets},
        code=code_digest("report.page"),
        template=[sha256(path) for path in sorted(TEMPLATES.iterdir())],
    script:
        "../scripts/write_report.py"
