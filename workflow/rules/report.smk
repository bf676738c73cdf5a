"""Figures and pages. They read results/summary/ only, so they can be redrawn without any model.

`make figures` runs the rules of this file and no other.
"""

TEMPLATES = Path(workflow.basedir) / "workflow/scripts/tymbal/report/templates"
CITATION = Path(workflow.basedir) / "CITATION.cff"
PLANNED_FIGURES = plan.figures(FIGURES)
SUMMARY = {
    "metrics": "results/summary/metrics.csv",
    "intervals": "results/summary/intervals.csv",
    "slices": "results/summary/slices.csv",
    "thresholds": "results/summary/thresholds.csv",
    "reliability": "results/summary/reliability.csv",
    "dependence": "results/summary/dependence.csv",
    "curves": "results/summary/curves.csv",
    "pr_curves": "results/summary/pr_curves.csv",
    "confusion": "results/summary/confusion.csv",
    "balance": "results/summary/balance.csv",
    "runs": "results/summary/runs.csv",
    "pretext_curves": "results/summary/pretext_curves.csv",
    "pretraining": "results/summary/pretraining.csv",
}
# Read by pages alone.
TOLD_SUMMARY = {
    # What the results were made with. What pages tell of it are parameters: data that moved re-run nothing.
    "config": ancient("results/summary/config.yaml"),
    "planned": "results/summary/planned.csv",
    "published": "results/summary/published.csv",
    "disagreements": "results/summary/disagreements.csv",
    "corpora": "results/summary/corpora.csv",
    "paired": "results/summary/paired.csv",
    "audit": "results/summary/audit.csv",
    "near_copies": "results/summary/near_copies.csv",
    "ingest": "results/summary/ingest.csv",
    "quarantine": "results/summary/quarantine.csv",
}
MODEL_FIGURES = {
    (dataset, model): [
        figure
        for figure in PLANNED_FIGURES
        if figure.subject == {"dataset": dataset, "model": model}
    ]
    for dataset, model in plan.pairs
}
OVERALL_FIGURES = [
    figure for figure in PLANNED_FIGURES if FIGURES[figure.key].scope != "model"
]
# What pages tell of the settings, and files that are neither code nor results. Where data are is not told.
TOLD_SETTINGS = plan.config.model_dump(
    mode="json",
    exclude={
        "data_root",
        "roots",
        "mirror",
        "path_map",
        "allow_cpu",
        "stage",
        *OF_PREDICTION,
    },
)
TOLD_FILES = [sha256(path) for path in (*sorted(TEMPLATES.iterdir()), CITATION)]


rule plot_model_figure:
    """One kind of figure for one model on one data set."""
    input:
        tables=tables_drawn,
        arrays=lambda wildcards: clips_drawn(
            wildcards,
            f"results/summary/examples/{wildcards.dataset}/{wildcards.model}.npz",
        ),
    output:
        figure=report(
            "results/figures/{dataset}/{model}/{figure}.svg",
            caption="../report/figure.rst",
            category="{dataset}",
            subcategory="{model}",
            labels={"figure": "{figure}"},
        ),
        pdf="results/figures/{dataset}/{model}/{figure}.pdf",
        table="results/figures/{dataset}/{model}/{figure}.csv",
    log:
        "logs/plot_model_figure/{dataset}/{model}/{figure}.log",
    benchmark:
        "benchmarks/plot_model_figure/{dataset}/{model}/{figure}.jsonl"
    wildcard_constraints:
        dataset=DATASETS,
        figure="|".join(
            key for key, figure in FIGURES.items() if figure.scope == "model"
        ),
    resources:
        **asked("plot_model_figure"),
    params:
        summary="results/summary",
        caption=lambda wildcards: FIGURES[wildcards.figure].caption,
        code=code_digest("report.figures"),
    message:
        "Draw {wildcards.figure} of {wildcards.model} on {wildcards.dataset}"
    script:
        "../scripts/plot_figure.py"


rule plot_dataset_figure:
    """One kind of figure for a data set."""
    input:
        tables=tables_drawn,
    output:
        figure=report(
            "results/figures/{dataset}/{figure}.svg",
            caption="../report/figure.rst",
            category="{dataset}",
            subcategory="data",
            labels={"figure": "{figure}"},
        ),
        pdf="results/figures/{dataset}/{figure}.pdf",
        table="results/figures/{dataset}/{figure}.csv",
    log:
        "logs/plot_dataset_figure/{dataset}/{figure}.log",
    benchmark:
        "benchmarks/plot_dataset_figure/{dataset}/{figure}.jsonl"
    wildcard_constraints:
        dataset=DATASETS,
        figure="|".join(
            key
            for key, figure in FIGURES.items()
            if figure.scope in ("dataset", "labels")
        ),
    resources:
        **asked("plot_dataset_figure"),
    params:
        summary="results/summary",
        caption=lambda wildcards: FIGURES[wildcards.figure].caption,
        code=code_digest("report.figures"),
    message:
        "Draw {wildcards.figure} of {wildcards.dataset}"
    script:
        "../scripts/plot_figure.py"


rule plot_pretraining_figure:
    """One kind of figure for a pre-training."""
    input:
        tables=tables_drawn,
        arrays=lambda wildcards: clips_drawn(
            wildcards, plan.first_pretraining(wildcards.ssl).arrays
        ),
    output:
        figure=report(
            "results/figures/pretraining/{ssl}/{figure}.svg",
            caption="../report/figure.rst",
            category="pre-training",
            subcategory="{ssl}",
            labels={"figure": "{figure}"},
        ),
        pdf="results/figures/pretraining/{ssl}/{figure}.pdf",
        table="results/figures/pretraining/{ssl}/{figure}.csv",
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
        summary="results/summary",
        caption=lambda wildcards: FIGURES[wildcards.figure].caption,
        code=code_digest("report.figures"),
    message:
        "Draw {wildcards.figure} of pre-training {wildcards.ssl}"
    script:
        "../scripts/plot_figure.py"


rule figures:
    """All figures, each as SVG, as PDF and as a table of what is drawn."""
    input:
        [
            str(Path(figure.path).with_suffix(suffix))
            for figure in PLANNED_FIGURES
            for suffix in (".svg", ".pdf", ".csv")
        ],
    message:
        "All figures planned"


rule write_report:
    """One self-contained page over all experiments."""
    input:
        **SUMMARY,
        **TOLD_SUMMARY,
        figures=[figure.path for figure in OVERALL_FIGURES],
    output:
        page=report(
            "results/report/index.html",
            caption="../report/page.rst",
            category="report",
            labels={"data set": "all", "model": "all"},
        ),
    log:
        "logs/write_report.log",
    benchmark:
        "benchmarks/write_report.jsonl"
    resources:
        **asked("write_report"),
    params:
        figures=[tuple(figure) for figure in OVERALL_FIGURES],
        settings=TOLD_SETTINGS,
        files=TOLD_FILES,
        code=code_digest("report.index_page"),
    message:
        "Write the page over all experiments"
    script:
        "../scripts/write_report.py"


rule write_model_report:
    """One self-contained page about a model on a data set."""
    input:
        **SUMMARY,
        **TOLD_SUMMARY,
        errors="results/summary/errors/{dataset}/{model}.npz",
        figures=lambda wildcards: [
            figure.path for figure in MODEL_FIGURES[wildcards.dataset, wildcards.model]
        ],
    output:
        page=report(
            "results/report/{dataset}--{model}.html",
            caption="../report/model_page.rst",
            category="report",
            labels={"data set": "{dataset}", "model": "{model}"},
        ),
    log:
        "logs/write_model_report/{dataset}/{model}.log",
    benchmark:
        "benchmarks/write_model_report/{dataset}/{model}.jsonl"
    wildcard_constraints:
        dataset=DATASETS,
    resources:
        **asked("write_model_report"),
    params:
        figures=lambda wildcards: [
            tuple(figure)
            for figure in MODEL_FIGURES[wildcards.dataset, wildcards.model]
        ],
        settings=TOLD_SETTINGS,
        files=TOLD_FILES,
        code=code_digest("report.model_page"),
    message:
        "Write the page of {wildcards.model} on {wildcards.dataset}"
    script:
        "../scripts/write_model_report.py"


rule pages:
    """All pages: the one over all experiments, and one an experiment."""
    input:
        "results/report/index.html",
        [f"results/report/{dataset}--{model}.html" for dataset, model in plan.pairs],
    message:
        "All pages planned"
