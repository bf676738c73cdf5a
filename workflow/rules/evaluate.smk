"""From trained models to predictions and metrics on test clips, and the summary tables that figures read.

Makes thresholds.json, calibration.json, predictions.csv, metrics.json and draws.npz in each run's folder, and
results/summary/.
"""

PLANNED_CORPORA = sorted({run.corpus for run in plan.pretrains})


rule calibrate:
    """Thresholds and calibration of a model, from the validation clips of its fold."""
    input:
        model=f"{RUN}/model.safetensors",
        card=f"{RUN}/model.json",
        manifest="results/{dataset}/manifest.csv",
        folds="results/{dataset}/folds.csv",
        store=lambda wildcards: plan.store(wildcards.dataset, wildcards.model),
    output:
        predictions=f"{RUN}/predictions_val.csv",
        thresholds=f"{RUN}/thresholds.json",
        calibration=f"{RUN}/calibration.json",
    log:
        "logs/calibrate/{dataset}/{model}/fold{fold}/seed{seed}.log",
    benchmark:
        "benchmarks/calibrate/{dataset}/{model}/fold{fold}/seed{seed}.jsonl"
    threads: 4
    resources:
        **asked("calibrate"),
    params:
        evaluation=plan.config.evaluation.model_dump(
            mode="json", include={"target_rule", "choose", "calibration", "bootstrap"}
        ),
        code=code_digest("evaluate.validation"),
    message:
        "Thresholds and calibration of {wildcards.model} on {wildcards.dataset}, fold {wildcards.fold}, seed {wildcards.seed}"
    script:
        "../scripts/calibrate.py"


rule evaluate:
    """Scores of every test clip of the fold, and the metrics made from them, thresholds and calibration as they are."""
    input:
        model=f"{RUN}/model.safetensors",
        card=f"{RUN}/model.json",
        manifest="results/{dataset}/manifest.csv",
        folds="results/{dataset}/folds.csv",
        store=lambda wildcards: plan.store(wildcards.dataset, wildcards.model),
        thresholds=f"{RUN}/thresholds.json",
        calibration=f"{RUN}/calibration.json",
        record=f"{RUN}/run.json",
    output:
        predictions=f"{RUN}/predictions.csv",
        metrics=f"{RUN}/metrics.json",
        draws=f"{RUN}/draws.npz",
    log:
        "logs/evaluate/{dataset}/{model}/fold{fold}/seed{seed}.log",
    benchmark:
        "benchmarks/evaluate/{dataset}/{model}/fold{fold}/seed{seed}.jsonl"
    threads: 4
    resources:
        **asked("evaluate"),
    params:
        # Whole: what the inputs were made with is written down beside the results.
        evaluation=plan.config.evaluation.model_dump(mode="json"),
        single_label=lambda wildcards: plan.single_label(wildcards.dataset),
        label_percent=lambda wildcards: plan.config.models[
            wildcards.model
        ].train.label_percent,
        code=code_digest("evaluate.scoring"),
    message:
        "Evaluate {wildcards.model} on {wildcards.dataset}, fold {wildcards.fold}, seed {wildcards.seed}"
    script:
        "../scripts/evaluate.py"


rule collect_summary:
    """Long tables over all runs: all that figures and the report read."""
    input:
        metrics=[f"{run.folder}/metrics.json" for run in plan.runs],
        predictions=[f"{run.folder}/predictions.csv" for run in plan.runs],
        draws=[f"{run.folder}/draws.npz" for run in plan.runs],
        thresholds=[f"{run.folder}/thresholds.json" for run in plan.runs],
        calibrations=[f"{run.folder}/calibration.json" for run in plan.runs],
        histories=[f"{run.folder}/history.csv" for run in plan.runs],
        runs=[f"{run.folder}/run.json" for run in plan.runs],
        errors=[
            f"results/summary/errors/{dataset}/{model}.csv"
            for dataset, model in plan.pairs
        ],
        datasets=collect(
            "results/{dataset}/{file}",
            dataset=plan.datasets,
            file=(
                "folds_balance.csv",
                "audit.csv",
                "near_copies.csv",
                "ingest.json",
                "quarantine.csv",
            ),
        ),
        corpora=[f"results/pretrain/{corpus}/corpus.json" for corpus in PLANNED_CORPORA],
        pretrain_histories=[f"{run.folder}/history.csv" for run in plan.pretrains],
        pretrain_runs=[f"{run.folder}/run.json" for run in plan.pretrains],
    output:
        metrics="results/summary/metrics.csv",
        intervals="results/summary/intervals.csv",
        slices="results/summary/slices.csv",
        thresholds="results/summary/thresholds.csv",
        reliability="results/summary/reliability.csv",
        dependence="results/summary/dependence.csv",
        disagreements="results/summary/disagreements.csv",
        published="results/summary/published.csv",
        planned="results/summary/planned.csv",
        curves="results/summary/curves.csv",
        pr_curves="results/summary/pr_curves.csv",
        confusion="results/summary/confusion.csv",
        balance="results/summary/balance.csv",
        runs="results/summary/runs.csv",
        audit="results/summary/audit.csv",
        near_copies="results/summary/near_copies.csv",
        ingest="results/summary/ingest.csv",
        quarantine="results/summary/quarantine.csv",
        pretraining="results/summary/pretraining.csv",
        pretext_curves="results/summary/pretext_curves.csv",
        corpora="results/summary/corpora.csv",
    log:
        "logs/collect_summary.log",
    benchmark:
        "benchmarks/collect_summary.jsonl"
    resources:
        **asked("collect_summary"),
    params:
        planned=[tuple(run) for run in plan.planned],
        runs=[tuple(run) for run in plan.runs],
        published=plan.published,
        datasets=plan.datasets,
        families=plan.families,
        evaluation=plan.config.evaluation.model_dump(mode="json"),
        pretrains=[tuple(run) for run in plan.pretrains],
        corpora=PLANNED_CORPORA,
        code=code_digest("evaluate.summary", "pretrain.summary"),
    message:
        "Collect the results of all runs"
    script:
        "../scripts/collect_summary.py"


rule compare_models:
    """Differences between every two models of a data set on the same test clips, with intervals."""
    input:
        draws=[f"{run.folder}/draws.npz" for run in plan.runs],
    output:
        paired="results/summary/paired.csv",
    log:
        "logs/compare_models.log",
    benchmark:
        "benchmarks/compare_models.jsonl"
    resources:
        **asked("compare_models"),
    params:
        runs=[tuple(run) for run in plan.runs],
        code=code_digest("evaluate.paired"),
    message:
        "Compare every two models"
    script:
        "../scripts/compare_models.py"


rule write_comparison:
    """The models of each data set side by side, as a table to read: ours, their differences, and published figures."""
    input:
        **{
            name: f"results/summary/{name}.csv"
            for name in ("metrics", "intervals", "paired", "planned", "published")
        },
    output:
        comparison="results/summary/comparison.md",
    log:
        "logs/write_comparison.log",
    benchmark:
        "benchmarks/write_comparison.jsonl"
    resources:
        **asked("write_comparison"),
    params:
        code=code_digest("report.comparison_table"),
    message:
        "Write the comparison of models"
    script:
        "../scripts/write_comparison.py"


rule pick_examples:
    """Spectrograms of a few test clips, from the best to the worst predicted, of the first run of a model."""
    input:
        predictions=lambda wildcards: f"{plan.first_run(wildcards.dataset, wildcards.model).folder}/predictions.csv",
        store=lambda wildcards: plan.store(wildcards.dataset, wildcards.model),
    output:
        examples="results/summary/examples/{dataset}/{model}.npz",
    log:
        "logs/pick_examples/{dataset}/{model}.log",
    benchmark:
        "benchmarks/pick_examples/{dataset}/{model}.jsonl"
    wildcard_constraints:
        dataset=DATASETS,
    resources:
        **asked("pick_examples"),
    params:
        run=lambda wildcards: tuple(plan.first_run(wildcards.dataset, wildcards.model)),
        code=code_digest("evaluate.examples"),
    message:
        "Pick examples of {wildcards.model} on {wildcards.dataset}"
    script:
        "../scripts/pick_examples.py"


rule pick_errors:
    """Confident disagreements of a model with the labels; spectrograms and sound of the worst.

    Reads recordings without declaring them: where they have moved away, there is no sound.
    """
    input:
        predictions=lambda wildcards: [
            f"{run.folder}/predictions.csv"
            for run in plan.runs_of(wildcards.dataset, wildcards.model)
        ],
        calibrations=lambda wildcards: [
            f"{run.folder}/calibration.json"
            for run in plan.runs_of(wildcards.dataset, wildcards.model)
        ],
        manifest="results/{dataset}/manifest.csv",
        store=lambda wildcards: plan.store(wildcards.dataset, wildcards.model),
    output:
        table="results/summary/errors/{dataset}/{model}.csv",
        arrays="results/summary/errors/{dataset}/{model}.npz",
    log:
        "logs/pick_errors/{dataset}/{model}.log",
    benchmark:
        "benchmarks/pick_errors/{dataset}/{model}.jsonl"
    wildcard_constraints:
        dataset=DATASETS,
    resources:
        **asked("pick_errors"),
    params:
        runs=lambda wildcards: [
            tuple(run) for run in plan.runs_of(wildcards.dataset, wildcards.model)
        ],
        target_rule=plan.config.evaluation.target_rule,
        channel=lambda wildcards: plan.channel(wildcards.dataset),
        code=code_digest("evaluate.disagreements", "evaluate.sounds"),
    message:
        "Pick disagreements of {wildcards.model} with the labels of {wildcards.dataset}"
    script:
        "../scripts/pick_errors.py"


rule pick_reconstructions:
    """Spectrograms of a few held-out clips of a corpus, masked, and as the encoder completes them."""
    input:
        encoder="results/pretrain/{corpus}/{ssl}/seed{seed}/encoder.safetensors",
        card="results/pretrain/{corpus}/{ssl}/seed{seed}/encoder.json",
        clips="results/pretrain/{corpus}/clips.csv",
        stores=lambda wildcards: plan.corpus_stores(
            wildcards.corpus, plan.config.pretraining[wildcards.ssl].frontend
        ),
    output:
        examples="results/summary/pretraining/{corpus}/{ssl}/seed{seed}.npz",
    log:
        "logs/pick_reconstructions/{corpus}/{ssl}/seed{seed}.log",
    benchmark:
        "benchmarks/pick_reconstructions/{corpus}/{ssl}/seed{seed}.jsonl"
    wildcard_constraints:
        corpus=CORPORA,
        seed=r"\d+",
    resources:
        **asked("pick_reconstructions"),
    params:
        datasets=lambda wildcards: plan.corpus_datasets(wildcards.corpus),
        settings=lambda wildcards: plan.pretraining_settings(wildcards.ssl),
        code=code_digest("pretrain.examples"),
    message:
        "Pick reconstructions of {wildcards.ssl} on {wildcards.corpus}, seed {wildcards.seed}"
    script:
        "../scripts/pick_reconstructions.py"


rule record_config:
    """The validated configuration with defaults filled in."""
    output:
        config="results/summary/config.yaml",
    log:
        "logs/record_config.log",
    localrule: True
    params:
        config=plan.config.model_dump(mode="json", exclude=OF_PREDICTION),
    message:
        "Record the configuration"
    script:
        "../scripts/record_config.py"


rule metrics:
    """All metrics planned, as one long table."""
    input:
        "results/summary/metrics.csv",
    message:
        "All metrics planned"


rule compare:
    """All models planned, compared with each other on each data set."""
    input:
        "results/summary/comparison.md",
    message:
        "All comparisons planned"
