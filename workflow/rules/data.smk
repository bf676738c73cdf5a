"""From what a lab has to one checked manifest and a split.

Needs audio or features with their tables under `data_root` or `roots` (or settings to synthesise or mix soundscapes).
Makes results/<dataset>/{manifest,quarantine,folds,folds_balance}.csv and ingest.json.
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
        **asked("synthesise_soundscapes"),
    params:
        source=lambda wildcards: plan.manifest_settings(wildcards.dataset)["source"],
        code=code_digest("synth"),
    message:
        "Synthesise {wildcards.dataset}"
    script:
        "../scripts/synthesise_soundscapes.py"


rule mix_soundscapes:
    """Soundscapes mixed from another data set's clips, part by part: audio and tag table from a seed."""
    input:
        manifest=lambda wildcards: f"results/{plan.mixtures[wildcards.dataset].dataset}/manifest.csv",
        folds=lambda wildcards: f"results/{plan.mixtures[wildcards.dataset].dataset}/folds.csv",
    output:
        table="resources/{dataset}/tags.csv",
        audio=directory("resources/{dataset}/audio"),
    log:
        "logs/mix_soundscapes/{dataset}.log",
    benchmark:
        "benchmarks/mix_soundscapes/{dataset}.jsonl"
    wildcard_constraints:
        # Never a lab's own folder under resources/.
        dataset="|".join(plan.mixtures) or "(?!)",
    retries: 0
    resources:
        **asked("mix_soundscapes"),
    params:
        source=lambda wildcards: plan.manifest_settings(wildcards.dataset)["source"],
        channel=lambda wildcards: plan.channel(plan.mixtures[wildcards.dataset].dataset),
        code=code_digest("mix"),
    message:
        "Mix the clips of {wildcards.dataset}"
    script:
        "../scripts/mix_soundscapes.py"


rule list_clips:
    """One look at the folder: all files in it, and those that the source tells of."""
    input:
        source=lambda wildcards: plan.source_files(wildcards.dataset),
    output:
        files="results/{dataset}/files.txt",
        used="results/{dataset}/used.txt",
    log:
        "logs/list_clips/{dataset}.log",
    benchmark:
        "benchmarks/list_clips/{dataset}.jsonl"
    retries: 0
    resources:
        **asked("list_clips"),
    params:
        dataset=lambda wildcards: plan.manifest_settings(wildcards.dataset),
        code=code_digest("ingest.match"),
    message:
        "List the clips of {wildcards.dataset}"
    script:
        "../scripts/list_clips.py"


rule measure_clips:
    """One part of the files read from beginning to end: length, rate, channels, hash, and what is wrong with them.

    A new list reads nothing again, as tables are edited often; prepare_manifest itself reads the files that are new in
    it, that changed since, and those that were bad.
    """
    input:
        used=ancient("results/{dataset}/used.txt"),
    output:
        measured="results/{dataset}/measured/{shard}.csv",
    log:
        "logs/measure_clips/{dataset}/{shard}.log",
    benchmark:
        "benchmarks/measure_clips/{dataset}/{shard}.jsonl"
    wildcard_constraints:
        shard=r"\d+-of-\d+",
    threads: 4
    resources:
        **asked("measure_clips"),
    params:
        settings=lambda wildcards: plan.measure_settings(wildcards.dataset),
        code=code_digest("ingest.measure"),
    message:
        "Read and check the files of {wildcards.dataset}, part {wildcards.shard}"
    script:
        "../scripts/measure_clips.py"


rule prepare_manifest:
    """One row a clip with its labels, and the quarantine; all problems in one message."""
    input:
        source=lambda wildcards: plan.source_files(wildcards.dataset),
        files="results/{dataset}/files.txt",
        measured=lambda wildcards: collect(
            "results/{dataset}/measured/{shard}.csv",
            dataset=wildcards.dataset,
            shard=plan.shards(wildcards.dataset),
        ),
    output:
        manifest="results/{dataset}/manifest.csv",
        quarantine="results/{dataset}/quarantine.csv",
        ingest="results/{dataset}/ingest.json",
    log:
        "logs/prepare_manifest/{dataset}.log",
    benchmark:
        "benchmarks/prepare_manifest/{dataset}.jsonl"
    retries: 0
    threads: 4
    resources:
        **asked("prepare_manifest"),
    params:
        dataset=lambda wildcards: plan.manifest_settings(wildcards.dataset),
        code=code_digest("ingest.prepare", "ingest.measure"),
    message:
        "Make the manifest of {wildcards.dataset}"
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
        **asked("split_folds"),
    params:
        split=lambda wildcards: plan.split_settings(wildcards.dataset),
        code=code_digest("split", "folds"),
    message:
        "Split {wildcards.dataset}"
    script:
        "../scripts/split_folds.py"
