"""From audio to packed log-mel features, and their statistics on the training part of each fold.

Makes the folder results/<dataset>/fbank/<frontend>/ and results/<dataset>/norm/<frontend>/fold<k>.json.
"""


rule compute_fbank:
    """Log-mel features of all clips of a data set as memory-mapped shards with an index.

    Finished shards wait in an undeclared folder, so that a stopped job goes on where it was.
    """
    input:
        manifest="results/{dataset}/manifest.csv",
    output:
        store=directory("results/{dataset}/fbank/{frontend}"),
    log:
        "logs/compute_fbank/{dataset}/{frontend}.log",
    benchmark:
        "benchmarks/compute_fbank/{dataset}/{frontend}.jsonl"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        frontend=lambda wildcards: plan.config.frontends[
            wildcards.frontend
        ].model_dump(mode="json"),
        roots=lambda wildcards: plan.roots(wildcards.dataset),
        work="results/{dataset}/fbank/.{frontend}.work",
        code=code_digest("store"),
    script:
        "../scripts/compute_fbank.py"


rule fit_norm_stats:
    """Mean and standard deviation over the true frames of the fold's training clips."""
    input:
        folds="results/{dataset}/folds.csv",
        store="results/{dataset}/fbank/{frontend}",
    output:
        norm="results/{dataset}/norm/{frontend}/fold{fold}.json",
    log:
        "logs/fit_norm_stats/{dataset}/{frontend}/fold{fold}.log",
    benchmark:
        "benchmarks/fit_norm_stats/{dataset}/{frontend}/fold{fold}.jsonl"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code_digest("norm", "folds"),
    script:
        "../scripts/fit_norm_stats.py"


rule features:
    """Features and statistics of everything planned."""
    input:
        plan.stores,
        sorted({plan.norm(run.dataset, run.model, run.fold) for run in plan.runs}),
