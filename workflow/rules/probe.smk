"""A quick check of encoders, without fine-tuning: `snakemake probe`.

Makes probe.csv in the folder of each run whose model has an encoder, and results/summary/probe.csv.
"""


rule probe_encoder:
    """Linear probe and k-NN on each layer of the encoder that a run starts from, scored on its validation clips."""
    input:
        manifest="results/{dataset}/manifest.csv",
        folds="results/{dataset}/folds.csv",
        store=lambda wildcards: plan.store(wildcards.dataset, wildcards.model),
        norm=lambda wildcards: plan.norm(
            wildcards.dataset, wildcards.model, wildcards.fold
        ),
        init=lambda wildcards: plan.init(run_of(wildcards)),
    output:
        probe=f"{RUN}/probe.csv",
    log:
        "logs/probe_encoder/{dataset}/{model}/fold{fold}/seed{seed}.log",
    benchmark:
        "benchmarks/probe_encoder/{dataset}/{model}/fold{fold}/seed{seed}.jsonl"
    threads: 4
    resources:
        **asked("probe_encoder"),
    params:
        settings=lambda wildcards: plan.probe_settings(
            wildcards.dataset, wildcards.model
        ),
        code=code_digest("pretrain.probe"),
    message:
        "Probe the encoder of {wildcards.model} on {wildcards.dataset}, fold {wildcards.fold}, seed {wildcards.seed}"
    script:
        "../scripts/probe_encoder.py"


rule probe:
    """The probes of all runs, as one long table; their means are shown."""
    input:
        [f"{run.folder}/probe.csv" for run in plan.probed],
    output:
        probe="results/summary/probe.csv",
    log:
        "logs/probe.log",
    benchmark:
        "benchmarks/probe.jsonl"
    resources:
        **asked("probe"),
    params:
        runs=[tuple(run) for run in plan.probed],
        code=code_digest("pretrain.probe_table"),
    message:
        "Collect all probes"
    script:
        "../scripts/probe.py"
