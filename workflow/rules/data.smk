"""From what a lab has to one checked manifest and a split.

Needs a tag table, a folder per class or ESC's table under `data_root` (or settings to synthesise soundscapes).
Makes results/<dataset>/{manifest,folds,folds_balance}.csv.
"""


rule synthesise_soundscapes:
    """The embedded data set: audio and tag table from a seed."""
    output:
        table="resources/{dataset}/tags.csv",
        audio=directory("resources/{dataset}/audio"),
    log:
        "logs/synthesise_soundscapes/{dataset}.log",
    benchmark:
        "benchmarks/synthesise_soundscapes/{dataset}.jsonl"
    wildcard_constraints:
        # Never a lab's own folder under resources/.
        dataset="|".join(plan.synthetic) or "(?!)",
    retries: 0
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        source=lambda wildcards: plan.manifest_settings(wildcards.dataset)["source"],
        code=code_digest("synth"),
    script:
        "../scripts/synthesise_soundscapes.py"


rule prepare_manifest:
    """Every clip resolved, probed, hashed and labelled; all problems in one message."""
    input:
        source=lambda wildcards: plan.source_files(wildcards.dataset),
    output:
        manifest="results/{dataset}/manifest.csv",
    log:
        "logs/prepare_manifest/{dataset}.log",
    benchmark:
        "benchmarks/prepare_manifest/{dataset}.jsonl"
    retries: 0
    threads: 4
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        dataset=lambda wildcards: plan.manifest_settings(wildcards.dataset),
        roots=lambda wildcards: plan.roots(wildcards.dataset),
        code=code_digest("ingest.prepare"),
    script:
        "../scripts/prepare_manifest.py"


rule split_folds:
    """Training, validation and test clips of every fold, grouped and stratified."""
    input:
        manifest="results/{dataset}/manifest.csv",
    output:
        folds="results/{dataset}/folds.csv",
        balance="results/{dataset}/folds_balance.csv",
    log:
        "logs/split_folds/{dataset}.log",
    benchmark:
        "benchmarks/split_folds/{dataset}.jsonl"
    retries: 0
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        split=lambda wildcards: plan.split_settings(wildcards.dataset),
        code=code_digest("split", "folds"),
    script:
        "../scripts/split_folds.py"
