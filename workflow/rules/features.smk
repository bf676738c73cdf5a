"""From files to packed log-mel features, and their statistics on the training part of each fold.

Makes results/<dataset>/fbank/<frontend>/, with a folder for each parallel part and one index, and
results/<dataset>/norm/<frontend>/fold<k>.json.
"""


rule compute_fbank:
    """Log-mel features of one part of a data set's clips, computed from audio or imported, as memory-mapped shards.

    Finished shards wait in an undeclared folder, so that a stopped job goes on where it was.
    """
    input:
        manifest="results/{dataset}/manifest.csv",
    output:
        part=directory("results/{dataset}/fbank/{frontend}/{part}"),
    log:
        "logs/compute_fbank/{dataset}/{frontend}/{part}.log",
    benchmark:
        "benchmarks/compute_fbank/{dataset}/{frontend}/{part}.jsonl"
    wildcard_constraints:
        part=r"\d+-of-\d+",
    threads: 8
    resources:
        **asked("compute_fbank"),
    params:
        settings=lambda wildcards: plan.fbank_settings(
            wildcards.dataset, wildcards.frontend
        ),
        work="results/{dataset}/fbank/{frontend}/.{part}.work",
        code=code_digest("compute"),
    message:
        "Features of {wildcards.dataset}, {wildcards.frontend}, part {wildcards.part}"
    script:
        "../scripts/compute_fbank.py"


rule index_fbank:
    """One feature store of all parts: where the frames of each clip are."""
    input:
        parts=lambda wildcards: collect(
            "results/{dataset}/fbank/{frontend}/{part}",
            dataset=wildcards.dataset,
            frontend=wildcards.frontend,
            part=plan.shards(wildcards.dataset),
        ),
    output:
        index="results/{dataset}/fbank/{frontend}/index.csv",
        state="results/{dataset}/fbank/{frontend}/state.json",
    log:
        "logs/index_fbank/{dataset}/{frontend}.log",
    benchmark:
        "benchmarks/index_fbank/{dataset}/{frontend}.jsonl"
    resources:
        **asked("index_fbank"),
    params:
        code=code_digest("layout"),
    message:
        "Index the features of {wildcards.dataset}, {wildcards.frontend}"
    script:
        "../scripts/index_fbank.py"


rule fit_norm_stats:
    """Mean and standard deviation over the true frames of the fold's training clips."""
    input:
        folds="results/{dataset}/folds.csv",
        store="results/{dataset}/fbank/{frontend}/index.csv",
    output:
        norm="results/{dataset}/norm/{frontend}/fold{fold}.json",
    log:
        "logs/fit_norm_stats/{dataset}/{frontend}/fold{fold}.log",
    benchmark:
        "benchmarks/fit_norm_stats/{dataset}/{frontend}/fold{fold}.jsonl"
    resources:
        **asked("fit_norm_stats"),
    params:
        published=lambda wildcards: plan.published_norms(
            wildcards.dataset, wildcards.frontend
        ),
        code=code_digest("fit_norm", "folds"),
    message:
        "Statistics of {wildcards.dataset}, {wildcards.frontend}, fold {wildcards.fold}"
    script:
        "../scripts/fit_norm_stats.py"


rule features:
    """Features and statistics of everything planned."""
    input:
        plan.stores,
        sorted({plan.norm(run.dataset, run.model, run.fold) for run in plan.runs}),
    message:
        "All features and statistics planned"
