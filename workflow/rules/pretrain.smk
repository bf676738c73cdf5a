"""Self-supervised pre-training: the corpus, its statistics, the encoder.

<corpus> in the paths is a corpus's name, or <corpus>-without-<dataset>-fold<k> where the test part of that fold is
left out. Makes clips.csv, corpus.json and norm/<frontend>.json in results/pretrain/<corpus>/, and in the folder of each
pre-training encoder.safetensors, encoder.json, history.csv, run.json and, if asked for, ssast.pth.
"""

PRETRAIN_RUN = "results/pretrain/{corpus}/{ssl}/seed{seed}"


rule list_corpus:
    """The clips to pre-train on: no test clip, under whatever name, and some recordings for validation."""
    input:
        manifests=lambda wildcards: [
            f"results/{dataset}/manifest.csv"
            for dataset in plan.corpus_datasets(wildcards.corpus)
        ],
        source_manifests=lambda wildcards: [
            f"results/{dataset}/manifest.csv"
            for dataset in plan.corpus_sources(wildcards.corpus).values()
        ],
        test_manifests=lambda wildcards: [
            f"results/{dataset}/manifest.csv"
            for dataset, fold in plan.held_out(wildcards.corpus)
        ],
        test_folds=lambda wildcards: [
            f"results/{dataset}/folds.csv"
            for dataset, fold in plan.held_out(wildcards.corpus)
        ],
    output:
        clips="results/pretrain/{corpus}/clips.csv",
        facts="results/pretrain/{corpus}/corpus.json",
    log:
        "logs/list_corpus/{corpus}.log",
    benchmark:
        "benchmarks/list_corpus/{corpus}.jsonl"
    retries: 0
    resources:
        **asked("list_corpus"),
    params:
        corpus=lambda wildcards: plan.corpus_settings(wildcards.corpus),
        sources=lambda wildcards: plan.corpus_sources(wildcards.corpus),
        held_out=lambda wildcards: [
            list(pair) for pair in plan.held_out(wildcards.corpus)
        ],
        code=code_digest("pretrain.corpus"),
    message:
        "List the clips of corpus {wildcards.corpus}"
    script:
        "../scripts/list_corpus.py"


rule fit_corpus_norm:
    """Mean and standard deviation over the true frames of the corpus's training clips."""
    input:
        clips="results/pretrain/{corpus}/clips.csv",
        stores=lambda wildcards: plan.corpus_stores(
            wildcards.corpus, wildcards.frontend
        ),
    output:
        norm="results/pretrain/{corpus}/norm/{frontend}.json",
    log:
        "logs/fit_corpus_norm/{corpus}/{frontend}.log",
    benchmark:
        "benchmarks/fit_corpus_norm/{corpus}/{frontend}.jsonl"
    resources:
        **asked("fit_corpus_norm"),
    params:
        datasets=lambda wildcards: [
            part["dataset"] for part in plan.corpus_settings(wildcards.corpus)["parts"]
        ],
        code=code_digest("fit_norm", "pretrain.corpus"),
    message:
        "Statistics of corpus {wildcards.corpus}, {wildcards.frontend}"
    script:
        "../scripts/fit_corpus_norm.py"


rule pretrain:
    """An encoder learns its network's pretext task on the corpus, and is checked on recordings held out of it."""
    input:
        clips="results/pretrain/{corpus}/clips.csv",
        corpus="results/pretrain/{corpus}/corpus.json",
        stores=lambda wildcards: plan.corpus_stores(
            wildcards.corpus, plan.config.pretraining[wildcards.ssl].frontend
        ),
        norm=lambda wildcards: plan.corpus_norm(wildcards.corpus, wildcards.ssl),
        init=lambda wildcards: plan.init(pretrain_run_of(wildcards)),
    output:
        encoder=f"{PRETRAIN_RUN}/encoder.safetensors",
        card=f"{PRETRAIN_RUN}/encoder.json",
        history=f"{PRETRAIN_RUN}/history.csv",
        run=f"{PRETRAIN_RUN}/run.json",
    log:
        "logs/pretrain/{corpus}/{ssl}/seed{seed}.log",
    benchmark:
        "benchmarks/pretrain/{corpus}/{ssl}/seed{seed}.jsonl"
    container:
        image_of(workflow, "pretrain", container_image(workflow))
    threads: 4
    resources:
        mem_mb=asked("pretrain")["mem_mb"],
        runtime=720,
    params:
        settings=lambda wildcards: plan.pretraining_settings(wildcards.ssl),
        datasets=lambda wildcards: plan.corpus_datasets(wildcards.corpus),
        # Neither is an output: Snakemake deletes outputs before every attempt, and a retry resumes from here.
        checkpoints=f"{PRETRAIN_RUN}/checkpoints",
        tensorboard="logs/pretrain/{corpus}/{ssl}/seed{seed}-tensorboard",
        code=code_digest("pretrain.pretrain"),
    message:
        "Pre-train {wildcards.ssl} on {wildcards.corpus}, seed {wildcards.seed}"
    script:
        "../scripts/pretrain.py"


rule encoders:
    """All pre-trainings planned."""
    input:
        [f"{run.folder}/encoder.safetensors" for run in plan.pretrains],
    message:
        "All encoders planned"


rule export_ssast:
    """An encoder of arch ssast in the layout of the original SSAST code; made on request only."""
    input:
        encoder=lambda wildcards: plan.exportable(pretrain_run_of(wildcards)),
        card=f"{PRETRAIN_RUN}/encoder.json",
    output:
        f"{PRETRAIN_RUN}/ssast.pth",
    log:
        "logs/export_ssast/{corpus}/{ssl}/seed{seed}.log",
    benchmark:
        "benchmarks/export_ssast/{corpus}/{ssl}/seed{seed}.jsonl"
    retries: 0
    resources:
        **asked("export_ssast"),
    params:
        settings=lambda wildcards: plan.pretraining_settings(wildcards.ssl),
        code=code_digest("pretrain.export"),
    message:
        "Export {wildcards.ssl} on {wildcards.corpus}, seed {wildcards.seed} in SSAST's layout"
    script:
        "../scripts/export_ssast.py"
