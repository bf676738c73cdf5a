"""Training: one model on one fold with one seed, on a GPU if asked for.

Makes model.safetensors, model.json, history.csv and run.json in the run's folder.
"""

RUN = "results/{dataset}/{model}/fold{fold}/seed{seed}"


rule finetune:
    """Fine-tune on the training clips; the validation clips choose the epoch."""
    input:
        manifest="results/{dataset}/manifest.csv",
        folds="results/{dataset}/folds.csv",
        store=lambda wildcards: plan.store(wildcards.dataset, wildcards.model),
        norm=lambda wildcards: plan.norm(
            wildcards.dataset, wildcards.model, wildcards.fold
        ),
        init=lambda wildcards: plan.init(run_of(wildcards)),
    output:
        model=f"{RUN}/model.safetensors",
        card=f"{RUN}/model.json",
        history=f"{RUN}/history.csv",
        run=f"{RUN}/run.json",
    log:
        "logs/finetune/{dataset}/{model}/fold{fold}/seed{seed}.log",
    benchmark:
        "benchmarks/finetune/{dataset}/{model}/fold{fold}/seed{seed}.jsonl"
    container:
        image_of(workflow, "finetune", container_image(workflow))
    threads: 4
    resources:
        mem_mb=asked("finetune")["mem_mb"],
        runtime=120,
    params:
        model=lambda wildcards: plan.model_settings(wildcards.model),
        target_rule=plan.config.evaluation.target_rule,
        single_label=lambda wildcards: plan.single_label(wildcards.dataset),
        # Not an output: Snakemake deletes outputs before every attempt, and a retry resumes from here.
        checkpoints=f"{RUN}/checkpoints",
        code=code_digest("train.finetune"),
    message:
        "Fine-tune {wildcards.model} on {wildcards.dataset}, fold {wildcards.fold}, seed {wildcards.seed}"
    script:
        "../scripts/finetune.py"


rule models:
    """All models planned."""
    input:
        [f"{run.folder}/model.safetensors" for run in plan.runs],
    message:
        "All models planned"
